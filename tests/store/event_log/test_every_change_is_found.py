"""Whatever changes in whatever table, without Headrace: it is found, or `guards` says why it isn't.
Made from the schema.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from every_table import all_rows, fill_every_table
from postgres_cluster import Cluster, Database, private_cluster

from headrace.lake import catalog
from headrace.model import Settings, StoreError
from headrace.runtime.event_log import compared
from headrace.runtime.folders import Folders
from headrace.store import Store
from headrace.store.engines.sqlite import SqliteEngine
from headrace.store.event_log import comparing, replaying
from headrace.store.event_recording import LEFT_OUT, OWN, UNRECORDED
from headrace.store.portable import columns_by_table
from headrace.store.queries import audit_trail
from headrace.store.transaction import Dialect

SEED = 20261121
FLIPS = 60
ROUNDS = 12
PAGE_BYTES = 8192
DRAWS_MAX = 20
NOT_UNIQUE = ("IntegrityError", "UniqueViolation")
"""What SQLite and PostgreSQL say of a value that is there already."""


def filled(root: Path, settings: Settings) -> Store:
    """A state in which each table has rows, all of them written through transactions."""
    store = Store.open(root, settings, create=True)
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
    with Store.open(root / "model", Settings(name="model"), create=True) as model:
        with model.write(None) as tx:
            catalog.create(tx, "lake/")
            counts = fill_every_table(tx, SEED)
        assert min(counts.values()) > 0, counts
        with model.read() as source, store.write(None) as tx:
            _copy(source, tx, list(counts))
    return store


def _copy(source: Any, tx: Any, order: list[str]) -> None:
    """Row by row with statements, as Headrace writes, not as a copy that brings its log with it."""
    for name in order:
        if name in {*UNRECORDED, *OWN, "migration"}:
            continue
        kinds = columns_by_table(tx)[name]
        if tx.execute(
            f'select 1 from "{name}"'
        ).fetchone():  # PostgreSQL's trail refuses even to delete nothing
            tx.execute(f'delete from "{name}"')
        listed, marks = ", ".join(f'"{column}"' for column in kinds), ", ".join("?" for _ in kinds)
        own = '"recurrence_of"'  # a row may refer to a later one: of no interest here
        for row in source.execute(
            f'select {listed.replace(own, "null")} from "{name}" order by 1'
        ).fetchall():
            values = [
                bool(v) if kind == "boolean" and v is not None else v
                for v, kind in zip(row, kinds.values(), strict=True)
            ]
            tx.execute(f"insert into {name} ({listed}) values ({marks})", values)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = {}
    if request.param == "postgresql":
        database: Database = request.getfixturevalue("postgresql")
        url = {"store_url": database.url}
    with filled(tmp_path / "p", Settings(name="full", **url)) as made:
        yield made


def folders(store: Store) -> Folders:
    return Folders(str(store.folder.parent), str(store.folder))


def changed(value: Any, kind: str, values: random.Random) -> Any:
    """The same value with one bit flipped, of a text or bytes one in the middle."""
    if kind == "uuid":  # text of a form that PostgreSQL checks
        return f"{value or '00000000-0000-0000-0000-00000000000'}"[:35] + (
            "1" if str(value).endswith("0") else "0"
        )
    if value is None and kind.startswith("timestamp"):  # PostgreSQL checks its form, too
        return "2025-01-01 00:00:00+00"
    if value is None:
        return {"boolean": True, "bytea": b"x", "blob": b"x"}.get(kind, 1 if "int" in kind else "x")
    if isinstance(value, bool) or kind == "boolean":
        return not value
    if isinstance(value, int):
        return value ^ 1 << values.randrange(20)
    if isinstance(value, bytes):
        at = values.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << values.randrange(8)]) + value[at + 1 :]
    return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"


def test_nothing_differs_in_a_state_that_only_headrace_wrote(store: Store) -> None:
    with store.read() as tx, compared(tx, folders(store)) as result:
        assert result.sound, (result.differences[:5], result.misfits, result.unreadable)
        assert result.checked.keys() == columns_by_table(tx).keys() - UNRECORDED.keys()


@pytest.mark.system
@pytest.mark.long
def test_each_column_of_each_table_is_compared(store: Store) -> None:
    """One value of each column is changed, then put back; and one row of each table is deleted."""
    values = random.Random(SEED)
    missed = []
    with store.write(None) as writing:
        _unguard(writing)
    _unconstrained(store)
    with store.read() as tx, compared(tx, folders(store)) as result:
        assert result.replay is not None
        replay, kinds = result.replay, columns_by_table(tx)
        for name in kinds.keys() - UNRECORDED.keys():
            for column, kind in kinds[name].items():
                if column in LEFT_OUT.get(name, ()):
                    continue  # the trail's chain says of those
                if not _flip(store, name, column, kind, values, replay):
                    missed.append(f"{name}.{column}")
            if not _delete(store, name, replay):
                missed.append(f"a row of {name}")
    assert missed == [], f"seed {SEED}"


def _unguard(tx: Any) -> None:
    """Without what the database itself refuses: whoever edits a file, and a disk, ask no
    constraint.
    """
    tx.unrecorded(
        "drop trigger audit_no_update" + (" on audit" if tx.dialect is Dialect.POSTGRESQL else "")
    )
    if tx.dialect is Dialect.SQLITE:
        tx.unrecorded("drop trigger audit_no_delete")
        return
    checks = tx.execute(
        "select conrelid::regclass::text, conname from pg_constraint"
        " where contype = 'c' and connamespace = any(current_schemas(false)::regnamespace[])"
    ).fetchall()
    for table, name in checks:
        tx.unrecorded(f'alter table {table} drop constraint "{name}"')


def _unconstrained(store: Store) -> None:
    """Foreign keys and checks aren't asked; a value that isn't unique is still refused."""
    if isinstance(store.engine, SqliteEngine):
        store.engine.write_connection().execute("pragma foreign_keys = off")
        store.engine.write_connection().execute("pragma ignore_check_constraints = on")


def _flip(
    store: Store, name: str, column: str, kind: str, values: random.Random, replay: replaying.Replay
) -> bool:
    """Whether a changed value is found. One that the database doesn't take, as it is there already,
    is drawn again."""
    for _ in range(DRAWS_MAX):
        try:
            return _edited(store, name, column, kind, values, replay)
        except Exception as error:
            if type(error).__name__ not in NOT_UNIQUE:
                raise
    return False


def _edited(
    store: Store, name: str, column: str, kind: str, values: random.Random, replay: replaying.Replay
) -> bool:
    result: list[comparing.LogDifference] = []
    with contextlib.suppress(_Undone), store.write(None) as tx:
        _without_keys(tx)
        rows = tx.execute(f'select distinct "{column}" from "{name}"').fetchall()
        (value,) = values.choice(sorted(rows, key=repr))
        new = changed(bytes(value) if isinstance(value, memoryview) else value, kind, values)
        where = f'"{column}" is null' if value is None else f'"{column}" = ?'
        sql = f'update "{name}" set "{column}" = ? where {where}'
        tx.unrecorded(sql, [new] if value is None else [new, value])
        result = _compared_in(tx, name, replay)
        _undo()
    return bool(result)


def _delete(store: Store, name: str, replay: replaying.Replay) -> bool:
    result: list[comparing.LogDifference] = []
    with contextlib.suppress(_Undone), store.write(None) as tx:
        _without_keys(tx)
        tx.unrecorded(f'delete from "{name}"')
        result = _compared_in(tx, name, replay)
        _undo()
    return bool(result)


def _without_keys(tx: Any) -> None:
    if tx.dialect is Dialect.POSTGRESQL:
        tx.unrecorded("set local session_replication_role = replica")


class _Undone(Exception):
    """Leaves a transaction without a trace."""


def _undo() -> None:
    raise _Undone


def _compared_in(tx: Any, name: str, replay: replaying.Replay) -> list[comparing.LogDifference]:
    (item,) = [
        table
        for table in comparing.tables(tx, replay.connection, catalog.KEYS)
        if table.name == name
    ]
    return list(comparing.compared(tx, replay.connection, item))


@pytest.mark.long
def test_a_flipped_bit_of_the_file_is_found_where_it_changes_a_row(tmp_path: Path) -> None:
    """Anywhere in the file; what isn't found must have changed no row that is compared."""
    values = random.Random(SEED)
    with filled(tmp_path / "p", Settings(name="full")) as store:
        store.engine.write_connection().execute("pragma wal_checkpoint(truncate)")  # type: ignore[attr-defined]
        path, place = store.path, folders(store)
        with store.read() as tx:
            before = _kept(all_rows(tx))
    whole = tmp_path / "whole.db"
    shutil.copy(path, whole)
    used = [
        at for at, byte in enumerate(whole.read_bytes()) if byte and at > 100
    ]  # most of a small file's pages is empty
    unfound, seen = [], 0
    for number in range(FLIPS):
        for companion in ("-wal", "-shm"):
            path.with_name(path.name + companion).unlink(missing_ok=True)
        shutil.copy(whole, path)
        at, bit = values.choice(used), values.randrange(8)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << bit]))
        if _found(tmp_path / "p", place):
            seen += 1
        elif not _same(tmp_path / "p", before):
            unfound.append((number, at, bit))
    assert unfound == [], f"seed {SEED}"
    assert seen > FLIPS // 4, f"hardly any was found: {seen} of {FLIPS}, seed {SEED}"


