"""Checkpoint files: what stands for old records, what is wrong with them, and what is replayed on
top."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.lake import catalog
from headrace.store import Store, Transaction
from headrace.store.event_log import replaying
from headrace.store.event_log.replaying import Misfit, Replay
from headrace.store.event_recording import (
    ENCODE,
    FORMAT,
    EventRecordKind,
    LogCheckpoint,
    append_event,
    stand_in,
)

LONG = "x" * 64
"""Long enough to be recorded as its hash."""
AUDIT = "insert into audit (seq, at, event, prev_hash, hash) values (?, ?, ?, ?, ?)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def state(store: Store) -> Store:
    """A state with its catalog and one firing."""
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
    _fire(store, "first")
    return store


def _fire(store: Store, node: str) -> None:
    with store.write(None) as tx:
        tx.execute("insert into firing (node, at) values (?, ?)", (node, len(node)))


def _trail(tx: Transaction) -> tuple[tuple[int, str], dict[str, int]]:
    return (7, "h7"), {"run": 3}


def _begin(store: Store, folder: Path) -> LogCheckpoint:
    return replaying.begin(store, None, folder, catalog.create_tables, _trail, "older state")


def _replayed(store: Store, folder: Path, target: Path) -> Replay:
    with store.read() as tx:
        return replaying.replay(tx, replaying.read(tx), folder, target, catalog.create_tables)


def _firings(replay: Replay) -> list[str]:
    rows = replay.connection.execute("select node from firing order by node").fetchall()
    return [node for (node,) in rows]


def _records(store: Store) -> list[int]:
    with store.read() as tx:
        return [seq for (seq,) in tx.execute("select seq from event_log order by seq").fetchall()]


def test_a_checkpoint_stands_for_the_records_before_it(
    state: Store, folder: Path, tmp_path: Path
) -> None:
    """Would catch: records deleted that the file doesn't have; a file that others may read; rows
    that are applied twice, or statements that are unknown after their text was deleted."""
    with state.read() as tx:
        before = replaying.read(tx)
    checkpoint = _begin(state, folder)
    path = folder / checkpoint.file
    assert checkpoint == LogCheckpoint(
        before.last,
        before.head,
        f"{before.last:012}-{sha256(path.read_bytes()).hexdigest()[:16]}.db",
        sha256(path.read_bytes()).digest(),
        (7, "h7"),
        {"run": 3},
        "older state",
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in folder.iterdir()] == [checkpoint.file]
    assert _records(state) == [before.last + 1]
    assert replaying.checkpoint_misfit(checkpoint, folder) is None
    _fire(state, "second")
    with state.read() as tx:
        log = replaying.read(tx)
        assert (log.checkpoint, log.misfits, log.trail) == (checkpoint, (), (7, "h7"))
        assert (log.begins, log.waits, log.records) == (True, False, 2)
        assert log.last == before.last + 2
        assert replaying.has_begun(tx)
    replay = _replayed(state, folder, tmp_path / "replayed.db")
    assert _firings(replay) == ["first", "second"]
    assert (replay.misfits, replay.complete, replay.seq) == ([], True, log.last)
    assert replay.path.stat().st_mode & 0o777 == 0o600
    replay.close()


def test_a_trail_after_the_checkpoint_is_newer_than_the_one_before(
    state: Store, folder: Path, tmp_path: Path
) -> None:
    """Would catch: an audit trail compared with the entry that was its last at the checkpoint."""
    with state.write(None) as tx:
        tx.execute(AUDIT, (1, 5, "{}", "", "h1"))
    _begin(state, folder)
    with state.write(None) as tx:
        tx.execute(AUDIT, (2, 6, "{}", "h1", "h2"))
    with state.read() as tx:
        assert replaying.read(tx).trail == (2, "h2")
    replay = _replayed(state, folder, tmp_path / "replayed.db")
    assert replay.trail == (2, "h2")
    replay.close()


def test_a_record_after_the_checkpoint_that_is_missing_or_changed_is_named(
    state: Store, folder: Path
) -> None:
    """Would catch: the record of the checkpoint itself replaced by another."""
    checkpoint = _begin(state, folder)
    first = checkpoint.seq + 1
    with state.write(None) as tx:
        digest = bytes(tx.execute("select hash from event_log").fetchone()[0])
        tx.unrecorded("update event_log set hash = ? where seq = ?", (b"\1", first))
    with state.read() as tx:
        log = replaying.read(tx)
        assert log.misfits[-1] == Misfit(first, "hash", "01", digest.hex())
    with state.write(None) as tx:
        tx.unrecorded("update event_log set seq = seq + 5, hash = ? where seq = ?", (digest, first))
        tx.unrecorded("delete from event_log where seq < ?", (first,))
        tx.unrecorded("delete from event_log where seq > ?", (first + 5,))
    with state.read() as tx:
        assert replaying.read(tx).misfits == (Misfit(first + 5, "seq", str(first + 5), str(first)),)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_checkpoint_file_is_named_and_nothing_is_replayed(
    state: Store, folder: Path, tmp_path: Path, damage: str
) -> None:
    """Would catch: every row shown as wrong where only a file is; records applied to nothing."""
    checkpoint = _begin(state, folder)
    path = folder / checkpoint.file
    content = path.read_bytes()[:-1] + b"!"
    if damage == "changed":
        path.write_bytes(content)
        stored = sha256(content).hexdigest()
    else:
        path.unlink()
        stored = f"{path} can't be read (No such file or directory)"
    _fire(state, "second")
    replay = _replayed(state, folder, tmp_path / "replayed.db")
    misfit = Misfit(checkpoint.seq, "checkpoint", stored, checkpoint.sha256.hex())
    assert (replay.misfits, replay.complete, replay.seq) == ([misfit], False, 0)
    assert replaying.checkpoint_misfit(checkpoint, folder) == misfit
    replay.close()


def test_a_checkpoint_names_a_file_of_its_folder(state: Store, folder: Path) -> None:
    """Would catch: a log that makes Headrace read any file of the machine."""
    checkpoint = _begin(state, folder)
    (folder.parent / "elsewhere.db").write_bytes((folder / checkpoint.file).read_bytes())
    outside = msgspec.structs.replace(checkpoint, file="../elsewhere.db")
    assert replaying.checkpoint_misfit(outside, folder) == Misfit(
        checkpoint.seq, "checkpoint", "../elsewhere.db", f"the name of a file in {folder}"
    )


def _write(store: Store, folder: Path, target: Path) -> LogCheckpoint:
    with store.read() as tx:
        log = replaying.read(tx)
        replay = replaying.replay(tx, log, folder, target, catalog.create_tables)
        try:
            return replaying.write(store, None, tx, replay, log, folder, _trail)
        finally:
            replay.close()


def test_the_file_before_stays_for_readers_of_an_older_snapshot(
    state: Store, folder: Path, tmp_path: Path
) -> None:
    """Would catch: a `db check` that loses its file while it reads; files that nobody deletes."""
    names = []
    for number in range(3):
        _fire(state, f"n{number}")
        names.append(_write(state, folder, tmp_path / f"{number}.db").file)
        (folder / f"left-{number}.tmp").write_bytes(b"")
        left = [] if number == 0 else [names[-2]]
        present = {path.name for path in folder.iterdir()}
        assert present == {*left, names[-1], f"left-{number}.tmp"}
    assert len(_records(state)) == 1
    replay = _replayed(state, folder, tmp_path / "replayed.db")
    assert _firings(replay) == ["first", "n0", "n1", "n2"]
    replay.close()


def test_a_catalog_that_ducklake_changes_is_known_again_from_the_next_checkpoint_on(
    state: Store, folder: Path, tmp_path: Path
) -> None:
    """Would catch: the catalog of before in the checkpoint; records of the catalog applied to rows
    that aren't there."""
    with state.write(None) as tx:
        append_event(tx.execute, EventRecordKind.MAINTENANCE)
    with state.write(None) as tx:
        tx.unrecorded("delete from ducklake_metadata")
        tx.execute("insert into ducklake_metadata (key, value) values ('a', 'b')")
        tx.unrecorded("insert into ducklake_metadata (key, value) values ('c', 'd')")
    replay = _replayed(state, folder, tmp_path / "replayed.db")
    assert not replay.catalog_known
    selected = "select key from ducklake_metadata order by key"
    keys = [key for (key,) in replay.connection.execute(selected)]
    assert "a" not in keys and "version" in keys
    replay.close()
    _write(state, folder, tmp_path / "other.db")
    replay = _replayed(state, folder, tmp_path / "again.db")
    assert replay.catalog_known
    assert replay.connection.execute(selected).fetchall() == [("a",), ("c",)]
    assert _firings(replay) == ["first"]
    replay.close()


