"""`fomoad review`: a page, on this machine alone, to sort collected photos with the keyboard."""

import json
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fomoad.errors import UserError
from fomoad.inference.collect import TO_REVIEW
from fomoad.maintenance import page
from fomoad.maintenance.review_folder import VERDICTS, ReviewFolder
from fomoad.progress import log

LOOPBACK: Final = "127.0.0.1"
TOKEN_HEADER: Final = "X-Review-Token"
MOST_BODY: Final = 4096
FOLDERS: Final = (TO_REVIEW, *VERDICTS)


class ReviewServer(ThreadingHTTPServer):
    """Serves one folder to whoever has the token: the page's address holds it.

    Other sites that the browser has open know no token and may set no header; a name that was bent to this machine
    shows in the Host header. Both are refused.
    """

    daemon_threads = True

    def __init__(self, folder: ReviewFolder, port: int = 0) -> None:
        """Listen on the loopback interface, on a free port where it is 0. Raises UserError where that cannot be."""
        self.folder = folder
        self.token = secrets.token_urlsafe(24)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"Port {port} cannot be used ({error}): give another --port, or none.") from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/?token={self.token}"


def run(folder: ReviewFolder, port: int) -> None:
    """Serve until the process is ended."""
    with ReviewServer(folder, port) as server:
        log(f"{len(folder.waiting())} photos wait. Open {server.url}\nG: good, D: defect, U: undo. End with Ctrl-C.")
        server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    server_version = "fomoad"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, what waits, and photos."""
        asked = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(asked.query).items()}
        answers: dict[str, Callable[[], None]] = {
            "/": self._page,
            "/waiting": self._waiting,
            "/photo": lambda: self._photo(query.get("name", "")),
        }
        self._answer(query.get("token", ""), answers.get(asked.path))

    def do_POST(self) -> None:
        """Move a photo."""
        known = self._move if urlsplit(self.path).path == "/move" else None
        self._answer(self.headers.get(TOKEN_HEADER, ""), known)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: requests would drown what the command says."""

    def _answer(self, token: str, answer: Callable[[], None] | None) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        here = {f"{name}:{self.server.server_port}" for name in (LOOPBACK, "localhost")}
        from_here = host in here and (origin is None or origin in {f"http://{each}" for each in here})
        if not from_here or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._send(HTTPStatus.FORBIDDEN, b"Open the address that fomoad review printed.", "text/plain")
        elif answer is None:
            self._send(HTTPStatus.NOT_FOUND, b"There is no such page.", "text/plain")
        else:
            try:
                answer()
            except UserError as error:
                self._send(HTTPStatus.CONFLICT, str(error).encode(), "text/plain")
            except OSError as error:
                self._send(HTTPStatus.CONFLICT, f"{error}".encode(), "text/plain")

    def _page(self) -> None:
        content = page.render("review.html.jinja", ["review.js"], token=self.server.token)
        sources = page.policy(["review.js"])
        policy = f"default-src 'none'; img-src 'self' data:; connect-src 'self'; {sources}; frame-ancestors 'none'"
        self._send(HTTPStatus.OK, content.encode(), "text/html", {"Content-Security-Policy": policy})

    def _waiting(self) -> None:
        folder = self.server.folder
        photos = []
        for name in folder.waiting():
            line = folder.line(name)
            shown = {key: line.get(key) for key in ("file", "score", "threshold", "verdict")}
            photos.append(shown | {"name": name})
        content = json.dumps({"photos": photos, "counts": folder.counts()}).encode()
        self._send(HTTPStatus.OK, content, "application/json")

    def _photo(self, name: str) -> None:
        self._send(HTTPStatus.OK, self.server.folder.picture(name), "image/png")

    def _move(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
            asked = json.loads(self.rfile.read(min(max(length, 0), MOST_BODY)))
            name, source, target = (str(asked[key]) for key in ("name", "source", "target"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError("That is no request to move a photo: load the page again.") from error
        if source not in FOLDERS or target not in FOLDERS or source == target:
            raise UserError("Photos move between to-review, good and defects only: load the page again.")
        self.server.folder.move(name, source, target)
        self._send(HTTPStatus.OK, json.dumps(self.server.folder.counts()).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        always = {
            "Content-Type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in (always | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
