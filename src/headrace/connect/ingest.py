"""Turn a stored file into a SELECT that the lake can stage, or into a reason why not.

Runs in a worker. The order of an ingestion: `raw_files.store_raw` (raw bytes by content) →
`prepare` (this module) → `lake.staging.stage(…, prepared.select_sql, …)` → if staging raises a
DuckDB error, `explain_error` → `prepared.discard()` in any case. With a pinned schema `prepare`
reads only the header: broken rows and bad values raise errors when the SELECT is executed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace.connect.deliveries import (
    AlmostTyped,
    CannotRead,
    Drift,
    Format,
    SourceSchema,
    TypeDrift,
    UnreadableFile,
    error_text,
    printable,
)
from headrace.connect.formats.csv import refuse_even_title
from headrace.connect.formats.headers import listed, other_document
from headrace.connect.formats.registry import FileHeader, FormatKind, reader
from headrace.connect.formats.structures import wider_type
from headrace.connect.prepared import (
    PreparedDelivery,
    Result,
    kind_of,
    map_columns,
    other_kind,
    prepared_delivery,
    unfolded,
    with_file_names,
    with_row_count,
)
from headrace.connect.raw_files import Opened, UnpackLimits, open_readable
from headrace.connect.schemas import (
    TEXT,
    Adapt,
    Adapted,
    DeliverySchema,
    about_the_machine,
    agreed,
    almost_typed,
    as_promised,
    can_be_read,
    extended,
    lesson_of,
    renamed,
    with_names,
    with_stated,
    without_values,
)
from headrace.connect.text_files import ends_open, mislabelled, other_encoding
from headrace.lake import LakeColumn
from headrace.lake.sqltext import quote
from headrace.lake.types import UnsupportedType
from headrace.model.nodes import ContractColumn

if TYPE_CHECKING:
    import duckdb


class ReadRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the files of a source are read, whatever schema is pinned."""

    temporary: Path
    """A folder for unpacked files, which the connection may read."""
    options: Mapping[str, Any] | None = None
    """The source's declared options (`excel: {…}` and the like); a declared format wins over the
    detected one."""
    promised: Sequence[ContractColumn] = ()
    """The columns of the contract."""
    classified: Collection[str] = ()
    """Columns of which no values are in the result."""
    samples: Sequence[tuple[Path, str]] = ()
    """Other stored files of the source with their names, to infer types from: a column that holds 0
    on the first day may hold 0.5 on the tenth."""
    bounds: UnpackLimits = UnpackLimits()
    adapt: Adapt | None = None
    """Accepts columns that are renamed, added or missing."""
    accepted: bool = False
    """Whether a file that contradicts its own totals was accepted."""


def prepare(  # complexipy: ignore (what can go wrong, in order)
    path: Path,
    name: str,
    rules: ReadRules,
    *,
    connection: duckdb.DuckDBPyConnection,
    pinned: SourceSchema | None,
) -> Result:
    """Prepare the stored file `path`, delivered as `name`, for staging.

    `name` is a path; its endings decide only where the content leaves the format open. `connection`
    may read the folder of `path`.

    With a `pinned` schema the file is compared with it. Without one, the contract's columns give
    names and types; the rest is detected from this file and from samples.

    Returns a Drift if the header or the format differs from the pinned one or the contract's, a
    TypeDrift if the file itself states other types (both are held), and an UnreadableFile for
    anything else (rejected, or held if the file contradicts its own totals and isn't accepted).
    """
    opened = None
    options, bounds = rules.options, rules.bounds
    pinned = pinned and with_stated(pinned, rules.promised, options or {})
    result: Result
    try:
        opened = open_readable(path, name, rules.temporary, bounds=bounds, options=options)
        opened = msgspec.structs.replace(opened, accepted=rules.accepted)
        detected = kind_of(opened)
        if pinned is None:
            opened, declared = mislabelled(opened)
            kind = reader(detected)
            opened = unfolded(kind, opened, rules.temporary, bounds, None)
            learning = Learning(kind, name, rules, path, declared)
            result = _learnt(connection, opened, learning)
        elif other := (
            other_kind(detected, pinned.format.kind, name) or other_encoding(opened, pinned)
        ):
            result = other
        else:
            kind = reader(pinned.format.kind)
            opened = unfolded(kind, opened, rules.temporary, bounds, pinned)
            result = _prepared(kind, connection, opened, pinned, rules.adapt)
    except CannotRead as refusal:
        result = refusal.value
    except RecursionError:
        result = UnreadableFile("nested too deeply")
    except UnsupportedType as error:
        result = UnreadableFile(str(error))
    except BaseException as error:
        file = _of_the_file(error, opened, connection, pinned)
        if file is None:
            if opened:
                opened.discard()
            raise
        result = file
    if opened and not isinstance(result, PreparedDelivery):
        opened.discard()
    return result