def test_a_copy_has_hashes_of_large_values_and_no_unrecorded_rows(
    state: Store, folder: Path, tmp_path: Path
) -> None:
    """Would catch: a copy that differs from a replay of the same records; secrets of messages in a
    file that is kept longer than they are."""
    with state.write(None) as tx:
        tx.execute("insert into told_lineage (id, content) values (1, ?)", (LONG,))
        tx.execute(AUDIT, (1, 5, "{}", "p", "h1"))
        tx.execute("insert into checkpoint values (1, 2, 3, 4, ?)", (b"state",))
    _begin(state, folder)
    replay = _replayed(state, folder, tmp_path / "replayed.db")

    def rows(sql: str) -> list[Any]:
        return replay.connection.execute(sql).fetchall()

    assert rows("select content from told_lineage") == [(stand_in(LONG),)]
    assert rows("select seq, event, prev_hash, hash from audit") == [(1, "", "", "h1")]
    assert rows("select * from checkpoint") == []
    assert rows("select epoch from lease") == [(0,)]
    assert rows("select name from sqlite_master where type = 'trigger'") == []
    replay.close()


def test_files_of_more_records_than_the_log_has_are_noticed(folder: Path) -> None:
    """Would catch: a log that was deleted and begun anew; a file that a killed process left behind
    taken for a sign of it."""
    folder.mkdir()
    for name in ("000000000009-a.db", "000000000012-b.db", "000000000010-c.db", "other-1.db"):
        (folder / name).write_bytes(b"")
    (folder / "000000000099-d.tmp").write_bytes(b"")
    assert replaying.beyond(folder, 8) == "000000000012-b.db"
    assert replaying.beyond(folder, 11) == "000000000012-b.db"
    assert replaying.beyond(folder, 12) == ""
    replaying.sweep(folder, "000000000010-c.db")
    assert [path.name for path in folder.iterdir()] == ["000000000010-c.db"]


