"""Migrations: applied once, in order, all or nothing; others' and changed ones are refused."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from state_kinds import ONLY_SQLITE

from headrace.model import Settings, StoreError, texts
from headrace.store import Store, migrations
from headrace.store.database import upgrade
from headrace.store.migrations import Migration
from headrace.store.queries import applied_versions
from headrace.store.transaction import Dialect

pytestmark = pytest.mark.no_state

Opened = Callable[..., Store]
NEXT = migrations.known()[-1].number + 1
COUNT = len(migrations.known())
"""The version of a store: its number of migrations, whose numbers may have gaps."""


def numbered(number: int, text: str) -> Migration:
    return Migration(number, f"{number:04}_test", text, f"checksum of {text}")


def tables(store: Store) -> set[str]:
    with store.read() as tx:
        if tx.dialect is Dialect.SQLITE:
            return {
                name
                for (name,) in tx.execute("select name from sqlite_master where type = 'table'")
            }
        return {
            name
            for (name,) in tx.execute(
                "select tablename from pg_tables where schemaname = 'headrace'"
            )
        }


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Adds migrations to those of this Headrace."""
    ours = migrations.known()

    def add(*more: Migration) -> None:
        monkeypatch.setattr(migrations, "known", lambda: (*ours, *more))

    return add


def test_the_files_are_numbered_without_gaps_and_split_into_whole_statements() -> None:
    for migration in migrations.known():
        for statement in migrations.statements(migration.text):
            assert sqlite3.complete_statement(statement)


def test_a_statement_with_semicolons_inside_stays_whole() -> None:
    """Splitting at `;` would cut triggers and strings."""
    text = (
        "-- a; b\ncreate table t (x text default ';');\ncreate trigger r before update on t begin\n"
        "  select 1;\n  select 2;\nend;\n"
    )
    assert len(list(migrations.statements(text))) == 2


def test_opening_twice_applies_nothing_twice(opened: Opened) -> None:
    first = opened()
    with first.read() as tx:
        before = tx.execute("select * from migration").fetchall()
    with opened().read() as tx:
        assert tx.execute("select * from migration").fetchall() == before


def test_an_older_store_is_brought_up_to_date_by_who_may_write_only(
    opened: Opened, known: Callable[..., None]
) -> None:
    opened().close()
    known(numbered(NEXT, "create table added (id integer);\n"))
    with pytest.raises(StoreError, match="older Headrace"):
        opened(create=False)
    assert "added" in tables(opened())
    opened(create=False)


@pytest.mark.parametrize(
    ("versions", "classified"),
    [([], False), ([b"\x00nothing"], False), ([b"\x00\xff\xc3classification", b"\x00"], True)],
)
def test_versions_of_an_older_store_are_searched_for_classifications_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, versions: list[bytes], *, classified: bool
) -> None:
    """Would catch: a classification of an older Headrace's versions that is forgotten, because it
    isn't the newest version's or stands behind a zero byte."""
    ours = migrations.known()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "known", lambda: tuple(item for item in ours if item.number < 42))
        store = opened()
        with store.write(None) as tx:
            for compiled in versions:
                tx.execute(
                    "insert into version (hash, manifest, compiled, applied_at, actor) values ('h',"
                    " '{}', ?, 0, 'ann')",
                    (compiled,),
                )
        store.close()
    with opened().read() as tx:
        assert applied_versions.ever_classified(tx) is classified


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("branch: 'Oslo' is 'Bergen'", "branch: …"),
        ("isn't there: 'Oslo'", "isn't there: …"),
        ("'Oslo' in its place", "…"),
        ('"O\'Hara", as before', "…"),
        ('name: "O\'Hara" is new', "name: …"),
        ("origin: 3 rows not in EWR (Oslo, Rome); more", "origin: 3 rows not in EWR (…"),
        ("Conversion Error: can't cast 4711", "Conversion Error: …"),
        ("orders failed: NoShop exception: 4711", "orders failed: NoShop exception: …"),
        ("born: newest is 2004-05-06", "born: newest is …"),
        ("the file hasn't arrived; 12 rows of 40", "the file hasn't arrived; 12 rows of 40"),
    ],
)
def test_texts_of_an_older_store_show_no_values(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, text: str, left: str
) -> None:
    """Would catch: a value in a text of an earlier version, which has no marks."""
    ours = migrations.known()
    error = msgspec.json.encode({"kind": "deterministic", "message": text}).decode()
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "known", lambda: tuple(item for item in ours if item.number < 46))
        store = opened()
        with store.write(None) as tx:
            tx.execute("insert into look (source, at, found, error) values ('a', 1, 0, ?)", (text,))
            tx.execute("insert into look (source, at, found) values ('a', 2, 0)")
            tx.execute(
                "insert into run (id, kind, request, actor, state, started_at) values (1, 'run', '{}', '', 'failed', 0)"
            )
            tx.execute(
                "insert into attempt (epoch, n, run_id, node, kind, partitions, state, queued_at,"
                " error) values (1, 1, 1, 'a', 'export', '[]', 'failed', 0, ?)",
                (error,),
            )
            tx.execute(
                "insert into fact (node, partition, epoch, n, kind, column_name, severity, expected,"
                " observed, strength, detail, at) values ('a', '', 1, 1, '', '', 'warn', '', '', '',"
                " ?, 0)",
                (text,),
            )
            tx.execute(
                "insert into incident (state, kind, node, fingerprint, owner, summary, confidence,"
                " evidence, affected, began_at, opened_at, updated_at) values ('open', '', 'a', '',"
                " '', '', '1', ?, '{}', 0, 0, 0)",
                (msgspec.json.encode([{"observed": text}]).decode(),),
            )
        store.close()
    with opened().read() as tx:
        looks = tx.execute("select error from look order by at").fetchall()
        ((stored,),) = tx.execute("select error from attempt").fetchall()
        ((fact, evidence),) = tx.execute(
            "select fact.detail, evidence from fact, incident"
        ).fetchall()
    said = msgspec.json.decode(stored)["message"]
    for item in (looks[0][0], said, fact, msgspec.json.decode(evidence)[0]["observed"]):
        assert (texts.plain(item), texts.hidden(item)) == (text, left)
    assert looks[1][0] is None


