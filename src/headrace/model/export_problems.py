"""Validates exports against the project: what a consumer reads, connections, and targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from headrace.model.connections import EXPORT_DATABASES, connection_kind
from headrace.model.errors import Problem, ProblemLevel, did_you_mean, shown
from headrace.model.exports import (
    ASSET_PLACEHOLDER,
    Export,
    clear_columns,
    export_of,
    export_partition,
)
from headrace.model.hour_names import REPEATED, hours_share_names
from headrace.model.locations import DATE_PLACEHOLDER
from headrace.model.masks import column_classes
from headrace.model.nodes import (
    Asset,
    Consumer,
    PartitionSpec,
    Place,
    Project,
    Source,
    Value,
)
from headrace.model.plugins import CONNECTIONS, missing_package


class Exported(Value, kw_only=True):
    """The export of a consumer as a node; its partitions are the exported intervals."""

    name: str
    partition: PartitionSpec
    timezone: str


def exported(project: Project, name: str) -> Exported | None:
    """Return a consumer's export as a node; None for an unknown consumer or one without export."""
    consumer = project.consumers.get(name)
    if consumer is None or consumer.export is None:
        return None
    return Exported(
        name=name,
        partition=export_partition(consumer, reads_of(project, consumer)),
        timezone=consumer.timezone,
    )


def export_problems(project: Project) -> list[Problem]:
    """Return the problems of all exports: invalid inputs, dates, connections and targets."""
    problems: list[Problem] = []
    consumers_by_target: dict[tuple[str, ...], str] = {}
    for consumer in project.consumers.values():
        export = export_of(consumer)
        if export is None:
            continue
        problems += _of_reads(project, consumer)
        problems += _of_dates(project, consumer, export)
        problems += _of_connection(project, consumer, export)
        problems += _of_targets(consumer, export, consumers_by_target)
    return problems


def unknown_clear_columns(
    project: Project, consumer: Consumer, names: Mapping[str, tuple[str, ...] | None]
) -> Iterator[Problem]:
    """Yield problems for columns of `clear` that no read of an export has.

    `names` are the columns of the nodes; None: they aren't known, so nothing is reported.
    """
    cleared = clear_columns(consumer)
    columns = [names.get(read) for read in consumer.reads]
    if not cleared or None in columns:
        return
    known = {name.lower() for read in consumer.reads for name in column_classes(project, read)}
    known |= {name.lower() for each in columns for name in each or ()}
    for column in cleared:
        if column not in known:
            hint = did_you_mean(column, known) or f"their columns: {', '.join(sorted(known)[:12])}"
            message = (
                f"`clear` of {shown(consumer.name)} names {shown(column)}, which none of its reads"
                " has"
            )
            yield _problem(consumer, "unknown_column", message, hint)


def unneeded_clear_columns(
    consumer: Consumer, limited: Callable[[str, str], bool]
) -> Iterator[Problem]:
    """Yield a warning for each column of `clear` that no read would mask or leave out.

    `limited` says whether it would, by read and column.
    """
    for column in clear_columns(consumer):
        if not any(limited(read, column) for read in consumer.reads):
            problem = _problem(
                consumer,
                "unneeded_clear",
                f"`clear` of {shown(consumer.name)} names {shown(column)}, which isn't classified:"
                " it is written as it is anyway",
                "take it out: if the column is classified later, it should be decided then",
            )
            yield msgspec.structs.replace(problem, level=ProblemLevel.WARNING)


def _problem(consumer: Consumer, code: str, message: str, hint: str) -> Problem:
    declared_place: Mapping[str, Any] = (consumer.export or {}).get("place", {})
    place = Place(
        file=declared_place.get("file", consumer.place.file),
        line=declared_place.get("line", consumer.place.line),
    )
    return Problem(code=code, message=message, hint=hint, place=place)


def reads_of(project: Project, consumer: Consumer) -> list[PartitionSpec]:
    """Return the partitioning of a consumer's inputs; a view has the consumer's grain."""
    nodes = (project.source_or_asset(name) for name in consumer.reads)
    return [_cut(node, consumer) for node in nodes if node is not None]


def _cut(node: Source | Asset, consumer: Consumer) -> PartitionSpec:
    is_view = isinstance(node, Asset) and node.materialize == "view"
    return PartitionSpec(grain=consumer.per) if is_view else node.partition


