"""What a search leaves: results.json, and a page to look at."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, Field
from scipy.stats import spearmanr

from fomoad.pages.render import embeddable, render
from fomoad.search import front

SCHEMA_VERSION: Final = 1
RESULTS_FILE: Final = "results.json"
REPORT_FILE: Final = "report.html"


class Entry(BaseModel):
    """One candidate. `values` are detection, bytes of flash, bytes of RAM as the budget counts, and milliseconds."""

    number: int
    parameters: dict[str, Any] = Field(description="Those in which the candidates differ.")
    values: tuple[float, float, float, float] | None = Field(description="None where it failed.")
    trained: bool = Field(description="Whether its files lie in trials/NUMBER, and the values are theirs.")
    failure: str | None
    details: dict[str, Any] = Field(description="More figures; those of `made` are on made defects.")


class Agreement(BaseModel):
    """How far made defects agree with labelled ones, on the selection part, as judged before any training."""

    chosen: int = Field(description="The candidate that made defects alone would have chosen.")
    loss: float = Field(description="How much less it finds of labelled defects than the one that those choose.")
    rank_correlation: float | None = Field(description="Spearman's, over all candidates; None of fewer than three.")


class Results(BaseModel):
    """The content of results.json."""

    schema_version: int = SCHEMA_VERSION
    metric: str
    labelled: bool = Field(description="Whether candidates were chosen by labelled defects, not by made ones.")
    budget: dict[str, Any]
    axes: dict[str, list[Any]]
    entries: list[Entry]
    front: list[int] = Field(description="Numbers of those that no other one beats, the cheapest first.")
    best: int
    agreement: Agreement | None = Field(None, description="None where no defect is labelled.")
    test: dict[str, float | None] = Field(description="What the best finds in the part that nothing was chosen on.")


def agreement(entries: Sequence[Entry], metric: str) -> Agreement | None:
    """Compare what candidates find of made defects with what they find of labelled ones; None where none was judged."""
    found: dict[str, dict[int, tuple[float, ...]]] = {"made": {}, "selection": {}}
    for entry in entries:
        for name, values in found.items():
            if entry.values is not None:
                values[entry.number] = (entry.details[name][metric] or 0.0, *entry.values[1:])
    made, labelled = found["made"], found["selection"]
    if not made:
        return None
    chosen = front.best(made)
    figures = np.array([[made[number][0], labelled[number][0]] for number in made])
    varied = len(figures) > 2 and np.ptp(figures, axis=0).all()
    return Agreement(
        chosen=chosen,
        loss=labelled[front.best(labelled)][0] - labelled[chosen][0],
        rank_correlation=float(spearmanr(figures[:, 0], figures[:, 1]).statistic) if varied else None,
    )


def page(results: Results) -> str:
    """The page of these results."""
    best = next(entry for entry in results.entries if entry.number == results.best)
    return render(
        "fomoad.search",
        "page.html.jinja",
        ["page.css"],
        ["page.js"],
        table=True,
        results=results,
        best=best,
        results_json=embeddable(results.model_dump_json()),
    )
