"""`contract infer`: a contract from published data, each rule with its evidence as a comment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from headrace.connect.deliveries import SourceSchema
from headrace.lake import PARTITION_COLUMN
from headrace.lake.sqltext import quote
from headrace.model import ProjectError, Refused, Source
from headrace.model.contracts import SUFFIX, duckdb_type
from headrace.model.partitions import command_line
from headrace.services import targets
from headrace.services.file_inference import logical
from headrace.services.masking import refuse_hidden
from headrace.services.parameters import Argument, WriteContract
from headrace.services.permissions import READ, command
from headrace.services.read import find
from headrace.services.read_queries import ReadQuery
from headrace.services.responses.repairs import InferResponse
from headrace.services.session import ProjectSession
from headrace.store.queries import ingestion, leader_writes

FOLDER = "contracts"
PARTITIONS_MAX = 30
ROWS_MIN = 100
"""Below this number of rows no rule is inferred: only names and types."""
VALUES_MAX = 12


class Observed(msgspec.Struct, frozen=True):
    """The values observed in a column, over all partitions read.

    `repeated` is the maximum number of repeated values in one partition.
    """

    rows: int
    filled: int
    distinct: int
    repeated: int
    least: str | None
    greatest: str | None
    values: tuple[str, ...] = ()


@command(
    "contract infer",
    READ,
    of="target",
    session="infer_contract",
    not_for_agents="it can write a contract file, and needs no permission for changes",
)
def infer(
    session: ProjectSession,
    target: Annotated[str, Argument("SOURCE", help="which has published data")],
    *,
    write: WriteContract = False,
) -> InferResponse:
    """Infer a contract for a source from its newest partitions.

    Raise UsageError for an unknown source, Refused if nothing of it is published yet or if `write`
    would replace a file.
    """
    source = source_of(session, target)[0]
    refuse_hidden(session, source.name, "contract infer")
    schema = pinned_of(session, source)
    keys, seen = _observed(session, source, schema)
    text = contract_text(source.name, schema, seen, len(keys))
    path = Path(FOLDER, f"{source.name}{SUFFIX}")
    if write:
        create(session.root / path, text)
    rows = max((item.rows for item in seen.values()), default=0)
    return InferResponse(
        now=session.now(),
        clock=session.clock.kind,
        source=source.name,
        file=path.as_posix(),
        text=text,
        rows=rows,
        partitions=len(keys),
        written=write,
    )


def source_of(session: ProjectSession, target: str) -> tuple[Source, str | None]:
    """Return the source, and the partition if any, that a target names.

    Raise UsageError for other nodes.
    """
    project = session.project()
    node, key = targets.target(target, project, kinds=(Source,))
    return project.sources[node], key


def pinned_of(session: ProjectSession, source: Source) -> SourceSchema:
    """Return the source's pinned schema.

    Raise Refused if nothing of the source is published yet.
    """
    if session.store is not None:
        with session.store.read() as tx:
            schema = ingestion.pinned_schema(tx, source.name)
        if schema is not None:
            return msgspec.json.decode(schema, type=SourceSchema)
    raise Refused(
        f"nothing of {source.name} was published yet: there is nothing to infer a contract from",
        hint="headrace tick",
    )


def create(path: Path, text: str) -> None:
    """Create a file. Raise Refused if it exists, ProjectError if it can't be written."""
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(
            f"{path.name} is there already",
            hint=f"compare it: {command_line('contract', 'diff', path.name.removesuffix(SUFFIX))}",
        ) from None
    except OSError as error:
        raise ProjectError(
            f"{path} can't be written: {error.strerror}",
            hint="look at the permissions of the folder",
        ) from error


def contract_text(
    name: str, schema: SourceSchema, seen: Mapping[str, Observed], partitions: int
) -> str:
    """Return the contract's text.

    Without observations it has names and types only, nothing that could reject a delivery.
    """
    rows = max((item.rows for item in seen.values()), default=0)
    observed = (
        f"# Inferred from {rows:,} rows in {partitions} partitions; a comment says why each rule is"
        " there.\n"
        if seen
        else ""
    )
    lines = [
        "apiVersion: v3.1.0",
        "kind: DataContract",
        f"id: {name}",
        "version: 1.0.0",
        "status: draft",
        "schema:",
        f"  - name: {name}",
        "    logicalType: object",
        "    properties:",
    ]
    for column in schema.columns:
        lines += _property(column.name, column.type, seen.get(column.name))
    return observed + "\n".join(lines) + "\n"


