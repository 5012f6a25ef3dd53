"""A template, style sheets and scripts of a package to one self-contained page."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def render(
    package: str, template: str, styles: Sequence[str], scripts: Sequence[str], *, table: bool = False, **values: Any
) -> str:
    """The page of a template with its files inline, all of them of the package.

    `table` puts the style sheet of pages with a table of figures before the package's own.
    The template is given `style`, `script` and their hashes for a content security policy, besides `values`.
    """
    sheets = [asset("fomoad.pages", "table_page.css")] if table else []
    style = "\n".join(sheets + [asset(package, name) for name in styles])
    script = "\n".join(asset(package, name) for name in scripts)
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        style_hash=content_hash(style),
        script_hash=content_hash(script),
        **values,
    )


def asset(package: str, name: str) -> str:
    """The text of a file of a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def embeddable(text: str) -> Markup:
    r"""JSON that can stand in a script element: no character of it can end the element or begin a comment.

    >>> print(embeddable('{"a": "</script>"}'))
    {"a": "\u003c/script\u003e"}
    """
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def content_hash(text: str) -> str:
    """A source of the content security policy that allows this inline text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
