"""The files of the built web UI.

They hold no data, so scripts and styles need no token. The page itself is sent with status 401 if
the token is missing, and then explains how to get in.
"""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from headrace.extension import HttpProblem

BUNDLE = Path(__file__).parents[1] / "ui_bundle"
INDEX_PAGE = "index.html"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src"
    " 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
GZIPPED_SUFFIXES = (".js", ".css", ".html", ".svg")
YEAR_SECONDS = 365 * 24 * 3600


class Bundle:
    """The files of a built web UI; it may be built again while the server runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def built(self) -> bool:
        """Whether the folder has a built UI."""
        return self._has(INDEX_PAGE)

    def _has(self, name: str) -> bool:
        """Whether there is such a file inside the folder."""
        try:
            path = (self._folder / name).resolve()
            return path.is_relative_to(self._folder) and path.is_file()
        except (OSError, ValueError):  # no file's name at all
            return False

    def page(self, request: Request, status: int = 200) -> Response:
        """Return the page that the UI shows at every address."""
        answer = self._answer(request, INDEX_PAGE, status)
        answer.headers["content-security-policy"] = PAGE_POLICY
        return answer

    async def file(self, request: Request) -> Response:
        """Return one file by its name.

        Files under `assets/` have a hash in their names, so they never change.
        """
        name = request.path_params["name"]
        if not self._has(name):
            raise HttpProblem(404, "the web UI has no such file")
        answer = self._answer(request, name, 200)
        answer.headers["cache-control"] = (
            f"public, max-age={YEAR_SECONDS}, immutable"
            if name.startswith("assets/")
            else "no-cache"
        )
        return answer

    def _answer(self, request: Request, name: str, status: int) -> Response:
        path, suffix = self._folder / name, Path(name).suffix
        kind = (
            MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        )
        if suffix not in GZIPPED_SUFFIXES or "gzip" not in request.headers.get(
            "accept-encoding", ""
        ):
            return Response(path.read_bytes(), status, media_type=kind)
        body = _gzipped(path, path.stat().st_mtime_ns)
        return Response(
            body, status, {"content-encoding": "gzip", "vary": "accept-encoding"}, media_type=kind
        )


@lru_cache(maxsize=64)
def _gzipped(path: Path, changed_ns: int) -> bytes:
    """Return a file's bytes, compressed once.

    `changed_ns` distinguishes a new file of the same name.
    """
    del changed_ns
    return gzip.compress(path.read_bytes(), 6, mtime=0)
