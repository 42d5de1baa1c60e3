"""`GET /badge/CONSUMER.svg`: the state of one consumer as a small picture, for pages elsewhere.

A picture in another page sends no token and, in most browsers, no cookie: it has a signed link, or
the consumer declares a public badge. Texts are escaped; the picture has no script, style or link.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from html import escape

from starlette.requests import Request
from starlette.responses import Response

from headrace.extension import HttpProblem, ProjectSession, ServerContext
from headrace.model import UnknownName
from headrace.web.project_reader import etag_matches
from headrace_ui.responses.badges import BadgeResponse
from headrace_ui.services.badges import badge, linked_badge, public_badge

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
UNKNOWN = BadgeResponse(consumer="Headrace", state="", texts=["unknown consumer"])
REFUSED = BadgeResponse(consumer="Headrace", state="", texts=["needs a valid link"])
SHARED = {"cross-origin-resource-policy": "cross-origin"}
"""The header of what pages of other servers may show."""


def drawn(response: BadgeResponse) -> bytes:
    """Return a badge as SVG: the name, and its texts on the colour of its state."""
    name = cut(response.consumer, NAME_MAX)
    text = cut(" · ".join(response.texts), TEXT_MAX)
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


def cut(text: str, length: int) -> str:
    """Return a text without characters that XML refuses or that can't be seen, at most so long."""
    visible = "".join(character if character.isprintable() else " " for character in text)
    return visible if len(visible) <= length else f"{visible[: length - 1]}…"


class Badges:
    """The endpoint of badges. The states for everybody are cached, whoever asks how often."""

    def __init__(self, context: ServerContext) -> None:
        self._reader, self._identify = context.reader, context.identify
        self._cached: OrderedDict[tuple[str, str, str], tuple[float, BadgeResponse | None]] = (
            OrderedDict()
        )

    async def file(self, request: Request) -> Response:
        """Return a badge as SVG. Without a valid link it needs who is signed in, or `public`.

        An unknown consumer's is answered with 404; it is that of a hidden one, too. A refusal
        is a picture as well, because a page can't show JSON in its place.
        """
        file: str = request.path_params["name"]
        if not file.endswith(SUFFIX):
            raise HttpProblem(404, "the address says no badge", "ask for /badge/CONSUMER.svg")
        headers = {"content-security-policy": "default-src 'none'; sandbox"}
        try:
            response, cache = await self.state(request, file.removesuffix(SUFFIX))
        except UnknownName:
            return Response(drawn(UNKNOWN), 404, {**headers, **SHARED}, MEDIA_TYPE)
        except HttpProblem as problem:
            if problem.status != 401:
                raise
            return Response(drawn(REFUSED), 401, {**headers, **SHARED}, MEDIA_TYPE)
        return cached_answer(request, drawn(response), MEDIA_TYPE, cache, headers)

    async def state(self, request: Request, name: str) -> tuple[BadgeResponse, str]:
        """Return a consumer's state for the request, and who may cache it: `public`, `private`.

        Raise HttpProblem (401) for nobody without a link, NotAllowed and UnknownName for others.
        """
        link, until = (request.query_params.get(key, "") for key in ("link", "until"))
        shared = await self.shared(name, until, link)
        if shared is not None:
            return shared, "public"
        identity = await self._identify(request)
        return (
            await self._reader.response(lambda session: badge(session, name), identity),
            "private",
        )

    async def shared(self, name: str, until: str, link: str) -> BadgeResponse | None:
        """Return the state for who has the link, or for everybody; None if there is none."""
        until, link = until[:20], link[:2_000]
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


def cached_answer(
    request: Request, body: bytes, media_type: str, cache: str, headers: dict[str, str]
) -> Response:
    """Return a response that other pages show, and that may be used again for a minute."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        **headers,
        "cache-control": f"{cache}, max-age={FRESH_SECONDS}",
        **SHARED,
        "etag": tag,
    }
    if cache == "private":
        headers["vary"] = "cookie, authorization"
    if etag_matches(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
