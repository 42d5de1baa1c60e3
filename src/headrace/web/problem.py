"""Errors as `application/problem+json` (RFC 9457): what was refused, why, and what to do."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from headrace.model import HeadraceError, Refused, StoreError, UnknownName, UsageError
from headrace.operations.plan_refusals import INPUTS_UNCHANGED, InputsUnchanged, PlanRefused
from headrace.operations.responses import RefusedRow
from headrace.operations.session import InvalidProject

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


class ProblemResponse(msgspec.Struct, frozen=True):
    """What an error says of itself. `hint` is what to do about it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    hint: str = ""
    code: str = ""
    """What a program decides by: `plan_changed`, `values_differ`, `needs_approval`, `inputs_unchanged`;
    else empty."""
    refused: RefusedRow | None = None
    """Of a plan that isn't done: why, as its document has it."""


class HttpProblem(Exception):
    """A request that is answered with an error. `detail` and `hint` may hold what a client sent: it is cut, and JSON escapes it."""

    code = ""
    refused: RefusedRow | None = None

    def __init__(self, status: int, detail: str, hint: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint = status, detail[:TEXT_CHARACTERS_MAX], hint[:TEXT_CHARACTERS_MAX]
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def document(self) -> ProblemResponse:
        """What it says."""
        return ProblemResponse(
            title=TITLES.get(self.status, "error"), status=self.status, detail=self.detail, hint=self.hint,
            code=self.code, refused=self.refused,
        )  # fmt: skip

    def response(self) -> Response:
        """The answer."""
        return Response(msgspec.json.encode(self.document), self.status, media_type="application/problem+json", headers=self.headers)


def of_error(error: HeadraceError) -> HttpProblem:
    """What Headrace itself refuses."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    problem = HttpProblem(status, f"{error}{_first_of(error)}", error.hint)
    if isinstance(error, PlanRefused):
        problem.code, problem.refused = error.row.code, error.row
    elif isinstance(error, InputsUnchanged):
        problem.code = INPUTS_UNCHANGED
    return problem


def _first_of(error: HeadraceError) -> str:
    """The first error of a project that has some: whoever reads this has no file at hand."""
    if not isinstance(error, InvalidProject) or not error.problems:
        return ""
    first = error.problems[0]
    return f": {first.place.file}:{first.place.line}: {first.message}"


_STATUS = (
    (UnknownName, 404),
    (UsageError, 400),
    (Refused, 409),
    (InvalidProject, 409),
    (StoreError, 503),
)
"""The first kind that an error is of decides its status."""
