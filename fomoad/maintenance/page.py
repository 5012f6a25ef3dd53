"""Pages of this package, with the style that all of them share."""

from typing import Any

from fomoad.pages import render as pages

PACKAGE = "fomoad.maintenance"


def render(template: str, **values: Any) -> str:
    """A page from a template of this package."""
    return pages.render(PACKAGE, template, ["page.css"], [], **values)


def asset(name: str) -> str:
    """The text of a file of this package."""
    return pages.asset(PACKAGE, name)


content_hash = pages.content_hash
