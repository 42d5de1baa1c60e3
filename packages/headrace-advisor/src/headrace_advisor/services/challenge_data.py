"""Data for `checks challenge`: rows of each challenged node, and faults that reach later tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from headrace.checks.audit import promised_checks
from headrace.connect.connectors import is_routed_by_rows
from headrace.engine import InputData
from headrace.lake import PARTITION_COLUMN
from headrace.lake.catalog import newest_snapshot
from headrace.model import Asset, CheckSpec, Grain, Source
from headrace.model.intervals import DAY_US, bounds_us
from headrace.model.partitions import split
from headrace.plan import Compiled
from headrace.plan.compiled import is_view
from headrace.plan.impact import Lineage
from headrace.project.session import ProjectSession
from headrace.runtime.applied_versions import AppliedVersion, Production
from headrace.runtime.tasks.inputs import context_of_asset, context_of_source, history
from headrace.runtime.tasks.lookup import TaskLookup, Undeliverable
from headrace.sql.values import Transformation
from headrace.store import Transaction
from headrace.store.queries import publications
from headrace_advisor.challenge.gate import Usual

if TYPE_CHECKING:
    from headrace_advisor.challenge.trials import Challenged, MutationTrial


# Data of a challenged node: its newest published rows, earlier rows, and its checks' other inputs.
# All of it is looked up at once.

REMEMBERED_MAX = 30
"""Maximum number of partitions, newest first, from which checks are suggested."""
REMEMBERED_ROWS_MAX = 2_000_000
"""Maximum number of rows in those partitions; the newest partition is used in any case."""
LOOKED_AT_MAX = 200
"""Maximum number of publications searched for partitions with rows."""


class NodeData(msgspec.Struct, frozen=True):
    """One node with its data in the lake.

    `partition` is the one whose rows are mutated. `before` is None if the node isn't partitioned by
    time; `history` is `data` for nodes that are read as a whole.
    """

    node: Source | Asset
    partition: str
    data: InputData
    before: InputData | None
    history: InputData
    everything: InputData | None
    """All published partitions, if `history` lacks some of them."""
    as_of_us: int
    now_us: int
    references: tuple[InputData, ...]
    routing: tuple[str, Grain, str] | None
    step: str
    secret: frozenset[str]
    usual: Usual

    @property
    def checks(self) -> tuple[CheckSpec, ...]:
        return self.node.checks


def subjects(session: ProjectSession, compiled: Compiled, names: Sequence[str]) -> list[NodeData]:
    """Return the data of the nodes that have published rows. The session must have a store."""
    now, production = session.clock.now_us(), None
    if session.production is not None and session.borrowed:
        production = Production.open(session.root, session.production.settings)
    if production is not None:
        production.nodes = session.borrowed
    try:
        with session.existing_store.read() as tx:
            lookup = TaskLookup(AppliedVersion(0, "", compiled), str(session.root), production)
            snapshot = newest_snapshot(tx)
            datas = [_node_data(lookup, tx, name, snapshot, now) for name in names]
            return [item for item in datas if item is not None]
    finally:
        if production is not None:
            production.close()


def _node_data(
    lookup: TaskLookup, tx: Transaction, name: str, snapshot: int, now_us: int
) -> NodeData | None:
    node = lookup.project.sources.get(name) or lookup.project.assets[name]
    try:
        keys = _keys(lookup, tx, node)
        if keys is None:
            return _whole(lookup, tx, node, snapshot, now_us)
        return _cut(lookup, tx, node, keys, snapshot, now_us) if keys else None
    except Undeliverable:
        return None


def _keys(lookup: TaskLookup, tx: Transaction, node: Source | Asset) -> list[str] | None:
    """Return the newest partitions with rows, newest first.

    None for nodes that are read as a whole.
    """
    if is_view(lookup.project, node.name) or (isinstance(node, Asset) and node.accumulates):
        return None
    node_publications = publications.of_node(tx, node.name, limit=LOOKED_AT_MAX)
    if not node_publications:
        return sorted(lookup.published_keys(tx, node.name), reverse=True)[:REMEMBERED_MAX]
    filled = [
        publication
        for publication in node_publications
        if publication.rows and publication.manifest is None
    ][:REMEMBERED_MAX]
    rows = accumulate(publication.rows for publication in filled)
    return [
        publication.partition
        for publication, until in zip(filled, rows, strict=True)
        if publication is filled[0] or until <= REMEMBERED_ROWS_MAX
    ]


def _whole(
    lookup: TaskLookup, tx: Transaction, node: Source | Asset, snapshot: int, now_us: int
) -> NodeData | None:
    data = lookup.data(tx, node.name, None, snapshot)
    if not data.columns:
        return None
    references = lookup.references(tx, node.name, snapshot)
    usual = _usual(lookup, tx, node, "*")
    return NodeData(
        node,
        "*",
        data,
        None,
        data,
        None,
        now_us,
        now_us,
        references,
        None,
        "",
        _secret(lookup, node),
        usual,
    )


def _cut(
    lookup: TaskLookup,
    tx: Transaction,
    node: Source | Asset,
    keys: Sequence[str],
    snapshot: int,
    now_us: int,
) -> NodeData:
    grain, newest = node.partition.grain, keys[0]
    interval = split(newest, node.partition)[0] if grain is not None else ""
    bounds = bounds_us(interval, grain, node.timezone) if grain is not None else (0, now_us)
    others = (
        [
            key
            for key in keys[1:]
            if split(key, node.partition)[1] == split(newest, node.partition)[1]
        ]
        if grain is not None
        else []
    )
    before = others[0] if others else None
    everything = sorted(lookup.published_keys(tx, node.name))
    return NodeData(
        node=node,
        partition=newest,
        data=lookup.data(tx, node.name, [newest], snapshot),
        before=None if before is None else lookup.data(tx, node.name, [before], snapshot),
        history=lookup.data(tx, node.name, sorted(keys), snapshot),
        everything=lookup.data(tx, node.name, everything, snapshot)
        if len(everything) > len(keys)
        else None,
        as_of_us=min(now_us, bounds[1]),
        now_us=now_us,
        references=lookup.references(tx, node.name, snapshot),
        routing=_routing(lookup, node, grain, interval),
        step="" if before is None or grain is None else _step(node, before, bounds[0], grain),
        secret=_secret(lookup, node),
        usual=_usual(lookup, tx, node, newest),
    )


def _usual(lookup: TaskLookup, tx: Transaction, node: Source | Asset, key: str) -> Usual:
    """Return the inputs that an audit of the partition would have alongside the node's checks."""
    around = (
        context_of_source(lookup, tx, node, (key,))
        if isinstance(node, Source)
        else context_of_asset(lookup, tx, node, (key,))
    )
    usual = Usual(
        grain=node.partition.grain if key != "*" else None,
        past=history(tx, node.name, (key,)),
        versions=around.versions,
        peers=around.peers,
        calendar=around.calendar,
        sources=around.sources,
        on_anomaly=around.on_anomaly,
        of_columns=around.of_columns,
        used=around.used,
        classified=tuple(_secret(lookup, node)),
    )
    if not isinstance(node, Source):
        return usual
    contract = lookup.project.contracts.get(node.contract or node.name)
    check_names = {check.name for check in node.checks}
    promised = (
        promised_checks(contract.columns, node.place, node.on_drift) if contract is not None else ()
    )
    return msgspec.structs.replace(
        usual,
        promised=tuple(check for check in promised if check.name not in check_names),
        rows_min=node.expect.rows_min,
        rows_max=node.expect.rows_max,
        delivered=True,
    )


