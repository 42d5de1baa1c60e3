"""`contract infer`: a contract from published data, each rule with its evidence as a comment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from headrace.access.permissions import READ, command
from headrace.connect.deliveries import SourceSchema
from headrace.lake import PARTITION_COLUMN
from headrace.lake.sqltext import quote
from headrace.model import ProjectError, Refused, Source
from headrace.model.contracts import SUFFIX
from headrace.model.partitions import command_line
from headrace.privacy.masking import refuse_hidden
from headrace.project.parameters import Argument, WriteContract
from headrace.project.read_queries import ReadQuery
from headrace.project.session import ProjectSession
from headrace.repairs.contract_texts import FOLDER, Observed, contract_text, pinned_of, source_of
from headrace.responses.repairs import InferResponse
from headrace.services.read import find
from headrace.store.queries import leader_writes

PARTITIONS_MAX = 30
VALUES_MAX = 12


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
