"""The catalog: sources and assets by search terms and facets, in pages, and search by name."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from headrace.extension import SEE, Asset, ProjectSession, Source, UsageError, command
from headrace.model import Consumer, Project
from headrace.model.errors import close_names
from headrace.project.caches import cached, cached_by_version, cursor_text, place
from headrace.project.snapshots import project_state
from headrace.project.status_facts import WINDOW, window_began
from headrace.slo.availability import AvailabilityWindow
from headrace.slo.consumer_states import ConsumerState
from headrace.standing.figure_inputs import Figuring, took
from headrace.store.queries import (
    backfill_plans,
    incidents,
    runs,
    usage,
)
from headrace_ui.responses.catalog import (
    CardRow,
    CatalogResponse,
    CountedRow,
    FoundRow,
    SearchResponse,
)
from headrace_ui.views.node_cards import Cards
from headrace_ui.views.people import people_like

# Cards: a node's declaration and state in short.


# One search box for nodes, columns, checks, owners, domains, tags, incidents, runs and backfills.

SIMILAR_MAX = 5
"""Maximum number of names that are similar to an unknown one."""
PARTS_ALIKE = 0.7
"""Least similarity of a part of a name to a word: of 7 letters two may differ."""
STATE_LETTERS = 3
"""Least number of letters of a consumer's state that finds the consumers in it."""
_PARTS = re.compile(r"[\W_]+")
_CONSUMERS = re.compile(r"\s*\bconsumers?$")
COLUMNS_MAX = 200
"""Maximum number of columns found; projects may have tens of thousands."""


@command("search", SEE, lists=True, http="GET /search search")
def search(
    session: ProjectSession,
    q: str = "",
    limit: Annotated[int, Meta(ge=1, le=100)] = 20,
    near: bool = False,
) -> SearchResponse:
    """Return the items whose names contain all words of the q; nothing for an empty q.

    People who acted lately or whom `access.yaml` names are among them for who may read the whole
    audit trail.

    A state (`late`) finds the consumers in it. Tables come before columns and checks, names that
    begin with the first word before others. With `near`, similar names of consumers, assets and
    sources are returned where no name contains the words.
    """
    words = q.lower().split()
    if not words:
        return SearchResponse(query=q, found=[], more=False)
    named, columns = (_shown(session, texts) for texts in _texts(session))
    rows = [row for text, row in named if all(word in text for word in words)]
    rows += islice(
        (row for text, row in columns if all(word in text for word in words)), COLUMNS_MAX
    )
    rows += _numbered_record(session, " ".join(words))
    rows += people_like(session, words)
    rows.sort(key=lambda row: _rank(row, words))
    in_state = _consumers_in_state(session, " ".join(words))
    rows = [*in_state.values(), *(row for row in rows if _key(row) not in in_state)]
    similar = near and not rows
    if similar:
        rows = _similar(words, named)
    return SearchResponse(query=q, found=rows[:limit], more=len(rows) > limit, similar=similar)


_Texts = list[tuple[str, FoundRow]]


def _similar(words: list[str], named: _Texts) -> list[FoundRow]:
    """Return nodes whose names are similar, or have similar words; the most similar first."""
    nodes = {text: row for text, row in named if row.kind in ("consumer", "asset", "source")}
    by_part: dict[str, list[str]] = {}
    for text in nodes:
        for part in set(_PARTS.split(text)):
            by_part.setdefault(part, []).append(text)
    having = [
        {text for part in _parts_like(word, by_part) for text in by_part[part]} for word in words
    ]
    whole = close_names(" ".join(words), nodes, SIMILAR_MAX)
    in_part = sorted(set.intersection(*having), key=lambda text: (len(text), text))
    return [nodes[text] for text in dict.fromkeys([*whole, *in_part])][:SIMILAR_MAX]


def _parts_like(word: str, parts: Collection[str]) -> Collection[str]:
    """Return the parts that contain a word; if none does, those that differ in a letter or two."""
    containing = [part for part in parts if word in part]
    return containing or get_close_matches(word, parts, n=SIMILAR_MAX, cutoff=PARTS_ALIKE)


def _consumers_in_state(
    session: ProjectSession, query: str
) -> dict[tuple[str, str | None, str], FoundRow]:
    """Return the consumers in a state, by key: `late`, `late consumers` or the state's beginning.

    Empty if the query has fewer than STATE_LETTERS letters.
    """
    asked = _CONSUMERS.sub("", query)
    named = {state.value: state.replace("_", " ") for state in ConsumerState}
    states = {state for state, name in named.items() if name.startswith(asked)}
    if len(asked) < STATE_LETTERS or not states:
        return {}
    project, rows = session.project(), []
    for name, state in sorted(Cards(session).consumer_states().items()):
        if state in states and session.shows(name):
            detail = f"{named[state]}, {_detail(project.consumers[name])}"
            rows.append(FoundRow(kind="consumer", name=name, of=None, said=detail))
    return {_key(row): row for row in rows}


def _key(row: FoundRow) -> tuple[str, str | None, str]:
    return row.kind, row.of, row.name