def _kept(rows: dict[str, Any]) -> dict[str, Any]:
    """What `db check` answers for: the audit trail is a chain of its own, which `audit verify`
    reads, and of a migration it isn't compared when it was applied (`LEFT_OUT`), which is its last
    column."""
    kept = {name: value for name, value in rows.items() if name not in {*UNRECORDED, "audit"}}
    return (
        kept | {"migration": [row[:-1] for row in rows["migration"]]}
        if "migration" in rows
        else kept
    )


def _found(root: Path, place: Folders) -> bool:
    return _found_in(root, Settings(name="full"), place)


def _found_in(root: Path, settings: Settings, place: Folders) -> bool:
    try:
        with Store.open(root, settings) as store, store.read() as tx:
            if list(audit_trail.database_damage(tx)):
                return True
            with compared(tx, place) as result:
                return not result.sound
    except (StoreError, sqlite3.Error):
        return True  # every command says so


def _same(root: Path, before: dict[str, Any], settings: Settings | None = None) -> bool:
    with Store.open(root, settings or Settings(name="full")) as store, store.read() as tx:
        now = _kept(all_rows(tx))
        # A table that isn't compared may have another name: that changes no row of the others.
        return all(now.get(name) == rows for name, rows in before.items())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_flipped_bit_of_a_page_is_found_in_postgresql(tmp_path: Path) -> None:
    """One bit of a row in each of some tables, on the disk of a server without page checksums."""
    values = random.Random(SEED)
    unfound: list[tuple[str, int, int]] = []
    seen = 0
    with private_cluster() as cluster, cluster.fresh() as database:
        settings = Settings(name="full", store_url=database.url)
        with filled(tmp_path / "p", settings) as store, store.read() as tx:
            place, before = folders(store), _kept(all_rows(tx))
        files = _heap_files(database, [name for name in before if name not in UNRECORDED])
        for _ in range(ROUNDS):
            cluster.main.execute("checkpoint")
            cluster.crash()
            name = values.choice(sorted(files))
            at, bit = _flip_row(cluster, files[name], values)
            cluster.start()
            if _found_in(tmp_path / "p", settings, place):
                seen += 1
            elif not _same(tmp_path / "p", before, settings):
                unfound.append((name, at, bit))
            cluster.crash()
            _write_bit(cluster, files[name], at, bit)
            cluster.start()
    assert unfound == [], f"seed {SEED}"
    assert seen > ROUNDS // 4, f"hardly any was found: {seen} of {ROUNDS}, seed {SEED}"


def _heap_files(database: Database, names: list[str]) -> dict[str, str]:
    """Table → its file, relative to the data folder of the server."""
    sql = (
        "select relname, pg_relation_filepath(oid) from pg_class where relkind = 'r' and relname ="
        " any(%s)"
    )
    rows = database.rows(sql, (names,), schemas="headrace, headrace_lake")
    return {name: path for name, path in rows if path is not None}


def _flip_row(cluster: Cluster, path: str, values: random.Random) -> tuple[int, int]:
    """Flip a bit between the first page's rows' beginning and its end; where that was."""
    page = (_data(cluster) / path).read_bytes()[:PAGE_BYTES]
    upper = int.from_bytes(page[14:16], "little")  # pd_upper
    used = [at for at in range(upper, PAGE_BYTES) if page[at]]
    at, bit = values.choice(used), values.randrange(8)
    _write_bit(cluster, path, at, bit)
    return at, bit


def _write_bit(cluster: Cluster, path: str, at: int, bit: int) -> None:
    with (_data(cluster) / path).open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def _data(cluster: Cluster) -> Path:
    return Path(cluster.main.socket_folder).parent / "data"
