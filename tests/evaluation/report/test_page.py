"""The page as a file: what stands in it, and that nothing of the data can break out. See test_report_browser.py."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from fomoad.evaluation.report import Picture, pictures, render
from tests.support.results import grids, results

HOSTILE = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> & \u2028 \" '"


def _script(page: str, name: str) -> str:
    return re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', page, re.DOTALL).group(1)


def _page(anomalous, **changes) -> str:
    picture = pictures.picture(np.full((24, 24, 3), 128, np.float32), None)
    return render(results(anomalous).model_copy(update=changes), [picture] * len(anomalous))


def test_the_page_holds_the_results_and_the_exact_scores():
    anomalous = [True, False, None] * 5
    page = _page(anomalous)
    written = results(anomalous).model_dump(mode="json")
    for image in written["images"]:
        del image["grid"]
    assert json.loads(_script(page, "results")) == written
    cells = np.frombuffer(base64.b64decode(_script(page, "grids")), "<f4")
    np.testing.assert_array_equal(cells.reshape(-1, 5, 5), grids(anomalous))


def test_the_page_refers_to_nothing_outside_itself():
    page = _page([True, False])
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    assert set(re.findall(r"https?://[^\s\"']+", page)) == {"http://www.w3.org/2000/svg"}


def test_names_cannot_break_out_of_the_page():
    hostile = results([True, False])
    hostile.model.file = HOSTILE
    hostile.model.settings = {HOSTILE: HOSTILE}
    for image in hostile.images:
        image.file_name = image.id = image.label = HOSTILE
    page = render(hostile, [Picture(b"", None)] * 2)
    assert page.count("<script") == page.count("</script>") == 4
    assert "<img" not in page
    assert json.loads(_script(page, "results"))["images"][0]["file_name"] == HOSTILE


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_look_like_the_images(channels):
    gradient = np.linspace(-3, 258, 96 * 64).reshape(64, 96, 1).repeat(channels, axis=2).astype(np.float32)
    image = Image.open(io.BytesIO(pictures.picture(gradient, None).jpeg))
    assert (image.size, image.mode) == ((96, 64), "L" if channels == 1 else "RGB")
    shown = np.asarray(image, np.float32).reshape(64, 96, channels)
    assert np.abs(shown - np.clip(gradient, 0, 255)).max() < 8


def test_large_images_are_shown_smaller():
    jpeg = pictures.picture(np.zeros((480, 960, 1), np.float32), None).jpeg
    assert Image.open(io.BytesIO(jpeg)).size == (320, 160)


@pytest.mark.parametrize("seed", range(5))
def test_the_outline_is_every_edge_between_inside_and_outside(seed):
    """Each side of each pixel, found by looking at its neighbours one by one."""
    mask = np.random.default_rng(seed).random((7, 9)) < 0.4
    inside = {(y, x) for y, x in zip(*np.nonzero(mask), strict=True)}
    expected = set()
    for y, x in inside:
        neighbours = {
            (y - 1, x): (y, x, "H"),
            (y + 1, x): (y + 1, x, "H"),
            (y, x - 1): (y, x, "V"),
            (y, x + 1): (y, x + 1, "V"),
        }
        expected |= {edge for place, edge in neighbours.items() if place not in inside}
    found = set()
    for x, y, way, end in re.findall(r"M(\d+) (\d+)([HV])(\d+)", pictures.outline(mask)):
        x, y, end = int(x), int(y), int(end)
        found |= {(y, at, "H") for at in range(x, end)} if way == "H" else {(at, x, "V") for at in range(y, end)}
    assert found == expected


def test_an_empty_mask_has_no_outline():
    assert pictures.outline(np.zeros((4, 4), bool)) is None
