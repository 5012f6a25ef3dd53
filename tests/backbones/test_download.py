"""The download of Keras' weights, from a server on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fomoad.backbones import weights
from fomoad.errors import UserError

NAME = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
CONTENT = bytes(range(256)) * 8


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Serve CONTENT as a file of its own, cut off in a folder, and nothing else."""
        whole = self.path == f"/mobilenet_v2/{NAME}"
        if not whole and not self.path.startswith("/cut/"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT if whole else CONTENT[:100])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "KERAS_DOWNLOADS", address)
    return tmp_path / "keras"


def _find() -> weights.Weights:
    return weights.find_weights("mobilenet-v2-0.35", "imagenet", 96)


def test_a_file_is_downloaded_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.KERAS_MD5, NAME, hashlib.md5(CONTENT).hexdigest())
    assert _find().path.read_bytes() == CONTENT
    assert [path.name for path in (home / "models").iterdir()] == [NAME]
    monkeypatch.setattr(weights, "KERAS_DOWNLOADS", "http://127.0.0.1:9")
    assert _find().path == home / "models" / NAME


@pytest.mark.parametrize(
    ("folder", "md5", "says"),
    [("", "0" * 32, "its digest is not"), ("/cut", None, "100 of 2048 bytes came"), ("/none", None, "404")],
)
def test_what_is_not_the_whole_file_is_not_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch, address: str, folder: str, md5: str | None, says: str
) -> None:
    monkeypatch.setattr(weights, "KERAS_DOWNLOADS", address + folder)
    if md5:
        monkeypatch.setitem(weights.KERAS_MD5, NAME, md5)
    with pytest.raises(UserError, match=rf"could not be downloaded \(.*{says}"):
        _find()
    assert not list(home.rglob("*.h5"))


def test_a_folder_that_takes_no_file_is_named(home: Path) -> None:
    home.write_text("no folder")
    with pytest.raises(UserError, match="could not be downloaded"):
        _find()
