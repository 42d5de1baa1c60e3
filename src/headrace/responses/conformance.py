"""The response of `conformance`."""

from __future__ import annotations

from headrace.responses.base import Response


class ConformanceCase(Response, frozen=True, kw_only=True):
    """One case: what the program was asked to do is in the reference of command assets by `name`;
    `detail` says what it did, and for a failed case what was expected."""

    name: str
    ok: bool
    detail: str


class ConformanceResponse(Response, frozen=True, kw_only=True):
    """`conformance`: whether a program keeps the file protocol of command assets."""

    ok: bool
    command: list[str]
    cases: list[ConformanceCase]
