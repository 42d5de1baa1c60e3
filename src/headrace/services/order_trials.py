"""`ab --setting order_by=COLUMN`: sort the rows of an asset, and run the assets that read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from sqlglot import exp

from headrace.advisor.project_tables import ProjectTables
from headrace.advisor.trials import Trial
from headrace.lake.session import without_semicolons
from headrace.model import Asset, InputMode, InputSpec, Refused, SqlBody, UsageError
from headrace.model.errors import did_you_mean
from headrace.model.partitions import command_line
from headrace.plan import Compiled
from headrace.services.changed_assets import compiled_with, with_query
from headrace.services.masking import refuse_inputs
from headrace.services.responses.optimize import SavingRow
from headrace.services.responses.trials import ReaderTrialRow, TrialRow
from headrace.services.session import Progress, ProjectSession
from headrace.services.trial_inputs import (
    PARTITIONS_DEFAULT,
    chosen_partitions,
    idle_slots,
    side_settings,
    suitable_store,
    trial_partitions,
    unsuitable,
)
from headrace.services.trial_outcomes import saved_seconds
from headrace.services.trial_records import RecordArguments, record

if TYPE_CHECKING:
    from headrace.advisor.trial_runs import TrialPartition
    from headrace.store import Store

ORDER_BY = "order_by="
"""The setting with which an order is tried."""
_ORDERED = ("order", "limit", "offset", "fetch")
"""Clauses of a query that gets no other order."""


class _Order(NamedTuple):
    """An order of an asset's rows, and the assets that read them."""

    asset: str
    columns: tuple[str, ...]
    readers: tuple[str, ...]

    @property
    def clause(self) -> str:
        """The clause at the end of the query."""
        names = (exp.to_identifier(column).sql("duckdb") for column in self.columns)
        return f"order by {', '.join(names)}"

    @property
    def text(self) -> str:
        """The change in words."""
        return f"{ORDER_BY}{','.join(self.columns)}"


def try_order(
    session: ProjectSession,
    before: Compiled,
    name: str,
    setting: str,
    partitions: str | None,
    deadline: float,
    progress: Progress,
) -> TrialRow:
    """Run an asset with and without an order, and its readers over files with and without it.

    The readers are SQL assets that read the same partition. The files are written for the trial
    and deleted after it. A trial is stored for each asset. Raise UsageError for an unknown column
    and for a query with an order, Refused where no asset reads the same partition.
    """
    from headrace.advisor.trial_runs import TrialRunner

    tables = ProjectTables(before)
    store = suitable_store(session, tables, name)
    _require_unordered(tables, name)
    columns = _columns(before, name, setting.removeprefix(ORDER_BY))
    order = _Order(name, columns, _readers(session, tables, name))
    after = _with_order(session, before, order)
    both = list(_partitions(session, store, order, (before, after), partitions))
    progress.start(f"partitions of {name} and its readers", len(both))
    try:
        with idle_slots(session, progress) as slots:
            runner = TrialRunner(session.folders, session.timezone, deadline, slots)
            trial = runner.run(both, timed=True, done=lambda: progress.advance(1))
    finally:
        progress.finish()
    parts = {asset: trial.part(f"{asset}@") for asset in (name, *order.readers)}
    parts[name] = _with_sizes(parts[name], parts[order.readers[0]])
    return _recorded(session, order, (before, after), parts, progress)


def _require_unordered(tables: ProjectTables, name: str) -> None:
    statement = tables.statement(name)
    assert statement is not None  # else the asset can't be tried
    if any(statement.tree.args.get(clause) for clause in _ORDERED):
        raise UsageError(
            f"the query of {name} has an order or a LIMIT",
            hint=f"change it in a copy, then {command_line('ab', name, '--change', 'new.sql')}",
        )


def _with_order(session: ProjectSession, before: Compiled, order: _Order) -> Compiled:
    asset = before.project.assets[order.asset]
    assert isinstance(asset.body, SqlBody)
    text = f"{without_semicolons(asset.body.text).rstrip()}\n{order.clause}\n"
    return compiled_with(session, with_query(session, asset, text)).compiled


def _columns(compiled: Compiled, name: str, text: str) -> tuple[str, ...]:
    names = compiled.nodes[name].column_names or ()
    by_lower = {column.lower(): column for column in names}
    typed = [part.strip() for part in text.split(",")]
    for column in typed:
        if column.lower() not in by_lower:
            raise UsageError(
                f"{name} has no column {column[:60]!r}",
                hint=did_you_mean(column, names) or f"its columns: {', '.join(names[:20])}",
            )
    return tuple(dict.fromkeys(by_lower[column.lower()] for column in typed))