def _routing(
    lookup: TaskLookup, node: Source | Asset, grain: Grain | None, interval: str
) -> tuple[str, Grain, str] | None:
    if isinstance(node, Source):
        column = (
            node.partition.column
            if is_routed_by_rows(node) and node.partition.key is None
            else None
        )
    else:
        column = lookup.compiled.nodes[node.name].partition_column
    return None if column is None or grain is None else (column, grain, interval)


def _step(node: Source | Asset, before: str, start: int, grain: Grain) -> str:
    """Return the time from the previous partition to the newest, as a SQL interval."""
    passed = start - bounds_us(split(before, node.partition)[0], grain, node.timezone)[0]
    return (
        f"INTERVAL {passed // 1_000_000} SECOND"
        if grain is Grain.HOUR
        else f"INTERVAL {round(passed / DAY_US)} DAY"
    )


def _secret(lookup: TaskLookup, node: Source | Asset) -> frozenset[str]:
    """Return the columns, in lower case, whose values must not be displayed."""
    return lookup.classified[node.name]


def own_columns(data: InputData) -> dict[str, str]:
    """Return the columns of `data` and their types, without the partition column."""
    return {column.name: column.type for column in data.columns if column.name != PARTITION_COLUMN}


# Faults that reach a later table unchanged and are noticed there. Lineage decides this: a column
# that is passed on or cast has the same fault; whole-row faults reach tables with the same number
# of rows.

AS_IT_IS = (Transformation.IDENTITY, Transformation.CAST)


class Downstream:
    """The faults noticed at all challenged nodes, to find those noticed downstream."""

    def __init__(self, lineage: Lineage) -> None:
        self._lineage = lineage
        self._known: dict[str, Challenged] = {}
        self._noticed: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        self._handed: dict[tuple[str, str], list[tuple[str, str]]] = {}

    def add(self, node: str, challenged: Challenged) -> None:
        """Add the faults noticed at one node.

        Add downstream nodes before the nodes that they read.
        """
        self._known[node] = challenged
        self._noticed[node] = {
            (tried.mutation.form, _lower(tried.mutation.columns)) for tried in challenged.noticed
        }

    def notifications(self, node: str, result: Challenged, tried: MutationTrial) -> bool:
        """Whether a downstream node notices a fault that its own node misses."""
        mutation = tried.mutation
        if not mutation.columns:
            return any(
                (mutation.form, ()) in self._noticed[other] for other in self._whole(node, result)
            )
        if len(mutation.columns) > 1:
            return False
        return any(
            (mutation.form, (column,)) in self._noticed.get(other, ())
            for other, column in self._to(node, mutation.columns[0])
        )

    def _whole(self, node: str, result: Challenged) -> Collection[str]:
        """Return the nodes with an unchanged column of this one and the same number of rows."""
        reached = {other for column in result.facts for other, _ in self._to(node, column.name)}
        return [
            other
            for other in reached
            if other in self._known and self._known[other].rows == result.rows
        ]

    def _to(self, node: str, column: str) -> list[tuple[str, str]]:
        """Return (node, column in lower case) of the columns that have this column's values."""
        results = self._handed.get((node, column))
        if results is None:
            reached = {f"{node}.{column}"}
            for step in self._lineage.downstream(node, column):
                if step.via in reached and step.transformation in AS_IT_IS:
                    reached.add(step.column)
            pairs = (item.partition(".") for item in sorted(reached - {f"{node}.{column}"}))
            results = self._handed[node, column] = [
                (name, reached_column.lower()) for name, _, reached_column in pairs
            ]
        return results


def _lower(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(column.lower() for column in columns)
