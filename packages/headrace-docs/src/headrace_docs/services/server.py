"""`docs serve`: a folder to the browsers of this machine, until Ctrl-C."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from headrace.extension import HeadraceError

HOST = "127.0.0.1"
_NAMES = ("127.0.0.1", "localhost")
"""Names by which a browser may ask: a foreign page can give its own name this address."""


def site_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder on the loopback address; 0 is any free port.

    Raise HeadraceError if the port is taken.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        hint = "docs serve --port 0 takes a free one"
        raise HeadraceError(f"port {port} can't be used: {error.strerror}", hint=hint) from error


class _Handler(SimpleHTTPRequestHandler):
    """Serves files, and nothing else: no lists of folders, and no name of another server."""

    server_version, sys_version = "headrace-docs", ""

    def send_head(self) -> Any:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in _NAMES:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "ask for it by 127.0.0.1 or localhost")
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        del path
        self.send_error(HTTPStatus.NOT_FOUND, "there is no such page")

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base names it
        """Print nothing: what is read is nobody's business."""
