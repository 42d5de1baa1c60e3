"""Merges: apply an asset's computed changes to its table.

A merge stages one new file and positional deletions. Changed rows stay in their files, and delete
files list their positions, so that a merge writes the changes and not the table. Files whose rows
are mostly deleted, or that are no larger than the new file, are rewritten into it: a table then has
few files, whose sizes grow in steps, after any number of merges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.lake.files import footer_hash, read_tail, seal
from headrace.lake.schema import (
    Given,
    SchemaMismatch,
    TargetTable,
    carried,
    cast_columns,
)
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import AS_WRITTEN, literal, numbered_sql, quote
from headrace.lake.staging import Parameters, describe, refused, write_rows
from headrace.lake.tables import (
    PARTITION_COLUMN,
    ColumnLookup,
    DeleteRef,
    Deletes,
    FileRef,
    KeyRefused,
    LakeTable,
    MergeRule,
    MergeState,
    Replacement,
    SnapshotRule,
    StagedDeletes,
    StagedFile,
    StateFile,
    as_other_columns,
    new_deletes_path,
)

if TYPE_CHECKING:
    import duckdb

WHOLE = "*"
"""The value of `_partition` in a merged table, whose rows span partitions."""
GONE_MAX = 0.5
"""A file with a larger fraction of deleted rows is rewritten."""
ROW_NUMBER = "file_row_number"
_CHANGES, _REPLACED, _CLOSED, _FRESH = (
    '"headrace changes"',
    '"headrace replaced"',
    '"headrace closed"',
    '"headrace fresh"',
)
_ADDED = ("valid_from", "valid_to", "is_current")
_FLAG = quote(PARTITION_COLUMN)
"""Name of the delete flag while changes are read: user columns can't have this name."""
_KEYS_SHOWN = 5
_VALUE_CHARACTERS_SHOWN = 60


class StagedMerge(msgspec.Struct, frozen=True):
    """A staged merge. `files` are all files of the table once it is published."""

    staged: StagedFile
    table: LakeTable
    replacement: Replacement
    files: tuple[FileRef, ...]


def stage_merge(
    session: DuckDBSession,
    select_sql: str,
    parameters: Parameters,
    *,
    target: TargetTable,
    rule: MergeRule,
    state: MergeState,
) -> StagedMerge:
    """Run the asset's query, and stage its changes to the table.

    Raises the errors of `stage`, and KeyRefused; staged files are deleted then.
    """
    body, described = describe(session, select_sql, parameters)
    table_columns = _without_flag(described, rule)
    table = target.fitting((*table_columns, *_added(table_columns, rule)))
    work = _Merge(session, table, rule, state)
    try:
        work.take(body, parameters, table_columns)
        with refused(table):
            return work.staged()
    except BaseException:
        work.undo()
        raise
    finally:
        _clear(session)


def _clear(session: DuckDBSession) -> None:
    """Drop the temporary tables. A failed transaction has already dropped them."""
    import duckdb

    with suppress(duckdb.TransactionException):
        for name in (_CHANGES, _REPLACED, _CLOSED, _FRESH):
            session.connection.execute(f"DROP TABLE IF EXISTS {name}")


def _without_flag(columns: Given, rule: MergeRule) -> Given:
    """Return the query's columns that the table has, without the delete flag."""
    names = [name.lower() for name, _ in columns]
    required = [
        *rule.keys,
        *([rule.delete] if rule.delete else []),
        *(rule.versions.columns if rule.versions else ()),
    ]
    missing = [name for name in required if name.lower() not in names]
    if missing:
        hint = f"its columns are: {', '.join(name for name, _ in columns[:12])}"
        raise SchemaMismatch(
            f"the code returns no column `{missing[0]}`, which the merge needs",
            columns=missing,
            hint=hint,
        )
    if ROW_NUMBER in names:
        raise SchemaMismatch(
            f"a merged table can't have a column `{ROW_NUMBER}`",
            columns=(ROW_NUMBER,),
            hint="rename it with AS",
        )
    return tuple(
        (name, kind)
        for name, kind in columns
        if rule.delete is None or name.lower() != rule.delete.lower()
    )