def _of_the_file(
    error: BaseException,
    opened: Opened | None,
    connection: duckdb.DuckDBPyConnection,
    pinned: SourceSchema | None,
) -> UnreadableFile | None:
    """Explain a DuckDB error raised while reading rows before staging; None for every other error.

    A new column, for example, is learnt from all rows of the file.
    """
    if opened is None or not isinstance(error, Exception) or about_the_machine(error):
        return None
    kind = reader(pinned.format.kind if pinned else kind_of(opened))
    nothing = SourceSchema((), pinned.format if pinned else Format(kind=kind.name))
    try:
        explained = _explained(kind, error, connection, opened, nothing, FileHeader(()))
    except CannotRead as refusal:
        return refusal.value
    return explained if isinstance(explained, UnreadableFile) else UnreadableFile(explained.reason)


def explain_error(
    error: Exception, prepared: PreparedDelivery, connection: duckdb.DuckDBPyConnection
) -> TypeDrift | UnreadableFile:
    """Explain a DuckDB error of `prepared.select_sql`, with lines, counts and first bad values.

    Raises `error` again if it isn't about the file (memory, disk, interruption). Call it before
    `prepared.discard()`.
    """
    if about_the_machine(error):
        raise error
    if prepared.parts:
        return _explained_part(error, prepared, connection)
    kind = reader(prepared.schema.format.kind)
    try:
        explained = _explained(
            kind, error, connection, prepared.opened, prepared.schema, prepared.header
        )
    except CannotRead as refusal:
        return refusal.value
    if isinstance(explained, TypeDrift):
        return msgspec.structs.replace(
            explained, reads_as=_rereading(kind, connection, prepared, explained)
        )
    return explained


def prepare_all(
    files: Sequence[tuple[Path, str]],
    rules: ReadRules,
    *,
    connection: duckdb.DuckDBPyConnection,
    pinned: SourceSchema | None,
) -> Result:
    """Prepare a delivery of several stored files, with their names, as one SELECT by column name.

    Returns the result of the first file that can't be read or has drifted, with its name.
    """
    (first, name), *others = files
    if others and pinned is None:
        rules = msgspec.structs.replace(rules, samples=[*rules.samples, *others])
    delivery = prepare(first, name, rules, connection=connection, pinned=pinned)
    if not others:
        return delivery
    if not isinstance(delivery, PreparedDelivery):
        return _of_file(delivery, name)
    parts = [msgspec.structs.replace(delivery, name=name)]
    if pinned is None and not rules.promised:
        # only the first file's columns are expected
        rules = msgspec.structs.replace(rules, adapt=None)
    for path, other in others:
        next_one = prepare(path, other, rules, connection=connection, pinned=parts[-1].schema)
        if not isinstance(next_one, PreparedDelivery):
            for part in parts:
                part.discard()
            return _of_file(next_one, other)
        parts.append(msgspec.structs.replace(next_one, name=other))
    return _united(parts)


def _united(parts: list[PreparedDelivery]) -> PreparedDelivery:
    """Return one delivery that selects the rows of all files by column name."""
    first, schema = parts[0], parts[-1].schema
    counts = [part.header.rows for part in parts]
    rows = None if None in counts else sum(count or 0 for count in counts)
    union = "\nUNION ALL BY NAME\n".join(f"SELECT * FROM ({part.select_sql})" for part in parts)
    if len(schema.columns) > len(first.schema.columns):
        columns = ", ".join(quote(column.name) for column in schema.columns)
        union = f"SELECT {columns} FROM ({union})"
    return msgspec.structs.replace(
        first,
        name="",
        schema=schema,
        learnt=any(part.learnt for part in parts),
        select_sql=union,
        header=msgspec.structs.replace(first.header, rows=rows),
        parts=tuple(parts),
    )