def _property(name: str, kind: str, seen: Observed | None) -> list[str]:
    lines = [f"      - name: {json.dumps(name, ensure_ascii=False)}"]
    if (
        duckdb_type(kind, logical(kind)) == kind
    ):  # for other types the contract can't express the type; the pinned one stays in force
        lines += [
            f"        logicalType: {logical(kind)}",
            f"        physicalType: {json.dumps(kind)}",
        ]
    if seen is None or seen.rows < ROWS_MIN:
        return lines
    if seen.filled == seen.rows:
        lines.append(f"        required: true   # filled in all of {seen.rows:,} rows")
        if seen.repeated == 0 and not kind.startswith(("DOUBLE", "FLOAT", "DATE", "BOOLEAN")):
            lines.append(
                f"        unique: true   # no value twice in a partition, {seen.distinct:,}"
                " different ones in all"
            )
    else:
        lines.append(f"        # empty in {seen.rows - seen.filled:,} of {seen.rows:,} rows")
    if seen.values:
        lines.append(f"        # only these values: {json.dumps(seen.values, ensure_ascii=False)}")
    elif seen.least is not None:
        lines.append(f"        # from {_quoted(seen.least)} to {_quoted(seen.greatest)}")
    return lines


def _quoted(value: str | None) -> str:
    return json.dumps((value or "")[:40], ensure_ascii=False)


def _observed(
    session: ProjectSession, source: Source, schema: SourceSchema
) -> tuple[Sequence[str], dict[str, Observed]]:
    with session.existing_store.read() as tx:
        keys = leader_writes.published_keys(tx, source.name)[-PARTITIONS_MAX:]
    if not keys:
        return (), {}
    return keys, observe(session, source, keys, [column.name for column in schema.columns])


# Profiles the columns of published partitions: the evidence for inferred rules.

REPEATS_MIN = 20
"""Minimum average number of occurrences per value before the values are taken as complete."""


def observe(
    session: ProjectSession, source: Source, keys: Sequence[str], columns: Sequence[str]
) -> dict[str, Observed]:
    """Return the observations of each column in these partitions.

    Nested columns, and columns that the table lacks, are left out.
    """
    location = find(session, ReadQuery(source.name, tuple(keys)))
    if location.table is None or not location.files:
        return {}
    from headrace.lake.session import DuckDBSession as LakeSession  # this loads DuckDB
    from headrace.lake.sqltext import relation_sql

    session.close()  # a process has either the state or DuckDB open
    types = {column.name: column.type for column in location.table.columns}
    plain = [
        name
        for name in columns
        if name in types
        and not types[name].startswith(("STRUCT", "MAP", "JSON"))
        and types[name][-1] != "]"
    ]
    rows_of = relation_sql(location.files, location.table.columns, with_partition=True)
    with LakeSession(Path(location.lake), timezone=source.timezone) as lake:
        return {name: _of(lake.connection, rows_of, name, types[name]) for name in plain}


def _of(connection: Any, rows_of: str, name: str, kind: str) -> Observed:
    column, part = quote(name), quote(PARTITION_COLUMN)
    rows, filled, distinct, least, greatest = connection.execute(
        f"SELECT count(*), count({column}), count(DISTINCT {column}), left(CAST(min({column}) AS"
        f" VARCHAR), 40), left(CAST(max({column}) AS VARCHAR), 40) FROM ({rows_of})"
    ).fetchone()
    (repeated,) = connection.execute(
        f"SELECT coalesce(max(n), 0) FROM (SELECT count({column}) - count(DISTINCT {column}) AS n"
        f" FROM ({rows_of}) GROUP BY {part})"
    ).fetchone()
    values: tuple[str, ...] = ()
    if kind == "VARCHAR" and 0 < distinct <= VALUES_MAX and filled >= REPEATS_MIN * distinct:
        listed = connection.execute(
            f"SELECT DISTINCT left({column}, 40) FROM ({rows_of}) WHERE {column} IS NOT NULL ORDER"
            " BY 1"
        ).fetchall()
        values = tuple(value for (value,) in listed)
    return Observed(int(rows), int(filled), int(distinct), int(repeated), least, greatest, values)