def _texts(session: ProjectSession) -> tuple[_Texts, _Texts]:
    """Return names and columns, each with its searchable text; cached per applied version."""

    def build() -> tuple[_Texts, _Texts]:
        named, columns = _named(session.project()), _columns(session)
        return [(row.name.lower(), row) for row in named], [
            (row.name.lower(), row) for row in columns
        ]

    return build() if session.version is None else cached_by_version(session, "searchable", build)


def _shown(session: ProjectSession, texts: _Texts) -> _Texts:
    """Return the texts without hidden nodes, and without labels that only those have."""
    if session.visible is None:
        return texts
    labels = _labels(node for node in session.project().nodes() if session.shows(node.name))
    return [
        (text, row)
        for text, row in texts
        if (
            row.name in labels[row.kind]
            if row.kind in labels
            else session.shows(row.name if row.of is None else row.of)
        )
    ]


def _labels(nodes: Iterable[Source | Asset | Consumer]) -> dict[str, set[str]]:
    listed = list(nodes)
    return {
        "owner": {node.owner for node in listed},
        "domain": {node.domain for node in listed if node.domain},
        "tag": {tag for node in listed for tag in node.tags},
    }


def _rank(row: FoundRow, words: list[str]) -> tuple[bool, int, int, str]:
    name = row.name.lower()
    begins = 0 if name == words[0] else 1 if name.startswith(words[0]) else 2
    return row.of is not None, begins, len(name), name


def _named(project: Project) -> Iterator[FoundRow]:
    checked: list[Source | Asset] = [*project.assets.values(), *project.sources.values()]
    nodes: list[Source | Asset | Consumer] = [*project.consumers.values(), *checked]
    for node in nodes:
        yield FoundRow(
            kind=type(node).__name__.lower(),
            name=node.name,
            of=None,
            said=_detail(node),
        )
    for declared in checked:
        for check in declared.checks:
            yield FoundRow(
                kind="check",
                name=check.name,
                of=declared.name,
                said=f"{check.kind} of {declared.name}",
            )
    for kind, values in _labels(nodes).items():
        for value in sorted(values):
            yield FoundRow(kind=kind, name=value, of=None, said="")


def _detail(node: Source | Asset | Consumer) -> str:
    return node.description or f"owner {node.owner}"


def _columns(session: ProjectSession) -> Iterator[FoundRow]:
    for node in session.compiled.nodes.values() if session.compiled is not None else ():
        for name in node.column_names or ():
            yield FoundRow(kind="column", name=name, of=node.name, said=f"column of {node.name}")


_ID = re.compile(r"(?:(inc|run|backfill)[ -]?)?(\d{1,15})")


def _numbered_record(session: ProjectSession, query: str) -> Iterator[FoundRow]:
    """Yield the incident, run and backfill with a number, or the one of the kind in front of it."""
    match = _ID.fullmatch(query)
    if match is None or session.store is None:
        return
    kind, number = match[1], int(match[2])
    with session.store.read() as tx:
        incident, run, plan = (
            incidents.get(tx, number),
            runs.get(tx, number),
            backfill_plans.get(tx, number),
        )
    if kind in (None, "inc") and incident is not None and session.shows(incident.node):
        yield FoundRow(kind="incident", name=incident.label, of=None, said=incident.summary)
    if kind in (None, "run") and run is not None and session.visible is None:
        yield FoundRow(kind="run", name=str(run.id), of=None, said=f"{run.kind}, {run.shown_state}")
    if kind in (None, "backfill") and plan is not None and session.visible is None:
        yield FoundRow(
            kind="backfill", name=str(plan.id), of=None, said=f"{plan.state}: {plan.reason}"
        )


# Reads and cost of each node (the figure `use`, summed by node), for the catalog orders that need
# them.


class NodeUsage(NamedTuple):
    """In the figure's window: the number of observed reads, and the seconds that attempts took."""

    reads: int = 0
    seconds: float = 0.0


def use(session: ProjectSession) -> dict[str, NodeUsage]:
    """Return the usage of each node."""
    return cached(session, "use", lambda: _used(session))


def _used(session: ProjectSession) -> dict[str, NodeUsage]:
    if session.store is None or session.compiled is None:
        return {}
    now_us = session.clock.now_us()
    began_us = window_began(WINDOW, now_us, session.timezone)
    window = AvailabilityWindow(WINDOW, began_us, now_us, session.timezone)
    with project_state(session, now_us) as snapshot:
        figuring, reads = (
            Figuring(session, snapshot, session.compiled, window, None),
            Counter[str](),
        )
        for read_usage in figuring.reads:
            reads[read_usage.node] += read_usage.reads
        for exported in usage.exports(
            snapshot.tx, snapshot.context.declared.exports, began_us, now_us
        ):
            reads.update(
                dict.fromkeys(
                    session.compiled.project.consumers[exported.consumer].reads, exported.exports
                )
            )
        seconds = took(session, session.compiled, snapshot.tx, (began_us, now_us))
    return {name: NodeUsage(reads[name], seconds.get(name, 0) / 1e6) for name in {*reads, *seconds}}