@ONLY_SQLITE
def test_the_file_is_copied_before_it_is_brought_up_to_date(
    opened: Opened, known: Callable[..., None], tmp_path: Path
) -> None:
    store = opened()
    with store.write(None) as tx:
        tx.execute("insert into meta (key, value) values ('a', '1')")
    store.close()
    known(numbered(NEXT, "delete from meta;\n"))
    done = upgrade(tmp_path, Settings(name="test"))
    assert done is not None
    assert (done.before, done.after) == (COUNT, COUNT + 1)
    with contextlib.closing(sqlite3.connect(str(done.copy))) as copy:
        assert copy.execute("select value from meta where key = 'a'").fetchone() == ("1",)
    assert upgrade(tmp_path, Settings(name="test")) == (COUNT + 1, COUNT + 1, None)
    assert upgrade(tmp_path / "none", Settings(name="test")) is None


def test_a_migration_that_fails_leaves_the_store_as_it_was(
    opened: Opened, known: Callable[..., None]
) -> None:
    store = opened()
    before = tables(store)
    known(numbered(NEXT, "create table half (id integer);\ncreate table meta (id integer);\n"))
    with pytest.raises(Exception, match="already exists"):
        opened()
    known()
    assert tables(opened()) == before


def test_a_newer_store_is_refused(opened: Opened, known: Callable[..., None]) -> None:
    known(numbered(NEXT, "create table added (id integer);\n"))
    opened()
    known()
    for create in (True, False):
        with pytest.raises(StoreError, match="newer Headrace") as caught:
            opened(create=create)
        assert "newer" in caught.value.hint


def test_a_migration_whose_text_changed_is_refused(
    opened: Opened, known: Callable[..., None]
) -> None:
    known(numbered(NEXT, "create table added (id integer);\n"))
    opened()
    known(numbered(NEXT, "create table added (id integer, more text);\n"))
    for create in (True, False):
        with pytest.raises(StoreError, match=f"another text of migration {NEXT}"):
            opened(create=create)


RACE = """
import os, sys, time; from pathlib import Path
from headrace.model import Settings
from headrace.store import Lease, Store
for round in range(20):
    root = Path(sys.argv[1]) / str(round)
    root.mkdir()
    start = time.time() + 0.02
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            while time.time() < start: pass
            try:
                with Store.open(root, Settings(name="t"), create=True) as store:
                    said = "leader" if Lease.take(store, "t") else "other"
            except BaseException as error:
                said = repr(error)
            os.write(1, (said + chr(10)).encode())
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
"""


