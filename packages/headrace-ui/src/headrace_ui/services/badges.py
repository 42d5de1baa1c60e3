"""Badges: the state of one consumer in a line, for the report that reads its data.

Whoever may see the consumer gets its badge with the reason. A signed link gives the same without
signing in, until a date. Everybody gets one that is declared `badge: public`, without the reason.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from html import escape
from typing import Annotated
from urllib.parse import quote, urlencode

from msgspec import Meta

from headrace.extension import DECIDE, SEE, Argument, Option, ProjectSession, command
from headrace.model import UnknownName
from headrace.model.nodes import BadgeAccess
from headrace.project.targets import consumer_of
from headrace.responses.status import ConsumerRow
from headrace.services.status import of_consumer
from headrace_ui.responses.badges import BadgeLinkResponse, BadgeResponse

KEY = ("headrace", "badge links")
"""Domain and purpose of the key that signs links."""
DAYS = 365
CARD_WIDTH, CARD_HEIGHT = 420, 150
"""Pixels of an embedded card."""
DAY_LENGTH = len("2025-02-10")


@command("badge show", SEE, of="name")
def badge(session: ProjectSession, name: str) -> BadgeResponse:
    """Return the badge of a consumer. Raise UnknownName for an unknown one."""
    return _badge(session, name, with_reason=True)


@command(
    "badge",
    DECIDE,
    of="name",
    http="GET /consumers/{name}/badge badge_link",
    of_files=True,
    session="badge",
    not_for_agents="a person decides who gets a state without signing in",
    group="look",
    summary="give the state of a consumer as a picture, for other pages",
)
def badge_link(
    session: ProjectSession,
    name: Annotated[str, Argument("CONSUMER", help="the consumer whose state it says")],
    *,
    days: Annotated[
        int, Option("--days", metavar="N", help="how long the link is valid"), Meta(ge=1, le=730)
    ] = DAYS,
) -> BadgeLinkResponse:
    """Return a signed link to the badge and the card of a consumer, valid for some days.

    Anybody who has the link sees the state and its reason, so making one needs the permission
    `decide`. The reason is left out if the caller's role is limited to nodes. A badge that is
    declared public needs no signature. Raise UnknownName for an unknown consumer, KeyProblem if
    the key that signs can't be read.
    """
    public = _is_public(session, name)
    until = None if public else session.now().date() + timedelta(days=days)
    query = {} if until is None else {"until": f"{until}", "link": _signed(session, name, until)}
    signature = f"?{urlencode(query)}" if query else ""
    path = f"/badge/{quote(name, safe='')}.svg{signature}"
    server = session.settings.serve_url
    url = None if server is None else f"{server}{path}"
    card = f"{server or ''}/card/{quote(name, safe='')}{signature}"
    return BadgeLinkResponse(
        consumer=name,
        path=path,
        url=url,
        until=until,
        markdown=f"![{name}]({url or path})",
        card=card,
        iframe=embedding(name, card),
    )


def embedding(name: str, address: str, width: int = CARD_WIDTH, height: int = CARD_HEIGHT) -> str:
    """Return the HTML that embeds a card, of a size in pixels."""
    title = escape(f"State of {name}")
    return (
        f'<iframe src="{escape(address)}" title="{title}" width="{width}" height="{height}"'
        ' style="border:0"></iframe>'
    )


def public_badge(session: ProjectSession, name: str) -> BadgeResponse | None:
    """Return the badge of a consumer that declares a public one; None for all others."""
    try:
        public = _is_public(session, name)
    except UnknownName:
        return None
    return _badge(session, name, with_reason=False) if public else None


def linked_badge(session: ProjectSession, name: str, until: str, link: str) -> BadgeResponse | None:
    """Return the badge that a signed link is for; None if it isn't valid (any more)."""
    from headrace.privacy.masking import key_store
    from headrace.security.key_problems import KeyProblem
    from headrace.security.signed_links import recipient_of

    try:
        end = date.fromisoformat(until)
        key = key_store(session).data_key(*KEY, create=False)
    except (ValueError, KeyProblem):
        return None
    with_reason = next(
        (
            reason
            for reason in (True, False)
            if recipient_of(key.secret, link, _about(session, name, end, with_reason=reason))
            == name
        ),
        None,
    )
    if with_reason is None or session.now().date() > end:
        return None
    try:
        return _badge(session, name, with_reason=with_reason)
    except UnknownName:
        return None


def _signed(session: ProjectSession, name: str, until: date) -> str:
    from headrace.privacy.masking import key_store
    from headrace.security.signed_links import signed_link

    key = key_store(session).data_key(*KEY)
    # a reason can name nodes that somebody with a limited role may not see
    about = _about(session, name, until, with_reason=session.visible is None)
    return signed_link(key.secret, name, about)


def _about(
    session: ProjectSession, name: str, until: date, *, with_reason: bool
) -> list[str | int | None]:
    about = [session.settings.name, session.env, name, until.isoformat()]
    return [*about] if with_reason else [*about, "without reason"]


def _is_public(session: ProjectSession, name: str) -> bool:
    return consumer_of(session.project(), name).badge is BadgeAccess.PUBLIC


def _badge(session: ProjectSession, name: str, *, with_reason: bool) -> BadgeResponse:
    consumer_of(session.project(), name)
    row = of_consumer(session, name)
    now = session.now()
    return BadgeResponse(
        consumer=name,
        state=row.state,
        texts=list(_texts(row, now, with_reason)),
        as_of=f"{now.day} {now:%b %Y %H:%M} {session.timezone}",
        server=session.settings.serve_url,
    )


def _texts(row: ConsumerRow, now: datetime, with_reason: bool) -> list[str]:
    through = "no data yet" if row.data_through is None else _through(row.data_through, now)
    texts = [through, row.state]
    if with_reason and row.state != "served" and row.reason:
        texts.append(row.reason)
    if row.risk is not None and row.risk.predicted_at is not None:
        texts.append(f"expected {_time(row.risk.predicted_at.astimezone(now.tzinfo), now)}")
    return texts


def _through(interval: str, now: datetime) -> str:
    """Return `data through 10 Feb`, with the year of another one; other intervals as they are."""
    try:
        day = date.fromisoformat(interval) if len(interval) == DAY_LENGTH else None
    except ValueError:
        day = None
    if day is None:
        return f"data through {interval}"
    year = "" if day.year == now.year else f" {day.year}"
    return f"data through {day.day} {day:%b}{year}"


def _time(at: datetime, now: datetime) -> str:
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at.day} {at:%b} {at:%H:%M}"
