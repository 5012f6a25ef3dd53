"""What a search leaves: results.json, and a page to look at."""

from typing import Any, Final

from pydantic import BaseModel, Field

from fomoad.pages.render import embeddable, render

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
    test: dict[str, float | None] = Field(description="What the best finds in the part that nothing was chosen on.")


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
