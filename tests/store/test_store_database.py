"""The state database: transactions, snapshots, who may open it, and what is said when it can't be
used.
"""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from state_kinds import ONLY_SQLITE

from headrace.model import LeaseLost, Settings, StoreError
from headrace.store import Lease, Store
from headrace.store.address import SqliteAddress, address
from headrace.store.database import engine_of
from headrace.store.engines import sqlite as engine

Opened = Callable[..., Store]


def put(store: Store, key: str, value: str, epoch: int | None = None) -> None:
    with store.write(epoch) as tx:
        tx.execute(
            "insert into meta (key, value) values (:key, :value)", {"key": key, "value": value}
        )


def value(store: Store, key: str) -> str | None:
    with store.read() as tx:
        row = tx.execute("select value from meta where key = :key", {"key": key}).fetchone()
    return None if row is None else row[0]


def insert_and_raise(store: Store, error: BaseException) -> None:
    with store.write(None) as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")
        raise error


def test_what_was_committed_is_there_for_another_connection(store: Store, opened: Opened) -> None:
    put(store, "a", "1")
    assert value(opened(create=False), "a") == "1"


def test_a_block_that_raises_leaves_no_trace(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        insert_and_raise(store, ZeroDivisionError())
    assert value(store, "a") is None
    put(store, "a", "2")  # and the connection is usable


def test_an_interrupt_rolls_back_too(store: Store) -> None:
    """`except Exception` would leave the transaction open after Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        insert_and_raise(store, KeyboardInterrupt())
    assert value(store, "a") is None
    put(store, "a", "2")


def test_a_snapshot_does_not_see_what_is_committed_meanwhile(store: Store, opened: Opened) -> None:
    other = opened()
    with store.read() as tx:
        count = "select count(*) from meta"
        before = tx.execute(count).fetchone()
        put(other, "a", "1")
        assert tx.execute(count).fetchone() == before
    assert value(store, "a") == "1"


def test_nothing_can_be_written_in_a_snapshot(store: Store) -> None:
    with pytest.raises(StoreError, match="can't be written"), store.read() as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")


def test_a_transaction_used_after_its_end_is_refused(store: Store) -> None:
    """It would run outside of any transaction, and commit at once."""
    with store.write(None) as tx:
        pass
    with pytest.raises(StoreError, match="over"):
        tx.execute("delete from meta")
    with pytest.raises(StoreError, match="over"):
        tx.executemany("delete from meta where key = ?", [("a",)])


def test_foreign_keys_are_enforced(store: Store) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"), store.write(None) as tx:
        tx.execute(
            "insert into obligation (consumer, interval, due_at, promise_id) values ('c',"
            " '2013-01-01', 0, 99)"
        )


@ONLY_SQLITE
def test_a_durable_commit_is_followed_by_ordinary_ones(store: Store) -> None:
    level = "pragma synchronous"
    with store.write(None, durable=True) as tx:
        assert tx.execute(level).fetchone() == (2,)
    with store.write(None) as tx:
        assert tx.execute(level).fetchone() == (1,)


def test_a_write_after_another_leader_took_over_is_not_committed(
    store: Store, opened: Opened
) -> None:
    lease = Lease.take(store, "one")
    assert lease is not None
    lease.release()
    second = Lease.take(opened(), "two")
    assert second is not None
    with pytest.raises(LeaseLost, match="epoch 2"), store.write(lease.epoch) as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")
    assert value(store, "a") is None


def test_a_write_after_release_is_not_committed(store: Store) -> None:
    lease = Lease.take(store, "one")
    assert lease is not None
    lease.release()
    with pytest.raises(LeaseLost, match="released"):
        put(store, "a", "1", lease.epoch)


@ONLY_SQLITE
def test_the_file_is_its_owners_alone_and_so_are_its_companions(store: Store) -> None:
    """The lake's catalog holds minima and maxima of every column in plain text."""
    put(store, "a", "1")
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    files = sorted(store.path.parent.glob("state.db*"))
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@ONLY_SQLITE
def test_a_data_folder_that_others_could_read_is_closed(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / ".headrace").mkdir(mode=0o755)
    opened()
    assert stat.S_IMODE((tmp_path / ".headrace").stat().st_mode) == 0o700


@pytest.mark.no_state
def test_reading_needs_a_state_and_makes_none(tmp_path: Path, opened: Opened) -> None:
    """`status` in a project that never ran would leave an empty database behind."""
    with pytest.raises(StoreError, match="no state yet") as caught:
        opened(create=False)
    assert "headrace run" in caught.value.hint
    assert not (tmp_path / ".headrace").exists()


@ONLY_SQLITE
def test_an_empty_file_is_no_state_yet(tmp_path: Path, opened: Opened) -> None:
    """A process that was killed between making the file and its first transaction leaves one."""
    (tmp_path / ".headrace").mkdir()
    (tmp_path / ".headrace/state.db").touch()
    with pytest.raises(StoreError, match="no state yet"):
        opened(create=False)
    assert value(opened(), "a") is None


@ONLY_SQLITE
def test_a_file_that_is_no_database_is_named(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / ".headrace/state.db"
    path.parent.mkdir()
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    for create in (False, True):
        with pytest.raises(StoreError, match="is no SQLite database") as caught:
            opened(create=create)
        assert str(path) in str(caught.value)
        assert caught.value.hint
    assert path.read_bytes().startswith(b"not a database")


@ONLY_SQLITE
def test_somebody_elses_database_is_not_written_to(tmp_path: Path, opened: Opened) -> None:
    path = tmp_path / ".headrace/state.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("create table theirs (id integer)")
    connection.close()
    before = path.read_bytes()
    for create in (False, True):
        with pytest.raises(StoreError, match="not one of Headrace's"):
            opened(create=create)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select name from sqlite_master").fetchall() == [("theirs",)]
    connection.close()
    assert path.read_bytes()[100:] == before[100:]


@ONLY_SQLITE
def test_a_truncated_database_is_damaged_not_a_traceback(store: Store, opened: Opened) -> None:
    with store.write(None) as tx:
        tx.executemany(
            "insert into meta (key, value) values (?, ?)",
            [(str(n), "x" * 1000) for n in range(500)],
        )
    store.engine.write_connection().execute("pragma wal_checkpoint(truncate)")
    store.close()
    with store.path.open("r+b") as file:
        file.truncate(store.path.stat().st_size // 2)
    with pytest.raises(StoreError, match=r"damaged|no SQLite database"):
        value(opened(create=False), "400")


@ONLY_SQLITE
def test_a_folder_where_the_file_should_be(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / ".headrace/state.db").mkdir(parents=True)
    for create in (False, True):
        with pytest.raises(StoreError):
            opened(create=create)


@ONLY_SQLITE
def test_a_file_where_the_folder_should_be(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / ".headrace").write_text("")
    with pytest.raises(StoreError, match="can't be made"):
        opened()


@ONLY_SQLITE
def test_a_database_that_another_process_keeps_locked(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = sqlite3.connect(store.path, isolation_level=None)
    holder.execute("begin immediate")
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    with pytest.raises(StoreError, match="locked by another process"):
        put(opened(create=False), "a", "1")
    assert value(store, "a") is None  # reading goes on
    holder.close()


@ONLY_SQLITE
def test_a_full_disk_keeps_nothing_of_the_transaction(store: Store) -> None:
    put(store, "a", "1")
    connection = store.engine.write_connection()
    connection.execute(
        f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}"
    )
    with pytest.raises(StoreError, match="disk is full") as caught, store.write(None) as tx:
        tx.executemany(
            "insert into meta (key, value) values (?, ?)",
            [(str(n), "x" * 1000) for n in range(100)],
        )
    assert "free some space" in caught.value.hint
    assert (value(store, "a"), value(store, "0")) == ("1", None)


WRITE_AS_NOBODY = """
import os, sys; from pathlib import Path
from headrace.model import Settings, StoreError
from headrace.store import Store, migrations
migrations.known()
if os.geteuid() == 0:  # root may everything
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with Store.open(Path(sys.argv[1]), Settings(name="t")) as store, store.write(None) as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")
    print("written")
except StoreError as error:
    print(error, "|", error.hint)
"""


@ONLY_SQLITE
def test_a_disk_without_a_free_byte_is_called_full(tmp_path: Path, opened: Opened) -> None:
    """Would catch: "the disk reports an error", with a hint to network file systems, where nothing
    but space is missing."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "none", str(folder)],
        capture_output=True,
        check=False,
    ).returncode:
        pytest.skip("a tmpfs can't be mounted here")
    try:
        opened(folder).close()
        with contextlib.suppress(OSError), (folder / "fill").open("wb", buffering=0) as fill:
            while fill.write(bytes(4096)):
                pass
        with pytest.raises(StoreError) as caught, opened(folder).read() as tx:
            tx.execute("select count(*) from meta").fetchone()
        assert "can't be read or written: the disk is full (" in str(caught.value)
        assert caught.value.hint == f"free space on the file system of {folder / '.headrace'}"
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@ONLY_SQLITE
def test_a_database_that_may_only_be_read(opened: Opened) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        store = opened(root)
        put(store, "b", "1")
        store.path.chmod(0o444)
        store.path.parent.chmod(0o555)
        ran = subprocess.run(
            [sys.executable, "-c", WRITE_AS_NOBODY, folder],
            capture_output=True,
            text=True,
            check=True,
        )
        store.path.parent.chmod(0o755)
        store.close()
    assert "can't be" in ran.stdout
    assert "this user" in ran.stdout


@ONLY_SQLITE
@pytest.mark.parametrize(
    "name",
    [
        "it's",
        "a b",
        "100%",
        "q?mode=memory",
        "frag#ment",
        "ümläut",
        "new\nline",
        "-dash",
        "semi;colon",
    ],
)
def test_a_path_with_any_character_is_one_file(tmp_path: Path, opened: Opened, name: str) -> None:
    """Paths are part of a `file:` URI: `?` and `#` would end it, `%` would be decoded."""
    root = tmp_path / name
    root.mkdir()
    put(opened(root), "a", "1")
    assert sorted(path.name for path in root.iterdir()) == [".headrace"]
    assert (root / ".headrace/state.db").is_file()
    assert value(opened(root, create=False), "a") == "1"


@pytest.mark.parametrize(
    "url", ["sqlite:", "sqlite:///a.db", "mysql:x", "state.db", "", "sqlite:a\0b"]
)
def test_an_address_that_is_none_is_refused_with_an_example(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError) as caught:
        engine_of(tmp_path, Settings(name="t", store_url=url), None)
    assert "sqlite:.headrace/state.db" in caught.value.hint


def test_an_absolute_address_is_taken_as_it_is(tmp_path: Path) -> None:
    settings = Settings(name="t", store_url="sqlite:/var/x.db")
    assert address(tmp_path, settings) == SqliteAddress(Path("/var/x.db"))


def test_data_version_tells_of_others_commits_only_when_there_are(
    store: Store, opened: Opened
) -> None:
    # on PostgreSQL a commit in any database of the cluster counts, such as that of autovacuum
    pairs = [(store.data_version(), store.data_version()) for _ in range(20)]
    assert any(first == second for first, second in pairs)
    before = store.data_version()
    put(opened(), "a", "1")
    assert store.data_version() != before


@ONLY_SQLITE
def test_opening_is_cheap_and_loads_nothing_heavy(store: Store) -> None:
    """`status` has 0.4 s in all: the store's part is a few milliseconds and no library
    but msgspec."""
    code = (
        "import sys; from headrace.store import Store; heavy = {'sqlalchemy', 'duckdb', 'pyarrow',"
        " 'sqlglot', 'yaml', 'jsonschema', 'subprocess', 'socket', 'tempfile', 'asyncio'};"
        " print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )
    began = time.process_time()
    Store.open(store.path.parent.parent, Settings(name="t")).close()
    assert time.process_time() - began < 0.05
