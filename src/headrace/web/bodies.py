"""What is sent with a request: bounded in size and time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from headrace.web.problem import HttpProblem

BODY_BYTES_MAX = 64 << 10
BODY_SECONDS = 10.0
JSON = "application/json"


async def body_of(request: Request) -> bytes:
    """All of it. Problem where it is too large, or doesn't come."""
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


async def json_of(request: Request) -> bytes:
    """The same of what says that it is JSON: forms and plain text are what other sites' pages can send without asking."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise HttpProblem(415, f"the body is {kind[:60] or 'of no kind'}, not {JSON}")
    return await body_of(request)
