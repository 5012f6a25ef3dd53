"""What a search leaves: results.json, and a page to look at."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, Field
from scipy.stats import spearmanr

from fomoad.pages.render import embeddable, render
from fomoad.search.choice import LEAST_BY_MADE, SURE, Choice, Finding, choose

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
    details: dict[str, Any] = Field(
        description="More figures: `made` on made defects, `without` the metric without each of some groups of photos."
    )


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
    choice: Choice = Field(description="Which one is the best, and why.")
    order: list[int] = Field(description="Numbers of all candidates, the most promising first.")
    sure: float = Field(SURE, description="Standard errors that a clear lead exceeds,")
    least: float = Field(0.0, description="and what is added to them.")
    agreement: Agreement | None = Field(None, description="None where no defect is labelled.")
    test: dict[str, float | None] = Field(description="What the best finds in the part that nothing was chosen on.")


def agreement(entries: Sequence[Entry], metric: str, order: Sequence[int]) -> Agreement | None:
    """Compare what candidates find of made defects with what they find of labelled ones; None where none was judged.

    `order` are their numbers, the most promising first.
    """
    judged = [entry for entry in entries if entry.values is not None]
    if not judged:
        return None
    made, labelled = (findings(judged, name, metric) for name in ("made", "selection"))
    chosen = choose(made, order, LEAST_BY_MADE).best
    best = choose(labelled, order).best
    figures = np.array([[made[number].figure, labelled[number].figure] for number in made])
    varied = len(figures) > 2 and np.ptp(figures, axis=0).all()
    return Agreement(
        chosen=chosen,
        loss=labelled[best].figure - labelled[chosen].figure,
        rank_correlation=float(spearmanr(figures[:, 0], figures[:, 1]).statistic) if varied else None,
    )


def findings(entries: Sequence[Entry], part: str, metric: str) -> dict[int, Finding]:
    """What candidates that were judged find in a part, as far as it says which is the best."""
    return {
        entry.number: Finding(entry.details[part][metric] or 0.0, entry.details["without"][part]) for entry in entries
    }


def page(results: Results) -> str:
    """The page of these results."""
    best = next(entry for entry in results.entries if entry.number == results.choice.best)
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