def _of_file(
    drift: Drift | TypeDrift | UnreadableFile, name: str
) -> Drift | TypeDrift | UnreadableFile:
    """Add the name of the file that the result is about."""
    if isinstance(drift, Drift):
        return msgspec.structs.replace(drift, detail=f"{printable(name, 200)}: {drift.detail}")
    return msgspec.structs.replace(drift, reason=f"{printable(name, 200)}: {drift.reason}")


def _explained_part(
    error: Exception, prepared: PreparedDelivery, connection: duckdb.DuckDBPyConnection
) -> TypeDrift | UnreadableFile:
    """Explain the error of the first of several files whose rows can't be read."""
    import duckdb

    for part in prepared.parts:
        try:
            connection.execute(
                f"SELECT bit_xor(hash(part)) FROM ({part.select_sql}) AS part"
            ).fetchone()
        except duckdb.Error as problem:
            explained = _of_file(explain_error(problem, part, connection), part.name)
            assert not isinstance(explained, Drift)
            return explained
    return UnreadableFile(f"can't be read: {error_text(error, prepared.opened.path)}")


def _explained(
    kind: FormatKind,
    error: Exception,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    schema: SourceSchema,
    header: FileHeader,
) -> TypeDrift | UnreadableFile:
    """Return the reader's explanation, or the error's first line if a second pass fails too."""
    import duckdb

    try:
        return kind.explain(error, connection, opened, schema, header)
    except duckdb.Error as second:
        if about_the_machine(second):
            raise
        return UnreadableFile(f"can't be read: {error_text(error, opened.path)}")


def _prepared(  # complexipy: ignore (what differs from the pinned schema, in order)
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    pinned: SourceSchema,
    adapt: Adapt | None,
) -> Result:
    rows = kind.inspect(opened, known=True)
    try:
        header = kind.header(connection, opened, pinned.format)
    except CannotRead:  # one very long name may be many columns with another separator
        if (drift := _other_format_of_header(kind, connection, opened, pinned, adapt)) is None:
            raise
        return drift
    if rows is not None and pinned.format.header:  # the first line, too, is a row
        rows += 1
    header = with_row_count(header, rows)
    if isinstance(meant := map_columns(header, pinned, adapt), Drift):
        if (drift := _format_drift(kind, connection, opened, pinned, adapt)) is not None:
            return drift
        if kind.name == "csv" and {*header.names}.isdisjoint(pinned.names):
            return other_document(opened.path, pinned) or meant
        return meant
    results, header = header.names, renamed(header, meant.names)
    schema = extended(kind, connection, opened, pinned, header, meant.added)
    mismatch = kind.mismatch(header, schema)
    if mismatch is not None:
        return mismatch
    delivery = prepared_delivery(kind, opened, schema, header, learnt=schema != pinned)
    return with_file_names(delivery, results, meant)


def _format_drift(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    pinned: SourceSchema,
    adapt: Adapt | None,
) -> Drift | None:
    """Return a Drift if the pinned header appears in the file's newly detected format."""
    another = kind.another_format(opened, pinned)
    if another is None:
        return None
    form, detail = another
    header = kind.header(connection, opened, form)
    unlike = isinstance(map_columns(header, pinned, adapt), Drift)
    if unlike or (
        form.header and not can_be_read(kind, connection, opened, form, header, pinned.columns)
    ):
        return None
    same = "" if form.header else "; the names of the columns are the same"
    return Drift(detail=f"{detail}{same}", reads_as=msgspec.structs.replace(pinned, format=form))


def _other_format_of_header(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    pinned: SourceSchema,
    adapt: Adapt | None,
) -> Drift | None:
    """Like `_format_drift`, for a header that isn't readable as pinned; None if both fail."""
    try:
        return _format_drift(kind, connection, opened, pinned, adapt)
    except CannotRead:
        return None


class Learning(NamedTuple):
    """The inputs for learning a schema, besides the opened file."""

    kind: FormatKind
    name: str
    rules: ReadRules
    stored_file: Path
    declared_encoding: str
    """The encoding that the source declares, if the file isn't in it."""