def _added(columns: Given, rule: MergeRule) -> Given:
    if rule.versions is None:
        return ()
    added = tuple(zip(_ADDED, (rule.versions.type, rule.versions.type, "BOOLEAN"), strict=True))
    clashes = {name for name, _ in added} & {name.lower() for name, _ in columns}
    if clashes:
        message = f"the code returns `{min(clashes)}`, which `materialize: snapshot` adds itself"
        raise SchemaMismatch(
            message, columns=sorted(clashes), hint="rename it with AS, or leave it out"
        )
    return added


class _Merge:
    """One merge.

    Its temporary tables call the table's columns `c0`, `c1` …, by position in `columns`.
    """

    def __init__(
        self,
        session: DuckDBSession,
        table: LakeTable,
        rule: MergeRule,
        state: MergeState,
    ) -> None:
        self._session, self._table, self._rule, self._state = session, table, rule, state
        self.columns = tuple(column for column in table.columns if column.name != PARTITION_COLUMN)
        self._places = {
            column.name.lower(): f"c{number}" for number, column in enumerate(self.columns)
        }
        self._keys = [self._places[key.lower()] for key in rule.keys]
        self._files = state.files
        self._fresh = _FRESH
        self._written: list[str] = []

    # Reading the changes

    def take(self, body: str, parameters: Parameters, columns: Given) -> None:
        """Store the query's rows in a temporary table, and refuse null or repeated keys."""
        written = LakeTable(
            self._table.name,
            (
                self._table.columns[0],
                *(self.columns[int(self._place(name)[1:])] for name, _ in columns),
            ),
        )
        is_deleted = (
            "false"
            if self._rule.delete is None
            else f"coalesce(CAST({quote(self._rule.delete)} AS BOOLEAN), false)"
        )
        cast = (
            f"SELECT {is_deleted} AS {_FLAG}, {', '.join(cast_columns(columns, written))} FROM"
            f" ({body}\n) AS body"
        )
        places = ", ".join(
            f"{quote(column.name)} AS {self._place(column.name)}" for column in written.columns[1:]
        )
        with refused(written):
            self._run(
                f"CREATE TEMP TABLE {_CHANGES} AS SELECT {_FLAG} AS gone, {places} FROM ({cast}) AS"
                " given",
                parameters,
            )
        self._check_nulls()
        self._check_twice()

    def _check_nulls(self) -> None:
        for name, key in zip(self._rule.keys, self._keys, strict=True):
            count = self._value(f"SELECT count(*) FROM {_CHANGES} WHERE {key} IS NULL")
            if count:
                raise KeyRefused(
                    f"the key `{name}` is null in {_rows(count)}",
                    hint="leave such rows out with WHERE, or give them a key",
                )

    def _check_twice(self) -> None:
        keys = ", ".join(self._keys)
        results = self._rows(
            "SELECT count(*) OVER () AS groups, count(*),"
            f" {', '.join(f'CAST({key} AS VARCHAR)' for key in self._keys)} FROM {_CHANGES} GROUP"
            f" BY {keys} HAVING count(*) > 1 ORDER BY {keys} LIMIT {_KEYS_SHOWN}"
        )
        if results:
            text = "; ".join(self._key_text(values) for _, _, *values in results)
            more = (
                f" and {results[0][0] - len(results)} more" if results[0][0] > len(results) else ""
            )
            count = "1 key is" if results[0][0] == 1 else f"{results[0][0]:,} keys are"
            message = f"{count} there more than once in what was computed: {text}{more}"
            raise KeyRefused(
                message,
                hint=(
                    "keep one row a key: QUALIFY row_number() OVER (PARTITION BY … ORDER BY …) = 1"
                ),
            )

    def _key_text(self, values: Sequence[str]) -> str:
        return ", ".join(
            f"{name} = {_short(value)}" for name, value in zip(self._rule.keys, values, strict=True)
        )

    # Applying the changes

    def staged(self) -> StagedMerge:
        """Stage the new file and the deletions; return them with the table's resulting files."""
        self._find_replaced()
        deleted = dict(self._rows(f"SELECT file, count(*) FROM {_REPLACED} GROUP BY file"))
        fresh = int(self._value(f"SELECT count(*) FROM {self._fresh}"))
        again = self._written_again(fresh, deleted)
        if self._table.retyped:
            again = set(range(len(self._files)))
        staged = write_rows(self._session, self._all_rows(again), self._table, WHOLE)
        self._written.append(staged.path)
        deletes = tuple(self._deletions(number) for number in sorted(deleted.keys() - again))
        unchanged_files = [number for number in range(len(self._files)) if number not in again]
        replacement = self._replacement(
            staged,
            unchanged_files,
            deleted,
            deletes,
            changed=bool(deleted or fresh or self._table.retyped),
        )
        return StagedMerge(
            staged, self._table, replacement, self._after(staged, unchanged_files, deletes)
        )

    def _find_replaced(self) -> None:
        """Fill `replaced` with positions of deleted rows, and `fresh` with new rows."""
        if self._rule.versions is not None:
            self._find_versions(self._rule.versions)
            return
        column_list, keys = ", ".join(self._place_names), ", ".join(self._keys)
        self._fresh, touched = f"(SELECT {column_list} FROM {_CHANGES} WHERE NOT gone)", _CHANGES
        if self._rule.drop_same:
            same = " AND ".join(
                f"was.{place} IS NOT DISTINCT FROM now.{place}" for place in self._place_names
            )
            repeated = (
                f"(SELECT {', '.join(f'now.{key}' for key in self._keys)} FROM ({self._before()})"
                f" AS was JOIN {_CHANGES} AS now ON {self._on('was', 'now')} WHERE NOT gone AND"
                f" {same})"
            )
            self._run(
                f"CREATE TEMP TABLE {_FRESH} AS SELECT {column_list} FROM {_CHANGES} AS now ANTI"
                f" JOIN {repeated} AS same ON {self._on('now', 'same')} WHERE NOT gone"
            )
            self._fresh, touched = (
                _FRESH,
                f"(SELECT {keys} FROM {_FRESH} UNION ALL SELECT {keys} FROM {_CHANGES} WHERE gone)",
            )
        self._run(
            f"CREATE TEMP TABLE {_REPLACED} AS SELECT file, pos FROM ({self._before(self._keys)})"
            f" AS was SEMI JOIN {touched} AS now ON {self._on('was', 'now')}"
        )

    def _find_versions(self, versions: SnapshotRule) -> None:
        """Close the current version of each row whose compared columns changed; begin a new one."""
        at = f"CAST({literal(versions.at)} AS {versions.type})"
        column_list, keys = ", ".join(self._place_names), ", ".join(self._keys)
        current = f"(SELECT * FROM ({self._before()}) AS state WHERE {self._place('is_current')})"
        differs = (
            " OR ".join(
                f"was.{place} IS DISTINCT FROM now.{place}" for place in self._compared(versions)
            )
            or "false"
        )
        was = ", ".join(f"was.{place}" for place in self._place_names)
        closed = (
            f"SELECT was.file, was.pos, {was} FROM {current} AS was JOIN {_CHANGES} AS now ON"
            f" {self._on('was', 'now')} WHERE {differs}"
        )
        if versions.deletes is Deletes.CLOSE:
            closed += (
                f" UNION ALL SELECT file, pos, {column_list} FROM {current} AS was ANTI JOIN"
                f" {_CHANGES} AS now ON {self._on('was', 'now')}"
            )
        self._run(f"CREATE TEMP TABLE {_CLOSED} AS {closed}")
        self._run(f"CREATE TEMP TABLE {_REPLACED} AS SELECT file, pos FROM {_CLOSED}")
        staying = (
            f"(SELECT {keys} FROM {current} AS was ANTI JOIN {_REPLACED} AS gone USING (file, pos))"
        )
        begun = self._version(
            {"valid_from": at, "valid_to": f"CAST(NULL AS {versions.type})", "is_current": "true"}
        )
        ended = self._version({"valid_to": at, "is_current": "false"})
        self._run(
            f"CREATE TEMP TABLE {_FRESH} AS SELECT {begun} FROM {_CHANGES} AS now ANTI JOIN"
            f" {staying} AS was ON {self._on('was', 'now')} UNION ALL SELECT {ended} FROM {_CLOSED}"
            f" WHERE {self._place('valid_from')} < {at}"
        )

    def _compared(self, versions: SnapshotRule) -> list[str]:
        """Return the columns (as `c0` …) whose change creates a version."""
        named = {name.lower() for name in versions.columns}
        return [
            place
            for name, place in self._places.items()
            if place not in self._keys and name not in _ADDED and (not named or name in named)
        ]

    def _version(self, values: dict[str, str]) -> str:
        new_values = {self._place(name): value for name, value in values.items()}
        return ", ".join(
            f"{new_values[place]} AS {place}" if place in new_values else place
            for place in self._place_names
        )

    def _before(self, columns: Sequence[str] | None = None) -> str:
        """Return a query of the previous rows with their positions.

        `columns` restricts them.
        """
        text = self._published(self._files)
        return (
            text
            if columns is None
            else f"SELECT file, pos, {', '.join(columns)} FROM ({text}) AS state"
        )

    def _published(self, files: Sequence[StateFile]) -> str:
        """Return `numbered_sql` of published files, their values carried into the columns of now.

        The columns may be changed by this merge.
        """
        refs = [file.ref for file in files]
        if not self._table.changed_from:
            return numbered_sql(refs, self.columns)
        before = [c for c in self._table.changed_from if c.name != PARTITION_COLUMN]
        values = {column.id: (f"c{n}", column.type) for n, column in enumerate(before)}
        select = ", ".join(
            f"{value} AS c{n}" for n, value in enumerate(carried(values, self._table)[1:])
        )
        return f"SELECT file, pos, {select} FROM ({numbered_sql(refs, before)}) AS published"

    def _on(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{key} = {right}.{key}" for key in self._keys)

    # Writing files

    def _written_again(self, fresh: int, deleted: dict[int, int]) -> set[int]:
        """Return the files whose rows move into the new file.

        They are those that can't stay, are mostly deleted, or hold no more rows than the new file.
        """
        live = {
            n: file.rows - file.deleted - deleted.get(n, 0) for n, file in enumerate(self._files)
        }
        again = {
            n
            for n, file in enumerate(self._files)
            if not file.kept or live[n] < file.rows * (1 - GONE_MAX) or not live[n]
        }
        total = fresh + sum(live[n] for n in again)
        if not deleted and not fresh:
            return again
        for number in sorted(live.keys() - again, key=lambda n: live[n]):
            if live[number] > total:
                break
            again.add(number)
            total += live[number]
        return again

    def _all_rows(self, again: set[int]) -> str:
        """Return a query of the new rows and the remaining rows of rewritten files."""
        names = ", ".join(f"c{n} AS {quote(column.name)}" for n, column in enumerate(self.columns))
        text = f"SELECT {names} FROM {self._fresh}"
        if again:
            files = {number: place for place, number in enumerate(sorted(again))}
            rest = self._published([self._files[number] for number in files])
            moved = ", ".join(f"({number}, {place})" for number, place in files.items())
            lost = (
                f"(SELECT moved.place AS file, pos FROM {_REPLACED} JOIN (VALUES {moved}) AS"
                " moved(number, place) ON file = moved.number)"
            )
            text += (
                f" UNION ALL SELECT {names} FROM ({rest}) AS rest ANTI JOIN {lost} AS lost USING"
                " (file, pos)"
            )
        return text

    def _deletions(self, number: int) -> StagedDeletes:
        """Write all deleted positions of a file: earlier ones and those of this merge."""
        ref = self._files[number].ref
        path = new_deletes_path(self._table)
        target = self._session.data_folder / path
        self._written.append(path)
        of = literal(str(self._session.data_folder / ref.path))
        before = "".join(
            " UNION SELECT pos FROM"
            f" read_parquet({literal(str(self._session.data_folder / d.path))}, {AS_WRITTEN})"
            for d in ref.deletes
        )
        results = self._rows(
            f"COPY (SELECT {of} AS file_path, pos FROM (SELECT pos FROM {_REPLACED} WHERE file ="
            f" {number}{before}) AS gone ORDER BY pos) TO {literal(str(target))} (FORMAT parquet,"
            " COMPRESSION zstd, RETURN_STATS)"
        )[0]
        tail = read_tail(target, results[3])
        path = self._written[-1] = seal(self._session.data_folder, path)
        return StagedDeletes(ref.path, path, results[1], results[2], results[3], footer_hash(tail))

    def _replacement(
        self,
        staged: StagedFile,
        unchanged_files: Sequence[int],
        deleted: dict[int, int],
        deletes: tuple[StagedDeletes, ...],
        *,
        changed: bool,
    ) -> Replacement:
        now = dict(self._state.seen)
        stay = {self._files[number].ref.path: self._files[number].ref for number in unchanged_files}
        written = {delete.of for delete in deletes}
        moved = [
            ref
            for path, ref in stay.items()
            if path not in written and now[path] != tuple(sorted(d.path for d in ref.deletes))
        ]
        again = tuple(self._restated(ref) for ref in moved if ref.deletes)
        rows = staged.rows + sum(
            self._files[n].rows - self._files[n].deleted - deleted.get(n, 0)
            for n in unchanged_files
        )
        ended = tuple(path for path in now if path not in stay)
        return Replacement(
            seen=self._state.seen,
            ended=ended,
            deletes=(*deletes, *again),
            restored=tuple(ref.path for ref in moved if not ref.deletes),
            rows=rows,
            content_hash=self._hash() if changed else self._state.content_hash or self._hash(),
            changed=changed or bool(ended or moved),
        )

    def _restated(self, ref: FileRef) -> StagedDeletes:
        """Write a file's previous deletions again: this merge undoes its current ones."""
        number = next(n for n, file in enumerate(self._files) if file.ref.path == ref.path)
        return self._deletions(number)

    def _after(
        self, staged: StagedFile, unchanged_files: Sequence[int], deletes: tuple[StagedDeletes, ...]
    ) -> tuple[FileRef, ...]:
        lost = {delete.of: (DeleteRef(delete.path),) for delete in deletes}
        old = [self._files[number].ref for number in unchanged_files]
        stay = [
            FileRef(ref.path, None, lost.get(ref.path, ref.deletes), None, ref.lookup)
            for ref in (map(as_other_columns, old) if self._table.changed_from else old)
        ]
        return (
            (*stay, FileRef(staged.path, lookup=ColumnLookup.SAME)) if staged.rows else tuple(stay)
        )

    def _hash(self) -> str:
        """Return a hash of the state before, the changes and the columns.

        Equal only for equal tables.
        """
        body = ", ".join(
            place
            for name, place in self._places.items()
            if self._rule.versions is None or name not in _ADDED
        )
        rows, total = self._rows(f"SELECT count(*), sum(hash(gone, {body})) FROM {_CHANGES}")[0]
        columns = [(column.name, column.type) for column in self.columns]
        encoded = msgspec.json.encode(
            (self._state.content_hash, rows, str(total), columns, self._rule)
        )
        return f"merge:{hashlib.sha256(encoded).hexdigest()[:32]}"

    def undo(self) -> None:
        """Delete the files that this merge wrote."""
        for path in self._written:
            Path(self._session.data_folder, path).unlink(missing_ok=True)

    # Running statements

    def _run(self, sql: str, parameters: Parameters = None) -> duckdb.DuckDBPyConnection:
        return self._session.run(sql, parameters)

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._run(sql).fetchall()

    def _value(self, sql: str) -> Any:
        return self._rows(sql)[0][0]

    def _place(self, name: str) -> str:
        return self._places[name.lower()]

    @property
    def _place_names(self) -> list[str]:
        return list(self._places.values())


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _short(value: str) -> str:
    text = (
        value
        if len(value) <= _VALUE_CHARACTERS_SHOWN
        else f"{value[:_VALUE_CHARACTERS_SHOWN]}… ({len(value):,} characters)"
    )
    return repr(text)
