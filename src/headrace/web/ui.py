"""The web UI's files: one page at every address that people look at, and what it loads.

They are built from `ui/` (hatch_build.py) and hold no data, so that scripts and styles need no token. The page itself comes with status 401
where there is none, and then says how to get in.
"""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from headrace.web.problem import HttpProblem

BUNDLE = Path(__file__).parent / "ui_bundle"
PAGE = "index.html"
PAGES = (
    "incidents", "consumers", "assets", "graph", "runs", "backfills", "sources", "plan", "checks",
    "use", "contracts", "figures", "audit",
)  # fmt: skip
"""Addresses of the UI besides `/`; what follows them is the UI's to understand."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8"}
PACKED = (".js", ".css", ".html", ".svg")
YEAR_SECONDS = 365 * 24 * 3600


class Bundle:
    """What is built in a folder; it may be built anew while it is served."""

    def __init__(self, folder: Path = BUNDLE) -> None:
        self._folder = folder.resolve()

    @property
    def built(self) -> bool:
        """Whether anything is."""
        return self._has(PAGE)

    def _has(self, name: str) -> bool:
        """Whether there is such a file, in the folder and not beside it."""
        try:
            path = (self._folder / name).resolve()
            return path.is_relative_to(self._folder) and path.is_file()
        except (OSError, ValueError):  # no file's name at all
            return False

    def page(self, request: Request, status: int = 200) -> Response:
        """The page of every address."""
        answer = self._answer(request, PAGE, status)
        answer.headers["content-security-policy"] = POLICY
        return answer

    async def file(self, request: Request) -> Response:
        """One file by its name. Files under `assets/` have a hash in their names: they never change."""
        name = request.path_params["name"]
        if not self._has(name):
            raise HttpProblem(404, "the web UI has no such file")
        answer = self._answer(request, name, 200)
        answer.headers["cache-control"] = f"public, max-age={YEAR_SECONDS}, immutable" if name.startswith("assets/") else "no-cache"
        return answer

    def _answer(self, request: Request, name: str, status: int) -> Response:
        path, suffix = self._folder / name, Path(name).suffix
        kind = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        if suffix not in PACKED or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(path.read_bytes(), status, media_type=kind)
        body = _packed(path, path.stat().st_mtime_ns)
        return Response(body, status, {"content-encoding": "gzip", "vary": "accept-encoding"}, media_type=kind)


@lru_cache(maxsize=64)
def _packed(path: Path, changed_ns: int) -> bytes:
    """The file's text as it goes over the network, packed once. `changed_ns` tells a new one by the same name."""
    del changed_ns
    return gzip.compress(path.read_bytes(), 6, mtime=0)