def _learnt(connection: duckdb.DuckDBPyConnection, opened: Opened, learning: Learning) -> Result:
    kind, promised = learning.kind, learning.rules.promised
    rows = kind.inspect(opened, known=False)
    schema, header = _detected(kind, connection, opened)
    header = with_row_count(header, rows)
    _refuse_even_title(opened, learning, header)
    shows = [
        DeliverySchema(learning.stored_file, learning.name, schema),
        *_samples(connection, opened, learning),
    ]
    _refuse_cut_header(connection, opened, learning, header, shows)
    if len(shows) > 1:
        first = without_values(kind, connection, opened, schema, header)
        shows[0] = shows[0]._replace(schema=first)
    schema = agreed([schema.schema for schema in shows])
    first_bad = partial(_first_bad, connection, learning, opened.options)
    learnt = lesson_of(
        shows,
        schema,
        opened,
        kind.name,
        declared_encoding=learning.declared_encoding,
        promised=bool(promised),
        first_bad=first_bad,
    )
    detected, results, meant = schema, header.names, Adapted({})
    if promised:
        contracted = _as_contracted(header, learning)
        if isinstance(contracted, Drift):
            return contracted
        meant = contracted
        header = renamed(header, meant.names)
        schema = as_promised(with_names(schema, header), promised)
    else:
        schema = msgspec.structs.replace(schema, pinned_by=learning.name)
    names = dict(zip(results, header.names, strict=True))
    almost = [
        item
        for item in _almost_typed(header, names, schema, promised)
        if item.column not in learnt.undecided
    ]
    secret = _classified(learning)
    classified = {column_name for column_name, name in names.items() if name.lower() in secret}
    learnt = msgspec.structs.replace(
        learnt,
        almost=almost_typed(shows[0], detected, almost, classified, first_bad),
        disagreed=tuple(
            msgspec.structs.replace(item, value="")
            if item.column in classified or item.column.lower() in secret
            else item
            for item in learnt.disagreed
        ),
    )
    schema = msgspec.structs.replace(schema, lesson=learnt)
    mismatch = kind.mismatch(header, schema)
    if mismatch is not None:
        return mismatch
    schema = with_stated(schema, promised, opened.options)
    delivery = prepared_delivery(kind, opened, schema, header, learnt=True)
    return with_file_names(delivery, results, meant)


def _refuse_even_title(opened: Opened, learning: Learning, header: FileHeader) -> None:
    """Raise CannotRead for a first CSV file with a title, unless a contract has its names."""
    promised = {column.name for column in learning.rules.promised}
    if learning.kind.name == "csv" and not (promised and promised <= {*header.names}):
        refuse_even_title(opened)


def _refuse_cut_header(
    connection: duckdb.DuckDBPyConnection,
    opened: Opened,
    learning: Learning,
    header: FileHeader,
    shows: Sequence[DeliverySchema],
) -> None:
    """Raise CannotRead for a first CSV file that ends in a header which nothing confirms."""
    first, *others = (each.schema for each in shows)
    known = learning.rules.promised or any(other.names == first.names for other in others)
    if known or learning.kind.name != "csv" or not header.raw or not ends_open(Path(opened.path)):
        return
    columns = [LakeColumn(name, TEXT, 0) for name in header.names]
    rows = learning.kind.select_sql(opened, first.format, header, columns)
    if connection.execute(f"SELECT 1 FROM ({rows}) LIMIT 1").fetchone() is None:
        raise CannotRead(
            "the header has no line end, and no row comes below: it may be cut off",
            line=header.skip + 1,
            code="delivery_truncated",
        )


def _classified(learning: Learning) -> set[str]:
    """Return the columns, in lower case, of which no value may be stored."""
    promised = [column.name for column in learning.rules.promised if column.classification]
    return {name.lower() for name in (*promised, *learning.rules.classified)}


def _almost_typed(
    header: FileHeader,
    names: Mapping[str, str],
    schema: SourceSchema,
    promised: Sequence[ContractColumn],
) -> list[AlmostTyped]:
    """Return the columns that stay text for few values, unless the contract says that they are."""
    texts = {column.name for column in schema.columns if column.type == TEXT}
    texts -= {column.name for column in promised if column.type}
    return [item for item in header.almost if names[item.column] in texts]


def _samples(
    connection: duckdb.DuckDBPyConnection, opened: Opened, learning: Learning
) -> Iterator[DeliverySchema]:
    # a file of several intervals is a sample for each, and the first file may be one
    samples = dict.fromkeys(learning.rules.samples)
    samples.pop((learning.stored_file, learning.name), None)
    for path, name in samples:
        file = (path, name)
        sample = _sampled(learning.kind, connection, file, learning.rules.temporary, opened.options)
        if sample is not None:
            yield DeliverySchema(path, name, sample)