@pytest.mark.system
@pytest.mark.long
def test_processes_that_make_the_same_store_at_once_all_succeed(tmp_path: Path) -> None:
    """Switching to WAL doesn't wait for others by itself, and a half-made store looked like
    somebody else's. (Both happened.)
    """
    ran = subprocess.run(
        [sys.executable, "-c", RACE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert {line for line in ran.stdout.splitlines() if line not in ("leader", "other")} == set()
    assert len(ran.stdout.splitlines()) == 20 * 8


def test_what_was_never_promised_goes_with_the_upgrade(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Would catch: a backlog of weeks ago that stays for ever in a store of before; a waiver
    without its obligation.
    """
    ours = migrations.known()
    place = next(at for at, item in enumerate(ours) if item.name.endswith("promises_begin"))
    monkeypatch.setattr(migrations, "known", lambda: ours[:place])
    with (store := opened()).write(None) as tx:
        tx.execute(
            "insert into promise (id, consumer, terms, from_at, until_at) values "
            "(1, 'c', '{}', 100, 200), (2, 'c', '{}', 200, 300), (3, 'c', '{}', 400, null)"
        )
        tx.executemany(
            "insert into obligation (consumer, interval, due_at, promise_id, waived_at) values"
            " ('c', ?, ?, 1, ?)",
            [
                ("before", 99, None),
                ("waived", 99, 150),
                ("first", 100, None),
                ("second", 150, None),
                ("changed", 200, None),
                ("removed then", 300, None),
                ("removed", 350, None),
                ("waived since", 350, 450),
                ("again", 400, None),
            ],
        )
    store.close()
    monkeypatch.setattr(migrations, "known", lambda: ours)
    with opened().read() as tx:
        begun = tx.execute("select begins_at from promise order by id").fetchall()
        assert begun == [(100,), (200,), (400,)]
        result = tx.execute("select interval from obligation order by due_at, interval").fetchall()
    assert result == [
        ("waived",),
        ("first",),
        ("second",),
        ("changed",),
        ("removed then",),
        ("waived since",),
        ("again",),
    ]


def test_a_migration_whose_record_is_missing_is_named(opened: Opened) -> None:
    """Would catch: a migration that is applied a second time to tables that have it already."""
    with opened().write(None) as tx:
        tx.unrecorded("delete from migration where number in (3, 5)")
    for create in (True, False):
        with pytest.raises(StoreError, match=r"record of migration 3 is missing, though migration"):
            opened(create=create)


def test_tables_that_arent_as_recorded_are_named_by_the_migration_that_fails(
    opened: Opened, known: Callable[..., None]
) -> None:
    """Would catch: a traceback of the database for a state that was changed by hand."""
    opened().close()
    known(numbered(NEXT, "alter table unheard_of add column a text;\n"))
    with pytest.raises(StoreError, match=f"migration {NEXT} fails .*unheard_of") as caught:
        opened()
    assert "restore" in caught.value.hint


@ONLY_SQLITE
def test_the_copy_is_its_owners_and_is_made_once(
    opened: Opened, known: Callable[..., None], tmp_path: Path
) -> None:
    """Would catch: a backup that others may read, or that an upgrade which failed overwrites; half
    a copy left behind."""
    opened().close()
    known(numbered(NEXT, "create table one (id integer);\n"))
    done = upgrade(tmp_path, Settings(name="test"))
    assert done is not None and done.copy is not None
    assert done.copy.stat().st_mode & 0o777 == 0o600
    assert done.copy.name == f"state.db.version-{COUNT}"
    assert list(done.copy.parent.glob("*.part")) == []
    content = done.copy.read_bytes()
    with opened().write(None) as tx:
        tx.unrecorded("drop table one")
        tx.unrecorded("delete from migration where number = ?", (NEXT,))
        tx.unrecorded("insert into meta (key, value) values ('a', '1')")
    assert upgrade(tmp_path, Settings(name="test")) is not None
    assert done.copy.read_bytes() == content


def test_a_state_elsewhere_leaves_the_mode_of_its_folder(tmp_path: Path) -> None:
    """Would catch: a folder of others that is closed because a state is put into it."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    settings = Settings(name="t", store_url=f"sqlite:{shared / 'state.db'}")
    Store.open(tmp_path, settings, create=True).close()
    assert shared.stat().st_mode & 0o777 == 0o755
    deeper = tmp_path / "new" / "folder"
    settings = Settings(name="t", store_url=f"sqlite:{deeper / 'state.db'}")
    Store.open(tmp_path, settings, create=True).close()
    assert deeper.stat().st_mode & 0o777 == 0o700
