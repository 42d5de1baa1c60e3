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


def catalog(session: ProjectSession, query: CatalogQuery) -> CatalogResponse:
    """One page of what matches. UsageError for an order or a cursor that there isn't."""
    if query.sort not in SORTS:
        raise UsageError(f"{query.sort[:40]!r} is no order", hint=f"one of {', '.join(SORTS)}")
    cards = Cards(session)
    facets = _facets(cards, query)
    worded = _worded(session, cards, query.search)
    entries = _holding(worded, facets.values())
    used = use(session) if query.sort in ("use", "cost") else {}
    key = _order(cards, query.sort, used)
    ordered = entries if query.sort == "name" else sorted(entries, key=key)
    first = 0 if query.cursor is None else bisect_right(ordered, place(query.cursor, tuple[str, str]), key=key)
    page, more = ordered[first : first + query.limit], len(ordered) > first + query.limit

    def others(facet: str) -> Sequence[CatalogEntry]:
        return _holding(worded, [holds for name, holds in facets.items() if name != facet]) if facet in facets else entries

    return CatalogResponse(
        now=session.now(),
        total=len(entries),
        nodes=[_with(card, used) for card in cards.of(entry.name for entry in page)],
        states=_counted(map(cards.state_of, (entry.name for entry in others("state")))),
        kinds=_counted(entry.kind for entry in others("kind")),
        domains=_counted(entry.domain for entry in others("domain") if entry.domain),
        owners=_counted(entry.owner for entry in others("owner")),
        tags=_counted(tag for entry in others("tag") for tag in entry.tags),
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


def _facets(cards: Cards, query: CatalogQuery) -> dict[str, Callable[[CatalogEntry], bool]]:
    asked: dict[str, tuple[str | None, Callable[[CatalogEntry], bool]]] = {
        "kind": (query.kind, lambda entry: entry.kind == query.kind),
        "state": (query.state, lambda entry: cards.state_of(entry.name) == query.state),
        "domain": (query.domain, lambda entry: entry.domain == query.domain),
        "owner": (query.owner, lambda entry: entry.owner == query.owner),
        "tag": (query.tag, lambda entry: query.tag in entry.tags),
    }
    return {name: holds for name, (value, holds) in asked.items() if value is not None}


def _holding(entries: Sequence[CatalogEntry], facets: Iterable[Callable[[CatalogEntry], bool]]) -> Sequence[CatalogEntry]:
    for holds in facets:
        entries = [entry for entry in entries if holds(entry)]
    return entries


def _worded(session: ProjectSession, cards: Cards, search: str) -> Sequence[CatalogEntry]:
    """Those that all words are in, by name."""
    entries = _entries(cards) if session.version is None else of_version(session, "entries", lambda: _entries(cards))
    for word in search.lower().split():
        entries = [entry for entry in entries if word in entry.text]
    return entries


def _entries(cards: Cards) -> list[CatalogEntry]:
    results = (
        CatalogEntry(
            node.name, "source" if isinstance(node, Source) else "asset", node.domain or "", node.owner, node.tags,
            " ".join((node.name, node.description, *node.tags)).lower(),
        )
        for node in cards.nodes
    )  # fmt: skip
    return sorted(results)


def _with(card: CardRow, used: Mapping[str, NodeUsage]) -> CardRow:
    if not used:
        return card
    usage = used.get(card.name, NodeUsage())
    return msgspec.structs.replace(card, reads=usage.reads, seconds=usage.seconds)


def _order(cards: Cards, sort: str, used: Mapping[str, NodeUsage]) -> Callable[[CatalogEntry], tuple[str, str]]:
    match sort:
        case "state":
            return lambda entry: (str(_WORST_FIRST.index(cards.state(entry.name))), entry.name)
        case "owner":
            return lambda entry: (entry.owner, entry.name)
        case "domain":
            return lambda entry: (entry.domain or "\U0010ffff", entry.name)
        case "published":
            published = cards.published()
            return lambda entry: (f"{published.get(entry.name, 0):020}", entry.name)
        case "use":
            return lambda entry: (_most_first(used.get(entry.name, NodeUsage()).reads), entry.name)
        case "cost":
            return lambda entry: (_most_first(used.get(entry.name, NodeUsage()).seconds * 1e6), entry.name)
        case _:
            return lambda entry: (entry.name, entry.name)


def _most_first(value: float) -> str:
    """Sorts as text, the greatest first."""
    return f"{10**18 - round(value):020}"


def _counted(values: Iterable[str]) -> list[CountedRow]:
    """The most frequent first, then by name."""
    results = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [CountedRow(value=str(value), count=count) for value, count in results[:FACETS_MAX]]
