"""One source or asset with what surrounds it."""

from __future__ import annotations

from headrace.lake import PARTITION_COLUMN
from headrace.lake import catalog as lake
from headrace.model import Asset, Consumer, Source
from headrace.operations import lessons, targets
from headrace.operations.catalog.cards import Cards
from headrace.operations.catalog.partitions import PartitionListQuery, counted
from headrace.operations.catalog.reach import reach_of
from headrace.operations.catalog.responses import EdgeRow, NodeColumnRow, NodeResponse
from headrace.operations.responses import LearntRow
from headrace.operations.session import ProjectSession
from headrace.plan import Compiled
from headrace.store.queries import partitions


def node(session: ProjectSession, name: str) -> NodeResponse:
    """A node as it stands. UsageError for one that there isn't."""
    cards = Cards(session)
    project = cards.project
    declared = project.node(name)
    if declared is None or isinstance(declared, Consumer):
        raise targets.unknown(name, [*project.sources, *project.assets], also=declared)
    compiled = session.compiled
    oldest = _oldest(session, name)
    above = compiled.nodes.get(name) if compiled is not None else None
    return NodeResponse(
        now=session.now(),
        node=cards.of([name])[0],
        line=declared.place.line,
        timezone=declared.timezone or project.settings.timezone,
        start=declared.start,
        contract=declared.contract,
        columns=_columns(session, declared, compiled),
        reads=_reads(cards, compiled, name),
        read_by=_read_by(session, cards, compiled, name),
        consumers=reach_of(session, compiled).consumers(name) if compiled is not None else [],
        partitions=counted(session, name, PartitionListQuery()),
        oldest=oldest,
        fingerprint=above.fingerprint if above is not None else None,
        learnt=_learnt(session, name) if isinstance(declared, Source) else None,
    )


def _learnt(session: ProjectSession, source: str) -> LearntRow | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        return lessons.of_source(tx, source)


def _oldest(session: ProjectSession, name: str) -> str | None:
    if session.store is None:
        return None
    with session.store.read() as tx:
        extent = partitions.extent(tx, name)
    return extent.oldest if extent else None


def _columns(session: ProjectSession, declared: Source | Asset, compiled: Compiled | None) -> list[NodeColumnRow]:
    table = None
    if session.store is not None:
        with session.store.read() as tx:
            table = lake.table(tx, declared.name)
    known = compiled.nodes.get(declared.name) if compiled is not None else None
    if table is not None:
        results = [(column.name, column.type) for column in table.columns if column.name != PARTITION_COLUMN]
    else:
        results = [(name, kind) for name, kind in (known.columns if known is not None else None) or ()]
    contract = session.project().contracts.get(declared.contract or declared.name)
    classified = {column.name.lower(): column.classification for column in contract.columns} if contract is not None else {}
    return [NodeColumnRow(name=name, type=kind, classification=classified.get(name.lower())) for name, kind in results]


def _reads(cards: Cards, compiled: Compiled | None, name: str) -> list[EdgeRow]:
    node = compiled.nodes.get(name) if compiled is not None else None
    if node is None:
        return []
    inputs = [(spec.node, spec.mode.value) for spec in node.inputs]
    return [_edge(cards, other, mode) for other, mode in (*inputs, *((other, "depends") for other in node.depends))]


def _read_by(session: ProjectSession, cards: Cards, compiled: Compiled | None, name: str) -> list[EdgeRow]:
    if compiled is None:
        return []
    rows = []
    below = [compiled.nodes[item] for item in reach_of(session, compiled).below.get(name, ()) if item in compiled.nodes]
    for other in below:
        modes = [spec.mode.value for spec in other.inputs if spec.node == name] or (["depends"] if name in other.depends else [])
        rows += [_edge(cards, other.name, mode) for mode in modes]
    return rows + [
        EdgeRow(node=consumer.name, kind="consumer", mode="all", state=None)
        for consumer in cards.project.consumers.values()
        if name in consumer.reads
    ]


def _edge(cards: Cards, name: str, mode: str) -> EdgeRow:
    kind = "source" if name in cards.project.sources else "asset"
    return EdgeRow(node=name, kind=kind, mode=mode, state=cards.state(name))
