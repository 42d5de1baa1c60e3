"""`GET /badge/CONSUMER.svg`: the state of one consumer as a small picture, for pages elsewhere.

A picture in another page sends no token and, in most browsers, no cookie: it has a signed link, or
the consumer declares a public badge. Texts are escaped; the picture has no script, style or link.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from headrace.security.access import Identity
from headrace.services.badges import BadgeResponse, badge, linked_badge, public_badge
from headrace.services.session import ProjectSession
from headrace.web.http import HttpProblem
from headrace.web.project_reader import ProjectReader, etag_matches

SUFFIX = ".svg"
FRESH_SECONDS = 60
"""How long browsers and the server use a badge again."""
CACHED_MAX = 256
NAME_MAX, TEXT_MAX = 60, 140
"""Characters of the consumer's name and of its state; longer texts are cut."""
COLORS = {
    "served": "#186a39",
    "late": "#7a4b00",
    "at risk": "#7a4b00",
    "wrong": "#ab1a1a",
}
"""The colour by state, beside its word. White text on each has a contrast of at least 6 : 1."""
OTHER_COLOR = "#565c64"
CHARACTER_WIDTH, PADDING, HEIGHT = 6.6, 8, 22
MEDIA_TYPE = "image/svg+xml"


def drawn(response: BadgeResponse) -> bytes:
    """Return a badge as SVG: the name, and its texts on the colour of its state."""
    name = _cut(response.consumer, NAME_MAX)
    text = _cut(" · ".join(response.texts), TEXT_MAX)
    left, right = _width(name), _width(text)
    whole = f"{name}: {text}"
    color = COLORS.get(response.state, OTHER_COLOR)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{HEIGHT}"'
        f' role="img" aria-label="{escape(whole)}"><title>{escape(whole)}</title>'
        f'<rect width="{left + right}" height="{HEIGHT}" rx="3" fill="#33373d"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v{HEIGHT - 6}a3 3 0 0 1 -3 3h-{right - 3}z"'
        f' fill="{color}"/><g fill="#fff" font-size="12"'
        ' font-family="Verdana,DejaVu Sans,sans-serif">'
        f"{_text(name, PADDING, left)}{_text(text, left + PADDING, right)}</g></svg>"
    ).encode(errors="xmlcharrefreplace")


def _text(text: str, x: float, width: float) -> str:
    fitted = f' textLength="{width - 2 * PADDING}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x}" y="15"{fitted}>{escape(text)}</text>'


def _width(text: str) -> int:
    return round(len(text) * CHARACTER_WIDTH) + 2 * PADDING


def _cut(text: str, length: int) -> str:
    """Return a text without characters that XML refuses or that can't be seen, at most so long."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return visible if len(visible) <= length else f"{visible[: length - 1]}…"


Identify = Callable[[Request], Awaitable[Identity]]


class Badges:
    """The endpoint of badges. Those for everybody are cached, whoever asks how often."""

    def __init__(self, reader: ProjectReader, identify: Identify) -> None:
        self._reader, self._identify = reader, identify
        self._cached: OrderedDict[tuple[str, str, str], tuple[float, BadgeResponse | None]] = (
            OrderedDict()
        )

    async def file(self, request: Request) -> Response:
        """Return a badge as SVG. Without a valid link it needs who is signed in, or `public`."""
        file: str = request.path_params["name"]
        if not file.endswith(SUFFIX):
            raise HttpProblem(404, "the address says no badge", "ask for /badge/CONSUMER.svg")
        name = file.removesuffix(SUFFIX)
        link, until = (request.query_params.get(key, "") for key in ("link", "until"))
        shared = await self._shared(name, until[:20], link[:2_000])
        if shared is not None:
            return _answer(request, shared, f"public, max-age={FRESH_SECONDS}")
        identity = await self._identify(request)
        private = await self._reader.response(lambda session: badge(session, name), identity)
        return _answer(request, private, f"private, max-age={FRESH_SECONDS}")

    async def _shared(self, name: str, until: str, link: str) -> BadgeResponse | None:
        """Return the badge for who has the link, or for everybody; None if there is none."""
        key = (name, until, link)
        at, known = self._cached.get(key, (float("-inf"), None))
        if time.monotonic() - at < FRESH_SECONDS:
            return known

        def read(session: ProjectSession) -> BadgeResponse | None:
            linked = linked_badge(session, name, until, link) if link else None
            return linked or public_badge(session, name)

        result = await self._reader.response(read, None)
        self._cached[key] = (time.monotonic(), result)
        self._cached.move_to_end(key)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return result


def _answer(request: Request, response: BadgeResponse, cache: str) -> Response:
    body = drawn(response)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "cache-control": cache,
        "etag": tag,
        "cross-origin-resource-policy": "cross-origin",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    if cache.startswith("private"):
        headers["vary"] = "cookie, authorization"
    if etag_matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=MEDIA_TYPE, headers=headers)
