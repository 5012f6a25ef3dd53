"""A fleet: bad rows, a failing product, what is done already, and the same bytes as by `fomoad train`."""

import json
from pathlib import Path

import numpy as np
import pytest

from fomoad import cli
from fomoad.cluster.open import Cluster
from fomoad.errors import UserError
from fomoad.fleet import rows
from fomoad.fleet.page import Fleet, page
from fomoad.fleet.product import Figures, Product
from fomoad.fleet.run import train_all
from tests.support.browser import opened
from tests.training.test_train import textures, write_data


def table(folder: Path, *lines: str) -> Path:
    """A table with these lines."""
    path = folder / "fleet.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_all_bad_rows_are_named_before_anything_runs(tmp_path: Path) -> None:
    write_data(tmp_path / "a", textures(4, (32, 32, 1), 0))
    path = table(
        tmp_path,
        "data,output,scoring-function,seed",
        "a,out/one,gmm,",
        "a,out/two,gnn,",
        "",
        "nowhere,out/three,,",
        "a,out/one,,-1",
        ",out/five,,",
        "a,out/six,,",
        "a,out/six,,",
        "a,.,,",
    )
    with pytest.raises(UserError) as caught:
        train_all(path, Cluster())
    message = str(caught.value)
    for line, part in (
        (3, "--scoring-function cannot be 'gnn'"),
        (5, "nowhere does not exist"),
        (6, "--seed cannot be '-1'"),
        (7, "the column data is empty"),
        (8, "six comes 2 times"),
        (9, "six comes 2 times"),
        (10, "holds other files"),
    ):
        assert any(each.startswith(f"  line {line}: ") and part in each for each in message.splitlines()), (line, part)
    assert "line 2:" not in message
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "fleet.json").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["data,size,output"], "unknown columns, namely 'size'"),
        (["data,seed"], "lacks 'output'"),
        (["data,output,data"], "gives twice 'data'"),
        (["data,output"], "has no rows"),
        (["data,output", "a,b,c"], "Line 2 .* has more cells"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        rows.read(table(tmp_path, *lines))


def states(folder: Path) -> list[str]:
    """What became of the products, as fleet.json says."""
    return [product["status"] for product in json.loads((folder / "fleet.json").read_text())["products"]]


def test_on_workers_a_failed_product_stops_no_other_and_nothing_is_done_twice(
    tmp_path: Path, random_weights: Path
) -> None:
    """The first product has a damaged image that is found only as it is read."""
    pytest.importorskip("distributed")
    images = textures(12, (32, 32, 1), 0)
    damaged = images.copy()
    damaged[7, 3, 3] = np.nan
    write_data(tmp_path / "a", damaged)
    write_data(tmp_path / "b", images)
    common = f"{random_weights},patchcore"
    header = "name,data,output,weights,scoring_function"
    path = table(tmp_path, header, f"bad,a,out/a,{common}", f"good,b,out/b,{common}")
    with pytest.raises(UserError, match=r"1 of 2 products failed \(bad\)"):
        train_all(path, Cluster("local:1"))
    assert states(tmp_path) == ["failed", "trained"]
    first = json.loads((tmp_path / "fleet.json").read_text())["products"][0]
    assert "image" in first["failure"]
    arguments = ["--weights", str(random_weights), "--scoring-function", "patchcore"]
    alone = ["train", "--data-directory", str(tmp_path / "b"), "--out-directory", str(tmp_path / "alone")]
    assert cli.main([*alone, *arguments]) == 0
    for expected in sorted((tmp_path / "alone").iterdir()):
        assert (tmp_path / "out/b" / expected.name).read_bytes() == expected.read_bytes(), expected.name
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out/b").iterdir()}
    table(tmp_path, header, f"good,b,out/b,{common}")
    assert cli.main(["train-all", str(path)]) == 0
    assert states(tmp_path) == ["unchanged"]
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out/b").iterdir()} == before


def product(line: int, name: str, threshold: float | None) -> Product:
    """A product that failed where there is no threshold."""
    figures = (
        None
        if threshold is None
        else Figures(
            scoring_function="gmm",
            backbone="mobilenet-v2-0.35",
            input="96x96x3",
            training_images=10 * line,
            left_out=0,
            threshold=threshold,
            int8_threshold=threshold,
            expected_false_alarms=0.04,
            made_defects_found=0.5,
            a90=None,
            flash_bytes=2**18,
            arena_bytes=None,
        )
    )
    failure = "</script><script>document.title = 'hurt'</script>" if figures is None else None
    status = "failed" if figures is None else "trained"
    return Product(line=line, name=name, data="data", output="out", status=status, failure=failure, figures=figures)


def test_the_page_sorts_filters_and_takes_hostile_words(tmp_path: Path) -> None:
    path = tmp_path / "fleet.html"
    fleet = Fleet(products=[product(2, "cap", 3.5), product(3, "<b>lid", None), product(4, "nut", 1.25)])
    path.write_text(page(fleet, [(), (), ()]))
    with opened(path.as_uri()) as browser:
        assert browser.title() == "Fleet · 3 products, 1 failed"
        names = browser.locator("td:nth-child(2)")
        assert names.all_inner_texts() == ["cap", "<b>lid", "nut"]
        browser.click("th button:has-text('threshold')")
        assert names.all_inner_texts() == ["nut", "cap", "<b>lid"]
        browser.click("th button:has-text('threshold')")
        assert names.all_inner_texts() == ["cap", "nut", "<b>lid"]
        browser.fill("#filter", "failed")
        assert names.all_inner_texts() == ["<b>lid"]
        for width in (360, 1400):
            browser.set_viewport_size({"width": width, "height": 800})
            assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