def _first_bad(
    connection: duckdb.DuckDBPyConnection,
    learning: Learning,
    options: Mapping[str, Any],
    schema: DeliverySchema,
    source_schema: SourceSchema,
) -> dict[str, tuple[str, int | None]]:
    """Return per column the first value that isn't of its type in `source_schema`, and its line."""
    import duckdb

    read = prepare(
        schema.path,
        schema.name,
        ReadRules(temporary=learning.rules.temporary, options=options),
        connection=connection,
        pinned=source_schema,
    )
    if not isinstance(read, PreparedDelivery):
        return {}
    try:
        connection.execute(
            f"SELECT bit_xor(hash(part)) FROM ({read.select_sql}) AS part"
        ).fetchone()
    except duckdb.Error as error:
        why = explain_error(error, read, connection)
        return (
            {bad.column: (bad.value, bad.line) for bad in why.columns}
            if isinstance(why, TypeDrift)
            else {}
        )
    finally:
        read.discard()
    return {}


def _as_contracted(header: FileHeader, learning: Learning) -> Adapted | Drift:
    """Map the column names of a first file to the contract's columns."""
    rules = learning.rules
    if rules.adapt is not None:
        return rules.adapt(header)
    missing = tuple(column.name for column in rules.promised if column.name not in header.names)
    if not missing:
        return Adapted({})
    promised = {column.name for column in rules.promised}
    new = tuple(name for name in header.names if name not in promised)
    return Drift(
        missing,
        new,
        f"the contract's columns {listed(missing)} aren't in the header; the header has"
        f" {listed(header.names)}",
    )


def _detected(
    kind: FormatKind, connection: duckdb.DuckDBPyConnection, opened: Opened
) -> tuple[SourceSchema, FileHeader]:
    """Detect the schema; errors while reading the file's rows are explained like a SELECT's."""
    import duckdb

    try:
        return kind.learn(connection, opened)
    except duckdb.Error as error:
        if (file := _of_the_file(error, opened, connection, None)) is None:
            raise
        raise CannotRead(file.reason, line=file.line, code=file.code) from error


def _sampled(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    sample: tuple[Path, str],
    temporary: Path,
    options: Mapping[str, Any],
) -> SourceSchema | None:
    """Return the schema of another file of the source; None if it is unreadable or another format.

    That file's own ingestion reports the problem.
    """
    opened = None
    try:
        opened = open_readable(*sample, temporary, options=options)
        if kind_of(opened) != kind.name:
            return None
        opened = unfolded(kind, opened, temporary, UnpackLimits(), None)
        kind.inspect(opened, known=False)
        return without_values(kind, connection, opened, *_detected(kind, connection, opened))
    except CannotRead:
        return None
    finally:
        if opened:
            opened.discard()


def _rereading(
    kind: FormatKind,
    connection: duckdb.DuckDBPyConnection,
    prepared: PreparedDelivery,
    drift: TypeDrift,
) -> SourceSchema | None:
    """Return the pinned schema, changed so that it reads this delivery; None if detection fails.

    It gets a decimal comma if that suffices, else other date formats and wider types.
    """
    comma = msgspec.structs.replace(prepared.schema.format, decimal=",")
    if kind.name == "csv" and can_be_read(
        kind, connection, prepared.opened, comma, prepared.header, prepared.schema.columns
    ):
        return msgspec.structs.replace(prepared.schema, format=comma)
    try:
        shown_now, _ = _detected(kind, connection, prepared.opened)
    except CannotRead:
        return None
    now = {
        name: column.type
        for name, column in zip(prepared.header.names, shown_now.columns, strict=False)
    }
    bad = {column.column for column in drift.columns}
    types = {
        column.name: (
            wider_type(column.type, now.get(column.name, "VARCHAR"))
            if column.name in bad
            else column.type
        )
        for column in prepared.schema.columns
    }
    other = msgspec.structs.replace(
        prepared.schema,
        columns=tuple(
            LakeColumn(column.name, types[column.name], column.id)
            for column in prepared.schema.columns
        ),
        format=msgspec.structs.replace(
            prepared.schema.format,
            null=shown_now.format.null,
            date_format=shown_now.format.date_format,
            timestamp_format=shown_now.format.timestamp_format,
        ),
    )
    return None if other == prepared.schema else other