def _readers(session: ProjectSession, tables: ProjectTables, asset_name: str) -> tuple[str, ...]:
    """Return the assets that read one partition of another to compute one. Raise Refused if none.

    Those that this role doesn't see, and those that can't be tried, are left out.
    """
    compiled = tables.compiled
    asset = compiled.project.assets[asset_name]
    readers = tuple(
        name
        for name, reader in compiled.project.assets.items()
        for spec in compiled.nodes[name].inputs
        if spec.node == asset.name and _reads_same_partition(reader, asset, spec)
        if session.shows(name) and unsuitable(tables, name) is None
    )
    if not readers:
        raise Refused(
            f"no SQL asset computes a partition from that of {asset.name}: an order of its rows"
            " can make only those that read them faster",
            hint=command_line("lineage", asset.name),
        )
    return readers


def _reads_same_partition(reader: Asset, asset: Asset, spec: InputSpec) -> bool:
    is_plain = spec.mode is InputMode.REQUIRED and spec.lookback is None and not spec.optional
    same = (reader.partition.grain, reader.timezone) == (asset.partition.grain, asset.timezone)
    by_time = all(each.partition.key is None for each in (reader, asset))
    return is_plain and same and by_time and not asset.partition.by_delivery


def _partitions(
    session: ProjectSession,
    store: Store,
    order: _Order,
    sides: tuple[Compiled, Compiled],
    chosen: str | None,
) -> Iterator[TrialPartition]:
    """Yield the partitions of the asset and of its readers, as ASSET@PARTITION."""
    from headrace.advisor.trial_runs import SortedInput

    before, name, same = sides[0], order.asset, side_settings(session)
    keys = chosen_partitions(store, before.project.assets[name], chosen, PARTITIONS_DEFAULT)
    partitions = trial_partitions(session, store, sides, name, keys, (same, same))
    yield from (item._replace(key=f"{name}@{item.key}") for item in partitions)
    tables = {item.key: item.before.task.table for item in partitions}
    for reader in order.readers:
        refuse_inputs(session, before, reader, "ab")
        for item in trial_partitions(
            session, store, (before, before), reader, list(tables), (same, same)
        ):
            table = tables[item.key]
            assert table is not None  # its rows are published
            written = SortedInput(name, table, item.key, order.columns)
            yield item._replace(key=f"{reader}@{item.key}", sorted_input=written)


def _with_sizes(trial: Trial, of_reader: Trial) -> Trial:
    """Return a trial with the sizes of the files that a reader's trial has read."""
    sizes = {item.partition: (item.before_bytes, item.after_bytes) for item in of_reader.compared}
    return replace(
        trial,
        compared=tuple(
            replace(item, before_bytes=before, after_bytes=after)
            for item in trial.compared
            for before, after in [sizes.get(item.partition, (None, None))]
        ),
    )


def _recorded(
    session: ProjectSession,
    order: _Order,
    sides: tuple[Compiled, Compiled],
    parts: dict[str, Trial],
    progress: Progress,
) -> TrialRow:
    """Store the trial of each asset; return that of the changed one, with those of its readers."""
    rows = {
        asset: record(
            session,
            RecordArguments(
                node=asset,
                finding=None,
                change=order.text if asset == order.asset else f"{order.text} of {order.asset}",
                code_before=sides[0].nodes[asset].fingerprint,
                code_after=sides[1].nodes[asset].fingerprint,
                trial=trial,
            ),
            progress,
        )
        for asset, trial in parts.items()
    }
    assert session.store is not None
    now_us = session.clock.now_us()
    with session.store.read() as tx:
        saved = [saved_seconds(tx, asset, trial, now_us) for asset, trial in parts.items()]
    known = [seconds for seconds in saved if seconds is not None]
    file = sides[0].project.assets[order.asset].place.file
    return replace(
        rows[order.asset],
        edit=f"`{order.clause}` at the end of {file}",
        readers=[
            ReaderTrialRow(
                id=row.id,
                asset=row.asset,
                verdict=row.verdict,
                change_percent=row.change_percent,
                ci95=row.ci95,
            )
            for asset, row in rows.items()
            if asset != order.asset
        ],
        saves_month=SavingRow(seconds=round(sum(known), 3) if len(known) == len(saved) else None),
    )
