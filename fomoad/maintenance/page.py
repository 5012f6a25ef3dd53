"""Pages of this package: one file each, that loads nothing and runs nothing but its own."""

import base64
import hashlib
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PACKAGE = "fomoad.maintenance"


def render(template: str, **values: Any) -> str:
    """A page from a template of this package, with the style that all of them share."""
    style = asset("page.css")
    environment = Environment(
        loader=PackageLoader(PACKAGE, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(template).render(style=Markup(style), style_hash=content_hash(style), **values)


def asset(name: str) -> str:
    """The text of a file of this package."""
    return resources.files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def content_hash(text: str) -> str:
    """A source of the content security policy that allows this inline text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
