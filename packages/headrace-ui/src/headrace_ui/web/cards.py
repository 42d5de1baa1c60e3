"""`GET /card/CONSUMER`: the state of one consumer as a small page that others embed.

It is the badge with more room: the same state, the same signed link, the same cache. It is the only
page that other pages may show in a frame; it has no script, and nothing in it can be pressed but a
link to the consumer. `GET /oembed?url=…` says how to embed it.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from headrace.extension import HttpProblem, HttpRoute, ServerContext
from headrace.extension import Response as Document
from headrace.model import UnknownName
from headrace.web.endpoints import json_response
from headrace_ui.responses.badges import BadgeResponse
from headrace_ui.services.badges import CARD_HEIGHT, CARD_WIDTH, embedding
from headrace_ui.web.badges import (
    COLORS,
    FRESH_SECONDS,
    NAME_MAX,
    OTHER_COLOR,
    TEXT_MAX,
    Badges,
    cached_answer,
    cut,
)

PATH = "/card/"
ADDRESS_MAX = 4_000
DISCOVERY_MAX = 1_000
"""Characters of the link to oEmbed; a card with a longer address has none."""
REFRESH_SECONDS = 300
"""How often an embedded card that stays open is fetched again."""
MEDIA_TYPE = "text/html; charset=utf-8"
STYLE = (
    ":root{color-scheme:light dark}body{margin:0;font:14px/1.4 system-ui,sans-serif;background:"
    "light-dark(#fff,#1a1c1f);color:light-dark(#17191c,#e8eaed)}main{border:1px solid"
    " light-dark(#dcdedf,#33373d);border-left:6px solid var(--c);border-radius:6px;padding:8px"
    " 12px;overflow-wrap:anywhere}h1{font-size:16px;margin:0 0 4px}p{margin:0}b{background:"
    "var(--c);color:#fff;border-radius:9px;padding:1px 8px}small,a{color:light-dark(#565c64,"
    "#a4abb5);font-size:12px}"
    + "".join(f".{name.replace(' ', '-')}{{--c:{color}}}" for name, color in COLORS.items())
    + f".other{{--c:{OTHER_COLOR}}}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors *"
)
UNKNOWN = "No consumer has this name. Ask for a new link."
REFUSED = "The state can't be shown: the link isn't valid, or it has ended. Ask for a new one."


class OEmbedResponse(Document, frozen=True, kw_only=True):
    """How to embed a card, as of oEmbed 1.0."""

    version: str = "1.0"
    type: str = "rich"
    provider_name: str = "Headrace"
    title: str
    html: str
    width: int
    height: int
    cache_age: int = FRESH_SECONDS


def drawn_card(response: BadgeResponse, query: str) -> bytes:
    """Return a card as HTML. `query` is that of its address, for those who look how to embed it."""
    through, state, *others = (cut(text, TEXT_MAX) for text in response.texts)
    name = cut(response.consumer, NAME_MAX)
    kind = state.replace(" ", "-") if state in COLORS else "other"
    opened, discovery = "", ""
    if response.server is not None and len(response.consumer) <= NAME_MAX:
        encoded = quote(response.consumer, safe="", errors="replace")
        page = escape(f"{response.server}/consumers/{encoded}")
        card = f"{response.server}{PATH}{encoded}{query}"
        asked = escape(f"{response.server}/oembed?{urlencode({'url': card})}")
        opened = f' · <a href="{page}" target="_blank" rel="noopener">Open</a>'
        discovery = f'<link rel="alternate" type="application/json+oembed" href="{asked}">'
    lines = "".join(f"<p>{escape(text, quote=False)}</p>" for text in others)
    body = (
        f"<h1>{escape(name, quote=False)}</h1><p><b>{escape(state, quote=False)}</b>"
        f" {escape(through, quote=False)}</p>{lines}"
        f"<p><small>as of {escape(response.as_of, quote=False)}</small>{opened}</p>"
    )
    return _page(name, kind, body, discovery if len(discovery) <= DISCOVERY_MAX else "")


def _no_state(status: int, reason: str) -> Response:
    body = _page("No state", "other", f"<h1>No state</h1><p>{reason}</p>")
    return Response(body, status, {"content-security-policy": POLICY}, MEDIA_TYPE)


def _page(title: str, kind: str, body: str, head: str = "") -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"{escape(title, quote=False)} · Headrace</title>"
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{head}'
        f'<style>{STYLE}</style></head><body><main class="{kind}">{body}</main></body></html>'
    ).encode(errors="xmlcharrefreplace")


def routes(context: ServerContext) -> list[HttpRoute]:
    """Return the routes of badges and cards, which share a cache.

    Pages of other servers show them without a token: each checks its signed link, whether the
    badge is public, or who is signed in.
    """
    badges = Badges(context)
    cards = Cards(badges)
    return [
        HttpRoute(path="/badge/{name}", handler=badges.file, needs=None),
        HttpRoute(path="/card/{name}", handler=cards.page, needs=None),
        HttpRoute(path="/oembed", handler=cards.oembed, needs=None),
    ]


class Cards:
    """The endpoints of cards. They answer whom the badges answer."""

    def __init__(self, badges: Badges) -> None:
        self._badges = badges

    async def page(self, request: Request) -> Response:
        """Return a card; a page that says what to do if the link or the consumer is gone."""
        try:
            response, cache = await self._badges.state(request, request.path_params["name"])
        except HttpProblem as problem:
            if problem.status != 401:
                raise
            return _no_state(401, REFUSED)
        except UnknownName:
            return _no_state(404, UNKNOWN)
        query = f"?{request.url.query}" if cache == "public" and request.url.query else ""
        headers = {"content-security-policy": POLICY, "refresh": str(REFRESH_SECONDS)}
        return cached_answer(request, drawn_card(response, query), MEDIA_TYPE, cache, headers)

    async def oembed(self, request: Request) -> Response:
        """Return how to embed the card at an address of this server, for who has its link.

        Raise HttpProblem for another address or format, and for a card that the address doesn't
        open.
        """
        if request.query_params.get("format", "json") != "json":
            raise HttpProblem(501, "oEmbed is answered as JSON", "leave out `format`")
        address = request.query_params.get("url", "")[:ADDRESS_MAX]
        folder, name, signature = _card_of(address)
        response = await self._badges.shared(
            name, signature.get("until", ""), signature.get("link", "")
        )
        here = {request.headers.get("host", ""), _place_of((response and response.server) or "")}
        if response is None or _place_of(folder) not in here:
            raise HttpProblem(
                404, "the address isn't that of a card", "ask for the card of `headrace badge`"
            )
        query = f"?{urlencode(signature)}" if signature else ""
        card = f"{folder}{PATH}{quote(name, safe='')}{query}"
        width, height = (
            _at_most(request.query_params.get(key, ""), most)
            for key, most in (("maxwidth", CARD_WIDTH), ("maxheight", CARD_HEIGHT))
        )
        return json_response(
            OEmbedResponse(
                title=f"{response.consumer}: {' · '.join(response.texts)}",
                html=embedding(name, card, width, height),
                width=width,
                height=height,
            )
        )


def _card_of(address: str) -> tuple[str, str, dict[str, str]]:
    """Return what a card's address begins with, as `[serve] url`, its consumer and its signature.

    Raise HttpProblem for other addresses.
    """
    try:
        split = urlsplit(address)
    except ValueError:
        split = urlsplit("")
    path, card, name = split.path.rpartition(PATH)
    if split.scheme not in ("http", "https") or not card:
        raise HttpProblem(404, "the address isn't that of a card", "ask for /oembed?url=…/card/…")
    signature = {key: value for key, value in parse_qsl(split.query) if key in ("until", "link")}
    return f"{split.scheme}://{split.netloc}{path}", unquote(name), signature


def _place_of(url: str) -> str:
    """Return a URL without its scheme, which a proxy in between may have changed."""
    return url.partition("://")[2]


def _at_most(text: str, most: int) -> int:
    wanted = int(text) if text.isascii() and text.isdecimal() and len(text) <= 6 else most
    return max(1, min(wanted, most))
