"""The server of ``fcnn learn``: this machine alone, with a secret in every address."""

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, NoReturn

from fcnn.learn._requests import answer

MOST_BYTES = 4_000_000
TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8", "woff2": "font/woff2", "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}  # fmt: skip
# KaTeX sets sizes as style attributes; no script but the page's own runs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def page_files() -> dict[str, bytes]:
    """Return the files of the page by their names: nothing else is ever read."""
    found: dict[str, bytes] = {}

    def walk(folder: Any, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif entry.name.rpartition(".")[2] in TYPES:
                found[f"{prefix}{entry.name}"] = entry.read_bytes()

    walk(resources.files("fcnn").joinpath("learn", "page"), "")
    return found


class RefusedError(Exception):
    """A request that gets no answer but its status."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class LearnServer(ThreadingHTTPServer):
    """Serves the page on 127.0.0.1.

    Parameters
    ----------
    port : int, default 0
        0 takes one that is free.

    Attributes
    ----------
    token : str
        The first part of every path; without it nothing is answered.
    url : str
        What to open in a browser.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.token = secrets.token_urlsafe(24)
        self.files = page_files()
        port = self.server_address[1]
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.url = f"http://127.0.0.1:{port}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that goes away while it is answered."""


class _Handler(BaseHTTPRequestHandler):
    server: LearnServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # of a connection that sends nothing
    # Head and body in one packet: in two the second waits 40 ms for the first's acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server_version = "fcnn"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, method: Any) -> None:
        try:
            kind, body = method(self._path())
            status = HTTPStatus.OK
        except RefusedError as refused:
            status, kind, body = refused.status, "text/plain; charset=utf-8", str(refused).encode()
            # What it sends may not have been read.
            self.close_connection = True
        except (ValueError, TypeError, OverflowError) as error:
            status = HTTPStatus.BAD_REQUEST
            kind, body = "application/json", json.dumps({"error": str(error)}).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _path(self) -> str:
        """Return the path behind the token, of a request that is this page's own."""
        # A page elsewhere may make a name of its own point here: its Host is not ours.
        if self.headers.get("Host", "") not in self.server.hosts:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Host: not this server")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise RefusedError(HTTPStatus.FORBIDDEN, "Origin: not this page")
        path = self.path.partition("?")[0]
        _, token, *rest = path.split("/", 2) if path.count("/") > 1 else ("", path[1:])
        if not secrets.compare_digest(token.encode(), self.server.token.encode()) or not rest:
            raise RefusedError(HTTPStatus.FORBIDDEN, "not the address that was printed")
        return rest[0]

    def _get(self, path: str) -> tuple[str, bytes]:
        name = path or "index.html"
        body = self.server.files.get(name)
        if body is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such file")
        return TYPES[name.rpartition(".")[2]], body

    def _post(self, path: str) -> tuple[str, bytes]:
        if not path.startswith("api/"):
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such request")
        if self.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or self.headers.get("Transfer-Encoding"):
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if len(length) > 12 or int(length) > MOST_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MOST_BYTES} bytes")
        text = self.rfile.read(int(length))
        try:
            request = json.loads(text, parse_constant=_no_constant)
        except RecursionError:
            raise ValueError("request: nested too deeply") from None
        result = answer(path.removeprefix("api/"), request)
        return "application/json", json.dumps(result, allow_nan=False).encode()

    def log_message(self, format: str, *values: Any) -> None:
        """Write no line for each request."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"request: {name} is no number of JSON")
