"""Requests and responses: parameters, bodies, errors as problem+json, and streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar, get_origin

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from headrace.access.agreements import INPUTS_UNCHANGED, InputsUnchanged, PlanRefused
from headrace.model import HeadraceError, Refused, StoreError, UnknownName, UsageError
from headrace.model.errors import ColumnRefused, OverCeiling
from headrace.project.session import InvalidProject
from headrace.responses import RefusedRow
from headrace.responses.access import RuleRow, refusal_fields
from headrace.security.access import NotAllowed
from headrace.web.parameter_errors import parameter_error

# Errors as `application/problem+json` (RFC 9457): what was refused, why, and what to do.

PROBLEM_TITLES = {
    400: "the request can't be understood",
    401: "a token is needed",
    403: "this is not allowed",
    404: "there is no such thing",
    405: "this can't be done here",
    409: "this is refused in the current state",
    415: "the body is of another kind",
    408: "the request took too long",
    429: "too many requests",
    413: "the request is too large",
    421: "this server isn't known by that name",
    500: "headrace failed",
    503: "not now",
}
PROBLEM_CHARACTERS_MAX = 500
OVER_CEILING = "over_ceiling"
NOT_INSTALLED = "not_installed"
"""The code of a path that another package serves."""


class ProblemResponse(msgspec.Struct, frozen=True):
    """The body of an error response. `hint` says what to do about it."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    hint: str = ""
    code: str = ""
    """What a program decides by: `plan_changed`, `values_differ`, `needs_approval`,
    `inputs_unchanged`; else empty."""
    refused: RefusedRow | None = None
    """Of a plan that isn't done: why, as its document has it."""
    who: str | None = None
    """Of `not_allowed` and `frozen`: who asked."""
    command: str | None = None
    rule: RuleRow | None = None
    """The line of `access.yaml` that forbids it; null if no rule allows it."""
    ask: list[str] = []
    """The owners who can be asked; of a vendor, its manager."""


