"""What a fleet's training leaves: fleet.json, and a page to look at."""

import base64
import json
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel

from fomoad.fleet.product import Product
from fomoad.pages.render import embeddable, render

SCHEMA_VERSION: Final = 1


class Fleet(BaseModel):
    """The content of fleet.json: products in the order of the table."""

    schema_version: int = SCHEMA_VERSION
    products: list[Product]


def page(fleet: Fleet, thumbnails: Sequence[Sequence[bytes]]) -> str:
    """The page of a fleet; `thumbnails` are JPEG pictures of each product."""
    pictures = [[base64.b64encode(jpeg).decode() for jpeg in each] for each in thumbnails]
    return render(
        "fomoad.fleet",
        "page.html.jinja",
        ["page.css"],
        ["page.js"],
        table=True,
        fleet=fleet,
        failures=sum(product.status == "failed" for product in fleet.products),
        fleet_json=embeddable(fleet.model_dump_json()),
        thumbnails_json=embeddable(json.dumps(pictures)),
    )
