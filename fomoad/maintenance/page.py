"""Pages of this package, with the style that all of them share."""

from collections.abc import Sequence
from typing import Any, Final

from fomoad.pages import render as pages

PACKAGE: Final = "fomoad.maintenance"
STYLES: Final = ["page.css"]


def render(template: str, scripts: Sequence[str] = (), **values: Any) -> str:
    """A page from a template of this package."""
    return pages.render(PACKAGE, template, STYLES, scripts, **values)


def policy(scripts: Sequence[str]) -> str:
    """The sources of a content security policy that allow the style and these scripts, and no others."""
    style, script = (
        pages.content_hash("\n".join(pages.asset(PACKAGE, name) for name in names)) for names in (STYLES, scripts)
    )
    return f"style-src '{style}'; script-src '{script}'"
