"""`ab --setting order_by=COLUMN`: sort the rows of an asset, and run the assets that read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from sqlglot import exp

from headrace.extension import (
    Asset,
    HeadraceError,
    Progress,
    ProjectSession,
    Refused,
    UsageError,
    command_line,
    did_you_mean,
)
from headrace.lake.session import without_semicolons
from headrace.model import InputMode, InputSpec, SqlBody
from headrace.plan import Compiled
from headrace.plan.trials import Trial
from headrace.privacy.masking import refuse_inputs
from headrace_advisor.analysis.project_tables import ProjectTables
from headrace_advisor.responses.optimize import SavingRow
from headrace_advisor.responses.trials import LeftOutRow, ReaderTrialRow, TrialRow
from headrace_advisor.services.changed_assets import compiled_with, with_query
from headrace_advisor.services.trial_inputs import (
    PARTITIONS_DEFAULT,
    chosen_partitions,
    differs_in_floats,
    idle_slots,
    side_settings,
    suitable_store,
    trial_partitions,
    unsuitable,
)
from headrace_advisor.services.trial_outcomes import saved_in_all
from headrace_advisor.services.trial_records import RecordArguments, record

if TYPE_CHECKING:
    from headrace.store import Store
    from headrace_advisor.analysis.trial_runs import TrialPartition

ORDER_BY = "order_by="
"""The setting with which an order is tried."""
_ORDERED = ("order", "limit", "offset", "fetch")
"""Clauses of a query that gets no other order."""


class _Order(NamedTuple):
    """An order of an asset's rows."""

    asset: str
    columns: tuple[str, ...]

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
    partitions: Sequence[str],
    deadline: float,
    progress: Progress,
) -> TrialRow:
    """Run an asset with and without an order, and its readers over files with and without it.

    The readers are SQL assets that read the same partition; those that can't be tried are named
    with the reason. The files are written for the trial and deleted after it. A trial is stored
    for each asset. Raise UsageError for an unknown column and for a query with an order, Refused
    where no asset that can be tried reads the same partition.
    """
    from headrace_advisor.analysis.trial_runs import TrialRunner

    tables = ProjectTables(before)
    store = suitable_store(session, tables, name)
    _require_unordered(tables, name)
    order = _Order(name, _columns(before, name, setting.removeprefix(ORDER_BY)))
    after, same = _with_order(session, before, order), side_settings(session)
    keys = chosen_partitions(store, before.project.assets[name], partitions, PARTITIONS_DEFAULT)
    asset_partitions = trial_partitions(session, store, (before, after), name, keys, (same, same))
    of_readers, left_out = _of_readers(session, store, tables, order, asset_partitions)
    both = [
        item._replace(key=f"{asset}@{item.key}")
        for asset, items in {name: asset_partitions, **of_readers}.items()
        for item in items
    ]
    progress.start(f"partitions of {name} and its readers", len(both))
    try:
        with idle_slots(session, progress) as slots:
            runner = TrialRunner(session.folders, session.timezone, deadline, slots)
            trial = runner.run(both, timed=True, done=lambda: progress.advance(1), each_asset=True)
    finally:
        progress.finish()
    parts = {asset: trial.part(f"{asset}@") for asset in of_readers}
    parts = {name: _with_sizes(trial.part(f"{name}@"), parts.values()), **parts}
    row = _recorded(session, order, (before, after), parts, progress)
    return replace(
        row,
        left_out=[LeftOutRow(asset=asset, reason=reason) for asset, reason in left_out.items()],
    )


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


def _of_readers(
    session: ProjectSession,
    store: Store,
    tables: ProjectTables,
    order: _Order,
    asset_partitions: Sequence[TrialPartition],
) -> tuple[dict[str, list[TrialPartition]], dict[str, str]]:
    """Return the partitions of each reader, and why others are left out.

    Raise Refused if no reader is left.
    """
    of_readers: dict[str, list[TrialPartition]] = {}
    left_out: dict[str, str] = {}
    for reader in _readers(session, tables.compiled, order.asset):
        try:
            of_readers[reader] = _of_reader(session, store, tables, order, asset_partitions, reader)
        except HeadraceError as error:
            left_out[reader] = str(error)
    if of_readers:
        return of_readers, left_out
    if left_out:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        words = f"no asset that computes a partition from that of {order.asset} can be tried"
        raise Refused(f"{words} ({reasons})", hint=command_line("lineage", order.asset))
    raise Refused(
        f"no SQL asset computes a partition from that of {order.asset}: an order of its rows"
        " can make only those that read them faster",
        hint=command_line("lineage", order.asset),
    )


def _of_reader(
    session: ProjectSession,
    store: Store,
    tables: ProjectTables,
    order: _Order,
    asset_partitions: Sequence[TrialPartition],
    reader: str,
) -> list[TrialPartition]:
    """Return a reader's partitions. Raise Refused with the reason if it can't be tried."""
    from headrace_advisor.analysis.trial_runs import SortedInput

    reason = unsuitable(tables, reader) or differs_in_floats(tables, reader)
    if reason is not None:
        raise Refused(reason)
    before, same = tables.compiled, side_settings(session)
    refuse_inputs(session, before, reader, "ab")
    of_key = {item.key: item.before.task.table for item in asset_partitions}
    partitions = []
    for item in trial_partitions(
        session, store, (before, before), reader, list(of_key), (same, same)
    ):
        table = of_key[item.key]
        assert table is not None  # its rows are published
        sorted_input = SortedInput(order.asset, table, item.key, order.columns)
        partitions.append(item._replace(sorted_input=sorted_input))
    return partitions


def _readers(session: ProjectSession, compiled: Compiled, asset_name: str) -> list[str]:
    """Return the assets that read one partition of another to compute one, which this role sees."""
    asset = compiled.project.assets[asset_name]
    return [
        name
        for name, reader in compiled.project.assets.items()
        for spec in compiled.nodes[name].inputs
        if spec.node == asset.name and _reads_same_partition(reader, asset, spec)
        if session.shows(name)
    ]


def _reads_same_partition(reader: Asset, asset: Asset, spec: InputSpec) -> bool:
    is_plain = spec.mode is InputMode.REQUIRED and spec.lookback is None and not spec.optional
    same = (reader.partition.grain, reader.timezone) == (asset.partition.grain, asset.timezone)
    by_time = all(each.partition.key is None for each in (reader, asset))
    return is_plain and same and by_time and not asset.partition.by_delivery


def _with_sizes(trial: Trial, of_readers: Iterable[Trial]) -> Trial:
    """Return a trial with the sizes of the files that the readers' trials have read."""
    sizes = {
        item.partition: (item.before_bytes, item.after_bytes)
        for each in of_readers
        for item in each.compared
    }
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
    with session.existing_store.read() as tx:
        total = saved_in_all(tx, parts, session.clock.now_us())
    file = sides[0].project.assets[order.asset].place.file
    return replace(
        rows[order.asset],
        edit=f"`{order.clause}` at the end of {file}" if total and total > 0 else None,
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
        saves_month=SavingRow(seconds=total),
    )