def _of_reads(project: Project, consumer: Consumer) -> Iterator[Problem]:
    for name in consumer.reads:
        asset: Asset | None = project.assets.get(name)
        if asset is not None and not asset.readable:
            message = (
                f"{shown(name)} has `materialize: {asset.materialize}`: there are no rows that"
                f" {shown(consumer.name)} could export"
            )
            yield _problem(
                consumer,
                "nothing_to_read",
                message,
                "export an asset that is a table, or take `export` out",
            )


def _of_dates(project: Project, consumer: Consumer, export: Export) -> Iterator[Problem]:
    partition = export_partition(consumer, reads_of(project, consumer))
    grain, name = partition.grain, shown(consumer.name)
    if export.path is None:
        if export.interval_column is None and grain is not None:
            message = (
                f"without `interval_column` the rows of one {grain} that {name} exports couldn't be"
                " found again"
            )
            yield _problem(
                consumer,
                "wrong_value",
                message,
                "take `interval_column: null` out, or name a column",
            )
        return
    formats = DATE_PLACEHOLDER.findall(export.path)
    if grain is None and formats:
        message = (
            f"nothing that {name} reads is partitioned by time,"
            " so `{date:…}` of its export means nothing"
        )
        yield _problem(
            consumer,
            "bad_path",
            message,
            "take `{date:…}` out: the whole is written again whenever it changes",
        )
    elif grain is not None and not formats:
        message = f"every {grain} that {name} exports would overwrite {shown(export.path)}"
        yield _problem(consumer, "bad_path", message, "put {date:%Y-%m-%d} into the name")
    elif formats and hours_share_names(formats[0], partition, consumer.timezone):
        message = f"{shown(export.path)} doesn't tell the {REPEATED}"
        yield _problem(
            consumer,
            "bad_path",
            message,
            "put %z into the date: {date:%Y-%m-%dT%H%z}, or add timezone: UTC",
        )


def _of_connection(project: Project, consumer: Consumer, export: Export) -> Iterator[Problem]:
    name = export.connection
    if name is None:
        return
    connections = project.settings.connections
    if name not in connections:
        hint = did_you_mean(name, connections) or f"add [connections.{name}] to headrace.toml"
        yield _problem(
            consumer,
            "unknown_connection",
            f"unknown connection {shown(name)} of {shown(consumer.name)}",
            hint,
        )
    elif export.table is not None:
        yield from _of_database(project, consumer, name)


def _of_database(project: Project, consumer: Consumer, connection: str) -> Iterator[Problem]:
    """Yield why tables can't be exported over a connection, whose kind may be unknown yet."""
    kind = connection_kind(project.settings.connections[connection])
    package = missing_package(CONNECTIONS, kind or "")
    if kind is not None and kind not in EXPORT_DATABASES:
        message = (
            f"{shown(connection)} is a connection of the kind {shown(kind)}, which no table can be"
            " exported to"
        )
        yield _problem(
            consumer,
            "wrong_value",
            message,
            f"tables can be exported to {', '.join(EXPORT_DATABASES)}",
        )
    elif connection == project.settings.store_connection:
        message = f"{shown(connection)} holds the project's own state: nothing is exported there"
        yield _problem(consumer, "wrong_value", message, "name another connection")
    elif package:
        message = f"the export to {shown(connection)} is in another package"
        yield _problem(consumer, "unsupported_kind", message, f"pip install {package}")


def _of_targets(
    consumer: Consumer, export: Export, consumers_by_target: dict[tuple[str, ...], str]
) -> Iterator[Problem]:
    """Yield a problem if another consumer exports to the same target: they would overwrite it."""
    for target in _targets(consumer, export):
        first = consumers_by_target.setdefault(target, consumer.name)
        if first != consumer.name:
            message = (
                f"{shown(consumer.name)} exports to the same target as {shown(first)}:"
                f" {shown(target[-1])}"
            )
            yield _problem(
                consumer, "duplicate_target", message, "give each consumer a target of its own"
            )
            return


def _targets(consumer: Consumer, export: Export) -> list[tuple[str, ...]]:
    written = export.path or export.table or ""
    names = consumer.reads if ASSET_PLACEHOLDER in written else ("",)
    targets = [written.replace(ASSET_PLACEHOLDER, name) for name in names]
    if export.path is None:
        return [(export.connection or "", target.lower()) for target in targets]
    return [(re.sub(r"(?<!:)/(\./|/)+", "/", target).removeprefix("./"),) for target in targets]
