"""The catalog: sources and assets by what is searched for, in pages."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec

from headrace.model import Source, UsageError
from headrace.operations.catalog.cards import Cards
from headrace.operations.catalog.responses import CardRow, CatalogResponse, CountedRow
from headrace.operations.catalog.use import NodeUsage, use
from headrace.operations.cursors import cursor, place
from headrace.operations.remembering import of_version
from headrace.operations.session import ProjectSession

FACETS_MAX = 200
SORTS = ("name", "state", "owner", "domain", "published", "use", "cost")
"""`published`: what waits longest first; `use` and `cost`: the most first."""
_WORST_FIRST = ("never", "behind", "stale", "fresh")


class CatalogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is searched for; all of it has to hold. `search` are words that the name, the description or the tags contain; `sort` is one
    of SORTS."""

    search: str = ""
    kind: str | None = None
    state: str | None = None
    domain: str | None = None
    owner: str | None = None
    tag: str | None = None
    sort: str = "name"
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


def catalog(session: ProjectSession, wanted: CatalogQuery) -> CatalogResponse:
    """One page of what matches. UsageError for an order or a cursor that there isn't."""
    if wanted.sort not in SORTS:
        raise UsageError(f"{wanted.sort[:40]!r} is no order", hint=f"one of {', '.join(SORTS)}")
    cards = Cards(session)
    facets = _facets(cards, wanted)
    worded = _worded(session, cards, wanted.search)
    found = _holding(worded, facets.values())
    used = use(session) if wanted.sort in ("use", "cost") else {}
    key = _order(cards, wanted.sort, used)
    ordered = found if wanted.sort == "name" else sorted(found, key=key)
    first = 0 if wanted.cursor is None else bisect_right(ordered, place(wanted.cursor, tuple[str, str]), key=key)
    page, more = ordered[first : first + wanted.limit], len(ordered) > first + wanted.limit

    def others(facet: str) -> Sequence[CatalogEntry]:
        return _holding(worded, [holds for name, holds in facets.items() if name != facet]) if facet in facets else found

    return CatalogResponse(
        now=session.now(),
        total=len(found),
        nodes=[_with(card, used) for card in cards.of(one.name for one in page)],
        states=_counted(map(cards.state_of, (one.name for one in others("state")))),
        kinds=_counted(one.kind for one in others("kind")),
        domains=_counted(one.domain for one in others("domain") if one.domain),
        owners=_counted(one.owner for one in others("owner")),
        tags=_counted(tag for one in others("tag") for tag in one.tags),
        next=cursor(key(page[-1])) if more else None,
    )


class CatalogEntry(NamedTuple):
    """A source or an asset, as it is searched; `text` is what words are searched in."""

    name: str
    kind: str
    domain: str
    owner: str
    tags: tuple[str, ...]
    text: str


def _facets(cards: Cards, wanted: CatalogQuery) -> dict[str, Callable[[CatalogEntry], bool]]:
    asked: dict[str, tuple[str | None, Callable[[CatalogEntry], bool]]] = {
        "kind": (wanted.kind, lambda one: one.kind == wanted.kind),
        "state": (wanted.state, lambda one: cards.state_of(one.name) == wanted.state),
        "domain": (wanted.domain, lambda one: one.domain == wanted.domain),
        "owner": (wanted.owner, lambda one: one.owner == wanted.owner),
        "tag": (wanted.tag, lambda one: wanted.tag in one.tags),
    }
    return {name: holds for name, (value, holds) in asked.items() if value is not None}


def _holding(entries: Sequence[CatalogEntry], facets: Iterable[Callable[[CatalogEntry], bool]]) -> Sequence[CatalogEntry]:
    for holds in facets:
        entries = [one for one in entries if holds(one)]
    return entries


def _worded(session: ProjectSession, cards: Cards, search: str) -> Sequence[CatalogEntry]:
    """Those that all words are in, by name."""
    entries = _entries(cards) if session.version is None else of_version(session, "entries", lambda: _entries(cards))
    for word in search.lower().split():
        entries = [one for one in entries if word in one.text]
    return entries


def _entries(cards: Cards) -> list[CatalogEntry]:
    found = (
        CatalogEntry(
            node.name, "source" if isinstance(node, Source) else "asset", node.domain or "", node.owner, node.tags,
            " ".join((node.name, node.description, *node.tags)).lower(),
        )
        for node in cards.nodes
    )  # fmt: skip
    return sorted(found)


def _with(card: CardRow, used: Mapping[str, NodeUsage]) -> CardRow:
    if not used:
        return card
    found = used.get(card.name, NodeUsage())
    return msgspec.structs.replace(card, reads=found.reads, seconds=found.seconds)


def _order(cards: Cards, sort: str, used: Mapping[str, NodeUsage]) -> Callable[[CatalogEntry], tuple[str, str]]:
    match sort:
        case "state":
            return lambda one: (str(_WORST_FIRST.index(cards.state(one.name))), one.name)
        case "owner":
            return lambda one: (one.owner, one.name)
        case "domain":
            return lambda one: (one.domain or "\U0010ffff", one.name)
        case "published":
            published = cards.published()
            return lambda one: (f"{published.get(one.name, 0):020}", one.name)
        case "use":
            return lambda one: (_most_first(used.get(one.name, NodeUsage()).reads), one.name)
        case "cost":
            return lambda one: (_most_first(used.get(one.name, NodeUsage()).seconds * 1e6), one.name)
        case _:
            return lambda one: (one.name, one.name)


def _most_first(value: float) -> str:
    """Sorts as text, the greatest first."""
    return f"{10**18 - round(value):020}"


def _counted(values: Iterable[str]) -> list[CountedRow]:
    """The most frequent first, then by name."""
    found = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [CountedRow(value=str(value), count=count) for value, count in found[:FACETS_MAX]]
