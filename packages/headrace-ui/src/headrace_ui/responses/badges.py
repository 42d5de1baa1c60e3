"""The state of a consumer for pages of other servers, and the links to it."""

from __future__ import annotations

from datetime import date

from headrace.extension import Response


class BadgeResponse(Response, frozen=True, kw_only=True):
    """The state of a consumer: `texts` are data through, state, reason and expected time.

    `as_of` is when it was so, and `server` the address of `[serve] url`, null without one.
    """

    consumer: str
    state: str
    texts: list[str]
    as_of: str = ""
    server: str | None = None


class BadgeLinkResponse(Response, frozen=True, kw_only=True):
    """Where a consumer's badge is, without signing in until the end of the day `until` (UTC).

    `path` is on this server, `url` with the address of `[serve] url` (null without one). `card` is
    where the same state is as a page to embed, and `iframe` the HTML that embeds it.
    """

    consumer: str
    path: str
    url: str | None
    until: date | None
    markdown: str
    card: str
    iframe: str
