"""Errors as `application/problem+json` (RFC 9457): what was refused, why, and what to do."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from headrace.model import HeadraceError, Refused, StoreError, UnknownName, UsageError

TITLES = {
    400: "the request can't be understood",
    401: "a token is needed",
    403: "this may not be asked from there",
    404: "there is no such thing",
    405: "this can't be done here",
    409: "this is refused as things stand",
    415: "the body is of another kind",
    408: "the request took too long",
    413: "the request is too large",
    421: "this server isn't known by that name",
    500: "headrace failed",
    503: "not now",
}
TEXT_CHARACTERS_MAX = 500


class ProblemDocument(msgspec.Struct, frozen=True):
    """What an error says of itself. `hint` is what to do about it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    hint: str = ""


class Problem(Exception):
    """A request that is answered with an error. `detail` and `hint` may hold what a client sent: it is cut, and JSON escapes it."""

    def __init__(self, status: int, detail: str, hint: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint = status, detail[:TEXT_CHARACTERS_MAX], hint[:TEXT_CHARACTERS_MAX]
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def document(self) -> ProblemDocument:
        """What it says."""
        return ProblemDocument(title=TITLES.get(self.status, "error"), status=self.status, detail=self.detail, hint=self.hint)

    def response(self) -> Response:
        """The answer."""
        return Response(msgspec.json.encode(self.document), self.status, media_type="application/problem+json", headers=self.headers)


def of_error(error: HeadraceError) -> Problem:
    """What Headrace itself refuses."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    return Problem(status, str(error), error.hint)


_STATUS = ((UnknownName, 404), (UsageError, 400), (Refused, 409), (StoreError, 503))
"""The first kind that an error is of decides its status."""