class HttpProblem(Exception):
    """A request that ends with an error response.

    `detail` and `hint` may contain text of the client; they are shortened, and JSON escapes them.
    """

    code = ""
    refused: RefusedRow | None = None
    not_allowed: NotAllowed | None = None

    def __init__(self, status: int, detail: str, hint: str = "", **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.hint = (
            status,
            detail[:PROBLEM_CHARACTERS_MAX],
            hint[:PROBLEM_CHARACTERS_MAX],
        )
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    @property
    def document(self) -> ProblemResponse:
        """The error as the body of a response."""
        return ProblemResponse(
            title=PROBLEM_TITLES.get(self.status, "error"),
            status=self.status,
            detail=self.detail,
            hint=self.hint,
            code=self.code,
            refused=self.refused,
            **refusal_fields(self.not_allowed),
        )

    def response(self) -> Response:
        """The error as a response."""
        return Response(
            msgspec.json.encode(self.document),
            self.status,
            media_type="application/problem+json",
            headers=self.headers,
        )


def problem_of(error: HeadraceError) -> HttpProblem:
    """Return the response for an error of Headrace's own."""
    status = next((code for kind, code in _STATUS_BY_ERROR if isinstance(error, kind)), 500)
    problem = HttpProblem(status, f"{error}{_first_problem(error)}", error.hint)
    if isinstance(error, PlanRefused):
        problem.code, problem.refused = error.row.code, error.row
    elif isinstance(error, NotAllowed):
        problem.code, problem.not_allowed = error.code, error
    elif isinstance(error, InputsUnchanged):
        problem.code = INPUTS_UNCHANGED
    elif isinstance(error, OverCeiling):
        problem.code = OVER_CEILING
    return problem


def _first_problem(error: HeadraceError) -> str:
    """Return the first problem of an invalid project: a client can't look into the files."""
    if not isinstance(error, InvalidProject) or not error.problems:
        return ""
    first = error.problems[0]
    return f": {first.place.file}:{first.place.line}: {first.message}"


_STATUS_BY_ERROR = (
    (UnknownName, 404),
    (NotAllowed, 403),
    (ColumnRefused, 403),
    (UsageError, 400),
    (Refused, 409),
    (InvalidProject, 409),
    (StoreError, 503),
)
"""The first kind that an error is of decides its status."""


# The parameters of a request: each field of a struct comes from the path, the query or the body
# and is checked by its type. The OpenAPI description reads the same structs, so parameters are
# declared once.

PARAMETER_CHARACTERS_MAX = 1_000
"""Of all that one parameter says."""
INTEGER_MAX = 2**63 - 1
"""The largest that a database takes; no number that is asked for has a meaning beyond it."""
RESERVED_PARAMETERS = frozenset({"token"})
"""Parameters that are the guard's."""


class RequestParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request parameters.

    A field without a default is in the path, or required by an action.
    """


A = TypeVar("A", bound=msgspec.Struct)


def query_parameters(kind: type[A], path: Mapping[str, str], query: QueryParams) -> A:
    """Return the parameters of path and query.

    Raises HttpProblem (400) for an unknown name, and for a value that is too long or invalid.
    """
    values = {**path, **_query_words(kind, path, query)}
    for name, value in values.items():
        if sum(map(len, value)) > PARAMETER_CHARACTERS_MAX:
            raise HttpProblem(
                400, f"`{name[:60]}` is longer than {PARAMETER_CHARACTERS_MAX:,} characters"
            )
    return converted_parameters(values, kind, strict=False)


def _query_words(
    kind: type[msgspec.Struct], path: Mapping[str, str], query: QueryParams
) -> dict[str, Any]:
    """Return the query's values: a list for parameters that can be repeated, else the last one."""
    several = {
        field.encode_name
        for field in msgspec.structs.fields(kind)
        if get_origin(field.type) in (tuple, Sequence)
    }
    results: dict[str, Any] = {}
    for name in query:
        words = [word for word in query.getlist(name) if word]
        if words and name not in RESERVED_PARAMETERS and name not in path:
            results[name] = words if name in several else words[-1]
    return results


def body_parameters(kind: type[A], path: Mapping[str, str], body: bytes) -> A:
    """Return the parameters of path and JSON body.

    Raises HttpProblem (400) if the body isn't a JSON object or doesn't fit.
    """
    try:
        fields = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HttpProblem(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise HttpProblem(400, "the body is nested too deeply") from None
    if not isinstance(fields, dict):
        raise HttpProblem(400, "the body is no JSON object")
    return converted_parameters({**fields, **path}, kind, strict=True)


def converted_parameters(values: Mapping[str, Any], kind: type[A], *, strict: bool) -> A:
    """Return values as parameters. Raises HttpProblem (400) if they don't fit."""
    try:
        converted = msgspec.convert(values, kind, strict=strict)
    except msgspec.ValidationError:
        raise HttpProblem(400, *parameter_error(values, kind, strict=strict)) from None
    for field in msgspec.structs.fields(kind):
        value = getattr(converted, field.name)
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            raise HttpProblem(400, f"`{field.encode_name}` is larger than {INTEGER_MAX:,}")
    return converted


# Bodies of requests, limited in size and time.

BODY_BYTES_MAX = 64 << 10
BODY_SECONDS = 10.0
JSON_TYPE = "application/json"


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raises HttpProblem if it is too large or doesn't arrive in time."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > BODY_BYTES_MAX:
        raise HttpProblem(413, f"at most {BODY_BYTES_MAX:,} bytes are taken")
    result = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                result += chunk
                if len(result) > BODY_BYTES_MAX:
                    raise HttpProblem(413, f"at most {BODY_BYTES_MAX:,} bytes are taken")
    except TimeoutError:
        raise HttpProblem(408, f"the body didn't come within {BODY_SECONDS:.0f} s") from None
    return bytes(result)


async def read_json_body(request: Request) -> bytes:
    """Return the body of a request that declares JSON.

    Pages of other sites can send forms and plain text without a preflight request, so these are
    refused.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON_TYPE:
        raise HttpProblem(415, f"the body is {kind[:60] or 'of no kind'}, not {JSON_TYPE}")
    return await read_body(request)


# Streamed responses, which release what they hold when they end.


TAKEN = "headrace.taken"
"""Key of the scope: how many bytes of its response the client has taken, or has in its buffer."""


class TrackedStreamingResponse(StreamingResponse):
    """A response that is sent in parts. `ended` is called once, also if the client disconnects."""

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        ended: Callable[[], None],
        *,
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, count its bytes for the server's limit, and call `ended`."""

        async def counted(message: Message) -> None:
            await send(message)
            scope[TAKEN] = scope.get(TAKEN, 0) + len(message.get("body", b""))

        try:
            await super().__call__(scope, receive, counted)
        finally:
            self._ended()
