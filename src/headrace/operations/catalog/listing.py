"""The catalog: sources and assets by what is searched for, in pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

import msgspec

from headrace.model import Asset, Source, UsageError
from headrace.operations.catalog.cards import Cards
from headrace.operations.catalog.documents import CardRow, CatalogDocument, CountedRow
from headrace.operations.catalog.use import Used, use
from headrace.operations.cursors import cursor, place
from headrace.operations.session import Session

FACETS_MAX = 200
SORTS = ("name", "state", "owner", "domain", "published", "use", "cost")
"""`published`: what waits longest first; `use` and `cost`: the most first."""
_WORST_FIRST = ("never", "behind", "stale", "fresh")


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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


def catalog(session: Session, wanted: Wanted) -> CatalogDocument:
    """One page of what matches. UsageError for an order or a cursor that there isn't."""
    if wanted.sort not in SORTS:
        raise UsageError(f"{wanted.sort[:40]!r} is no order", hint=f"one of {', '.join(SORTS)}")
    cards = Cards(session)
    facets = _facets(cards, wanted)
    worded = _worded(cards.nodes, wanted.search)
    found = [node for node in worded if all(holds(node) for holds in facets.values())]
    used = use(session) if wanted.sort in ("use", "cost") else {}
    key = _order(cards, wanted.sort, used)
    found.sort(key=key)
    after = None if wanted.cursor is None else place(wanted.cursor, tuple[str, str])
    rest = found if after is None else [node for node in found if key(node) > after]
    page = rest[: wanted.limit]

    def others(facet: str) -> list[Source | Asset]:
        return [node for node in worded if all(holds(node) for name, holds in facets.items() if name != facet)]

    return CatalogDocument(
        now=session.now(),
        total=len(found),
        nodes=[_with(card, used) for card in cards.of(node.name for node in page)],
        states=_counted(cards.state(node.name) for node in others("state")),
        kinds=_counted(map(_kind, others("kind"))),
        domains=_counted(node.domain for node in others("domain") if node.domain),
        owners=_counted(node.owner for node in others("owner")),
        tags=_counted(tag for node in others("tag") for tag in node.tags),
        next=cursor(key(page[-1])) if len(rest) > len(page) else None,
    )


def _facets(cards: Cards, wanted: Wanted) -> dict[str, Callable[[Source | Asset], bool]]:
    asked: dict[str, tuple[str | None, Callable[[Source | Asset], bool]]] = {
        "kind": (wanted.kind, lambda node: _kind(node) == wanted.kind),
        "state": (wanted.state, lambda node: cards.state(node.name) == wanted.state),
        "domain": (wanted.domain, lambda node: node.domain == wanted.domain),
        "owner": (wanted.owner, lambda node: node.owner == wanted.owner),
        "tag": (wanted.tag, lambda node: wanted.tag in node.tags),
    }
    return {name: holds for name, (value, holds) in asked.items() if value is not None}


def _worded(nodes: Iterable[Source | Asset], search: str) -> list[Source | Asset]:
    words = search.lower().split()
    return [node for node in nodes if not words or _says(node, words)]


def _says(node: Source | Asset, words: list[str]) -> bool:
    text = " ".join((node.name, node.description, *node.tags)).lower()
    return all(word in text for word in words)


def _with(card: CardRow, used: Mapping[str, Used]) -> CardRow:
    if not used:
        return card
    found = used.get(card.name, Used())
    return msgspec.structs.replace(card, reads=found.reads, seconds=found.seconds)


def _order(cards: Cards, sort: str, used: Mapping[str, Used]) -> Callable[[Source | Asset], tuple[str, str]]:
    match sort:
        case "state":
            return lambda node: (str(_WORST_FIRST.index(cards.state(node.name))), node.name)
        case "owner":
            return lambda node: (node.owner, node.name)
        case "domain":
            return lambda node: (node.domain or "\U0010ffff", node.name)
        case "published":
            published = cards.published()
            return lambda node: (f"{published.get(node.name, 0):020}", node.name)
        case "use":
            return lambda node: (_most_first(used.get(node.name, Used()).reads), node.name)
        case "cost":
            return lambda node: (_most_first(used.get(node.name, Used()).seconds * 1e6), node.name)
        case _:
            return lambda node: (node.name, node.name)


def _most_first(value: float) -> str:
    """Sorts as text, the greatest first."""
    return f"{10**18 - round(value):020}"


def _kind(node: Source | Asset) -> str:
    return "source" if isinstance(node, Source) else "asset"


def _counted(values: Iterable[str]) -> list[CountedRow]:
    """The most frequent first, then by name."""
    found = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [CountedRow(value=value, count=count) for value, count in found[:FACETS_MAX]]
