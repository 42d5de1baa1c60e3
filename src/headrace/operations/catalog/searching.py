"""One box that finds everything by name: nodes, columns, people, causes, runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from headrace.model import Asset, Consumer, Project, Source
from headrace.operations.catalog.responses import FoundRow, SearchResponse
from headrace.operations.remembering import of_version
from headrace.operations.session import ProjectSession
from headrace.store.queries import incidents, plans, runs

COLUMNS_MAX = 200
"""So many columns are found, of projects that have tens of thousands."""


def search(session: ProjectSession, query: str, limit: int) -> SearchResponse:
    """What has all words of the query in its name, those that begin with it first; nothing for an empty query."""
    words = query.lower().split()
    if not words:
        return SearchResponse(query=query, found=[], more=False)
    named, columns = _texts(session)
    rows = [row for text, row in named if all(word in text for word in words)]
    rows += islice((row for text, row in columns if all(word in text for word in words)), COLUMNS_MAX)
    rows += _kept(session, query.strip())
    rows.sort(key=lambda row: _rank(row, words))
    return SearchResponse(query=query, found=rows[:limit], more=len(rows) > limit)


_Texts = list[tuple[str, FoundRow]]


def _texts(session: ProjectSession) -> tuple[_Texts, _Texts]:
    """Names and columns, each with the text that is searched; kept as long as nothing else is applied."""

    def made() -> tuple[_Texts, _Texts]:
        named, columns = _named(session.project()), _columns(session)
        return [(row.name.lower(), row) for row in named], [(row.name.lower(), row) for row in columns]

    return made() if session.version is None else of_version(session, "searchable", made)


def _rank(row: FoundRow, words: list[str]) -> tuple[int, int, str]:
    name = row.name.lower()
    begins = 0 if name == words[0] else 1 if name.startswith(words[0]) else 2
    return begins, len(name), name


def _named(project: Project) -> Iterator[FoundRow]:
    nodes: list[Source | Asset | Consumer] = [*project.consumers.values(), *project.assets.values(), *project.sources.values()]
    for node in nodes:
        yield FoundRow(kind=type(node).__name__.lower(), name=node.name, of=None, said=node.description or f"owner {node.owner}")
    for node in nodes:
        if not isinstance(node, Consumer):
            for check in node.checks:
                yield FoundRow(kind="check", name=check.name, of=node.name, said=f"{check.kind} of {node.name}")
    for kind, values in (
        ("owner", (node.owner for node in nodes)),
        ("domain", (node.domain for node in nodes if node.domain)),
        ("tag", (tag for node in nodes for tag in node.tags)),
    ):
        for value in sorted(set(values)):
            yield FoundRow(kind=kind, name=value, of=None, said="")


def _columns(session: ProjectSession) -> Iterator[FoundRow]:
    for node in session.compiled.nodes.values() if session.compiled is not None else ():
        for name in node.column_names or ():
            yield FoundRow(kind="column", name=name, of=node.name, said=f"column of {node.name}")


_ID = re.compile(r"(inc-|run |backfill )?(\d{1,15})", re.IGNORECASE)


def _kept(session: ProjectSession, query: str) -> Iterator[FoundRow]:
    """What has a number."""
    match = _ID.fullmatch(query)
    if match is None or session.store is None:
        return
    number = int(match[2])
    with session.store.read() as tx:
        incident, run, plan = incidents.get(tx, number), runs.get(tx, number), plans.get(tx, number)
    if incident is not None:
        yield FoundRow(kind="incident", name=incident.shown, of=None, said=incident.summary)
    if run is not None:
        yield FoundRow(kind="run", name=str(run.id), of=None, said=f"{run.kind}, {run.shown_state}")
    if plan is not None:
        yield FoundRow(kind="backfill", name=str(plan.id), of=None, said=f"{plan.state}: {plan.reason}")