# Records that Headrace hasn't written like this


def _record(kind: int, statements: dict[int, str], changes: list[Any]) -> bytes:
    return ENCODE((FORMAT, kind, 1, 0, None, statements, changes))


INSERT = "insert into firing (node, at) values (?, ?)"
NAMED = "insert into pause (node, reason, actor, since) values (:node, :r, :r, :at)"


@pytest.fixture
def replay(state: Store, folder: Path, tmp_path: Path) -> Any:
    result = _replayed(state, folder, tmp_path / "replayed.db")
    yield result
    result.close()


def test_a_damaged_change_is_named_and_the_others_are_made(replay: Replay) -> None:
    """Would catch: a damaged record that ends the whole comparison, or that deletes a table."""
    replay.apply(50, b"junk")
    assert replay.misfits == [Misfit(50, "content", "bytes that can't be read", "a record")]
    replay.misfits.clear()
    statements = {
        91: INSERT,
        92: "drop table firing",
        93: "insert into unheard_of (a) values (?)",
        94: NAMED,
    }
    changes = [
        [91, [["a", 1]]],
        [92, [[]]],
        [99, [[]]],
        [93, [[1]]],
        [91, [["b"]]],
        [91],
        [91, [["c", 2], ["d", 3]]],
        [94, [["n1", "why", 5], ["n2", "so", 6]]],
        [94, [["n3", "why"]]],
    ]
    replay.apply(51, _record(EventRecordKind.COMMIT, statements, changes))
    assert {(item.seq, item.field, item.expected) for item in replay.misfits} == {
        (51, "content", "a change that can be made")
    }
    assert [item.stored.split(":")[0] for item in replay.misfits] == [
        "drop table firing",
        "",
        "insert into unheard_of ",
        "insert into firing ",
        "",
        "insert into pause ",
    ]
    assert _firings(replay) == ["a", "c", "d", "first"]
    paused = replay.connection.execute("select node, reason, actor, since from pause").fetchall()
    assert paused == [("n1", "why", "why", 5), ("n2", "so", "so", 6)]
    assert not replay.connection.in_transaction
    texts = replay.connection.execute("select sql from event_statement where id = 91").fetchall()
    assert texts == [(INSERT,)]
    replay.misfits.clear()
    replay.apply(52, _record(EventRecordKind.COMMIT, {}, [[91, [["e", 5]]]]))
    assert (replay.misfits, replay.seq) == ([], 52)
    assert "e" in _firings(replay)


def test_ids_of_the_database_are_those_of_the_record(replay: Replay) -> None:
    """Would catch: rows that get other ids than in the state, so that all of them differ."""
    sql = "insert into run (kind, request, actor, state, started_at) values (?, '{}', '', '', 1)"
    change = [91, [["a"], ["b"], ["c"]], [1, 7, 3]]
    replay.apply(51, _record(EventRecordKind.COMMIT, {91: sql}, [change]))
    rows = replay.connection.execute("select id, kind from run order by id").fetchall()
    assert rows == [(1, "a"), (3, "c"), (7, "b")]
    assert replay.misfits == []


def test_a_damaged_record_of_migrations_is_named(replay: Replay) -> None:
    """Would catch: a traceback instead of the damaged record's number."""
    replay.apply(51, _record(EventRecordKind.MIGRATED, {}, [[999, "later", "c", 5]]))
    assert replay.misfits == []
    applied = "select name from migration where number = 999"
    assert replay.connection.execute(applied).fetchall() == [("later",)]
    replay.apply(52, _record(EventRecordKind.MIGRATED, {}, [[999, "later"]]))
    assert [(item.seq, item.field, item.expected) for item in replay.misfits] == [
        (52, "content", "migrations")
    ]
