"""`fomoad review` in Chromium with the keyboard, and against everyone who has no business there."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomoad import cli
from fomoad.inference.collect import Collector, Limits
from fomoad.maintenance.review import ReviewServer
from fomoad.maintenance.review_folder import ReviewFolder
from tests.support.browser import opened


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    """Four photos, as `predict --collect` keeps them; a name that is markup, one that is a TIFF."""
    collector = Collector(tmp_path / "line", Limits())
    for number, name in enumerate(["a.png", "<b>b.png", "c.tif", "d.png"]):
        photo = tmp_path / name
        random = np.random.default_rng(number)
        Image.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(photo)
        box = {"x": 5, "y": 5, "width": 20, "height": 20}
        line = {"file": f"<b>{name}", "score": 9.5, "threshold": 4.0, "verdict": "anomaly", "boxes": [box, {"x": "?"}]}
        assert collector.keep(photo, True, line) is not None
    return ReviewFolder.open(tmp_path / "line")


@pytest.fixture
def server(folder: ReviewFolder) -> Iterator[ReviewServer]:
    with ReviewServer(folder) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server: ReviewServer, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, body, {"Host": f"127.0.0.1:{server.server_port}"} | headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def wait_for(page: Any, selector: str, text: str) -> None:
    """Wait until an element shows a text."""
    page.locator(selector).filter(has_text=text).wait_for()


def test_photos_are_sorted_by_keys(server: ReviewServer, folder: ReviewFolder) -> None:
    """G, D, N and U in a browser: photos and their lines move, names are no markup, no other request."""
    names = folder.waiting()
    with opened(server.url) as page:
        wait_for(page, "#caption", "<b>a.png: anomaly, score 9.5")
        page.keyboard.press("g")
        wait_for(page, "#counts", "3 to review, 1 good")
        page.keyboard.press("n")
        wait_for(page, "#caption", "c.tif")
        page.keyboard.press("d")
        wait_for(page, "#counts", "2 to review, 1 good, 1 defects")
        page.keyboard.press("u")
        wait_for(page, "#counts", "3 to review, 1 good, 0 defects")
        wait_for(page, "#caption", "c.tif")
        shown = "async (image) => { await image.decode(); return image.naturalWidth; }"
        assert page.locator("#photo").evaluate(shown) == 60
        for left in ("2 to review", "1 to review", "0 to review"):
            page.click("#defect")
            wait_for(page, "#counts", left)
        wait_for(page, "#done", "Nothing is left")
    assert sorted(path.name for path in (folder.root / "good").iterdir()) == [names[0], f"{names[0]}.json"]
    assert folder.counts() == {"to-review": 0, "good": 1, "defects": 3}
    assert json.loads((folder.root / "good" / f"{names[0]}.json").read_text())["review"] == "good"
    assert json.loads((folder.root / "defects" / f"{names[1]}.json").read_text())["review"] == "defect"


def test_strangers_are_refused(server: ReviewServer, folder: ReviewFolder) -> None:
    """No token, another site's origin, a name bent to this machine: nothing is shown and nothing moves."""
    [first, *_] = folder.waiting()
    move = json.dumps({"name": first, "source": "to-review", "target": "good"})
    token = {"X-Review-Token": server.token}
    tries: list[tuple[str, str, dict[str, str]]] = [
        ("GET", "/", {}),
        ("GET", "/?token=guess", {}),
        ("GET", f"/photo?name={first}", {}),
        ("GET", f"/?token={server.token}", {"Host": "evil.example"}),
        ("POST", "/move", {}),
        ("POST", f"/move?token={server.token}", {}),  # a form of another site could send this, but no header
        ("POST", "/move", token | {"Origin": "https://evil.example"}),
        ("POST", "/move", token | {"Host": f"evil.example:{server.server_port}"}),
    ]
    for method, path, headers in tries:
        assert ask(server, method, path, headers, move if method == "POST" else "")[0] == 403
    assert folder.counts()["to-review"] == 4
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "{}", "[" * 3000, '{"name": 1, "source": 2, "target": 3}',
        {"name": "../../a.png"}, {"name": "/etc/passwd"}, {"name": "missing.png"}, {"target": "../good"},
        {"source": "good"}, {"target": "to-review"},
    ],
)  # fmt: skip
def test_odd_requests_move_nothing(server: ReviewServer, folder: ReviewFolder, body: Any) -> None:
    """A sentence, and the folders as they were."""
    [first, *_] = folder.waiting()
    if isinstance(body, dict):
        body = json.dumps({"name": first, "source": "to-review", "target": "good"} | body)
    status, content = ask(server, "POST", "/move", {"X-Review-Token": server.token}, body)
    assert status == 409
    assert content.decode().endswith((".", "again."))
    assert folder.counts() == {"to-review": 4, "good": 0, "defects": 0}
    path = f"/photo?token={server.token}&name=..%2F..%2Fa.png"
    assert ask(server, "GET", path, {})[0] == 409
    assert ask(server, "GET", f"/elsewhere?token={server.token}", {})[0] == 404


def test_a_photo_of_the_same_name_is_not_overwritten(server: ReviewServer, folder: ReviewFolder) -> None:
    [first, *_] = folder.waiting()
    (folder.root / "good" / first).write_bytes(b"there before")
    body = json.dumps({"name": first, "source": "to-review", "target": "good"})
    assert ask(server, "POST", "/move", {"X-Review-Token": server.token}, body)[0] == 409
    assert (folder.root / "good" / first).read_bytes() == b"there before"
    assert first in folder.waiting()


def test_a_folder_without_photos_to_review_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", str(tmp_path)]) == 1
    assert "predict --collect" in capsys.readouterr().err