FACETS_MAX = 200
SORTS = ("name", "state", "owner", "domain", "published", "use", "cost")
"""`published` puts the oldest publication first; `use` and `cost` put the highest first."""
_WORST_FIRST = ("never", "behind", "stale", "fresh")


class CatalogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Catalog filters, all of which must match.

    `search` holds words that the name, the description or the tags contain; `sort` is one of SORTS.
    """

    search: str = ""
    kind: str | None = None
    state: str | None = None
    domain: str | None = None
    owner: str | None = None
    tag: str | None = None
    sort: str = "name"
    cursor: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


@command("catalog", SEE, lists=True, http="GET /assets catalog")
def catalog(session: ProjectSession, query: CatalogQuery) -> CatalogResponse:
    """Return one page of matching nodes. Raise UsageError for an unknown order or cursor."""
    if query.sort not in SORTS:
        raise UsageError(f"{query.sort[:40]!r} is no order", hint=f"one of {', '.join(SORTS)}")
    cards = Cards(session)
    facets = _facets(cards, query)
    worded = _worded(session, cards, query.search)
    entries = _holding(worded, facets.values())
    used = use(session) if query.sort in ("use", "cost") else {}
    key = _order(cards, query.sort, used)
    ordered = entries if query.sort == "name" else sorted(entries, key=key)
    first = (
        0
        if query.cursor is None
        else bisect_right(ordered, place(query.cursor, tuple[str, str]), key=key)
    )
    page, more = ordered[first : first + query.limit], len(ordered) > first + query.limit

    def others(facet: str) -> Sequence[CatalogEntry]:
        return (
            _holding(worded, [holds for name, holds in facets.items() if name != facet])
            if facet in facets
            else entries
        )

    return CatalogResponse(
        now=session.now(),
        total=len(entries),
        nodes=[_with(card, used) for card in cards.of(entry.name for entry in page)],
        states=_counted(map(cards.state_of, (entry.name for entry in others("state")))),
        kinds=_counted(entry.kind for entry in others("kind")),
        domains=_counted(entry.domain for entry in others("domain") if entry.domain),
        owners=_counted(entry.owner for entry in others("owner")),
        tags=_counted(tag for entry in others("tag") for tag in entry.tags),
        next=cursor_text(key(page[-1])) if more else None,
    )


class CatalogEntry(NamedTuple):
    """A source or an asset to be searched; `text` is the searchable text."""

    name: str
    kind: str
    domain: str
    owner: str
    tags: tuple[str, ...]
    text: str


def _facets(cards: Cards, query: CatalogQuery) -> dict[str, Callable[[CatalogEntry], bool]]:
    facets: dict[str, tuple[str | None, Callable[[CatalogEntry], bool]]] = {
        "kind": (query.kind, lambda entry: entry.kind == query.kind),
        "state": (query.state, lambda entry: cards.state_of(entry.name) == query.state),
        "domain": (query.domain, lambda entry: entry.domain == query.domain),
        "owner": (query.owner, lambda entry: entry.owner == query.owner),
        "tag": (query.tag, lambda entry: query.tag in entry.tags),
    }
    return {name: holds for name, (value, holds) in facets.items() if value is not None}


def _holding(
    entries: Sequence[CatalogEntry], facets: Iterable[Callable[[CatalogEntry], bool]]
) -> Sequence[CatalogEntry]:
    for holds in facets:
        entries = [entry for entry in entries if holds(entry)]
    return entries


def _worded(session: ProjectSession, cards: Cards, search: str) -> Sequence[CatalogEntry]:
    """Return the entries whose text contains all words, by name."""
    entries = (
        _entries(cards)
        if session.version is None
        else cached_by_version(session, "entries", lambda: _entries(cards))
    )
    entries = [entry for entry in entries if session.shows(entry.name)]
    for word in search.lower().split():
        entries = [entry for entry in entries if word in entry.text]
    return entries


def _entries(cards: Cards) -> list[CatalogEntry]:
    results = (
        CatalogEntry(
            node.name,
            "source" if isinstance(node, Source) else "asset",
            node.domain or "",
            node.owner,
            node.tags,
            " ".join((node.name, node.description, *node.tags)).lower(),
        )
        for node in cards.nodes
    )
    return sorted(results)


def _with(card: CardRow, used: Mapping[str, NodeUsage]) -> CardRow:
    if not used:
        return card
    usage = used.get(card.name, NodeUsage())
    return msgspec.structs.replace(card, reads=usage.reads, seconds=usage.seconds)


def _order(
    cards: Cards, sort: str, used: Mapping[str, NodeUsage]
) -> Callable[[CatalogEntry], tuple[str, str]]:
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
            return lambda entry: (
                _most_first(used.get(entry.name, NodeUsage()).seconds * 1e6),
                entry.name,
            )
        case _:
            return lambda entry: (entry.name, entry.name)


def _most_first(value: float) -> str:
    """Return a text that sorts the greatest value first."""
    return f"{10**18 - round(value):020}"


def _counted(values: Iterable[str]) -> list[CountedRow]:
    """Return values with their counts, the most frequent first, then by name."""
    results = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [CountedRow(value=str(value), count=count) for value, count in results[:FACETS_MAX]]
