"""What a replay makes of statements whose effect depends on what was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.lake import catalog
from headrace.runtime.event_log import compared
from headrace.runtime.folders import Folders
from headrace.store import Store
from headrace.store.event_recording import refuse_reading, statement
from headrace.store.queries import lake_maintenance, notifications
from headrace.store.queries.lake_maintenance import BEGINNING, FileLook
from headrace.store.queries.notifications import Queued


def queued(number: int) -> Queued:
    return Queued(
        incident=None,
        kind="opened",
        subject=f"s{number}",
        recipient="core",
        channel="mailto:core@example.com",
        title="t",
        body="b" * 100,
        not_before=0,
    )


def sound(store: Store) -> bool:
    place = Folders(str(store.folder.parent), str(store.folder))
    with store.read() as tx, compared(tx, place) as result:
        assert result.replay is not None
        return result.sound


def test_rows_that_were_there_already_are_skipped(store: Store) -> None:
    """Catches: in PostgreSQL the id of the row that was inserted is given to one that wasn't."""
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
        notifications.put(tx, [queued(1), queued(2)], 1)
    with store.write(None) as tx:
        notifications.put(tx, [queued(1), queued(3), queued(2), queued(4)], 2)
    with store.read() as tx:
        subjects = tx.execute("select subject from notice order by id").fetchall()
        assert subjects == [("s1",), ("s2",), ("s3",), ("s4",)]
    assert sound(store)


def test_looks_at_files_are_replayed_beside_a_catalog_that_ducklake_has_changed(
    store: Store,
) -> None:
    """Catches: a merge between two records changes what the second one comes to."""
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
        lake_maintenance.record_file_checks(
            tx, [FileLook(number, "f", 1, None, None) for number in (1, 2, 3)]
        )
    with store.write(None) as tx:
        tx.unrecorded("insert into ducklake_data_file (data_file_id) values (2)")
        lake_maintenance.move_rotation(tx, BEGINNING, 2)
        tx.unrecorded("delete from ducklake_data_file")
    with store.read() as tx:
        assert tx.execute("select file_id from lake_file_look").fetchall() == [(2,)]
    assert sound(store)


@pytest.mark.parametrize(
    "sql",
    [
        "delete from lake_file_look where file_id in (select data_file_id from ducklake_data_file)",
        "update run set state = 'lost' where exists (select 1 from lease)",
        'insert into firing (node, at) select node, at from "checkpoint"',
    ],
)
def test_a_statement_that_depends_on_what_the_log_does_not_have_is_refused(sql: str) -> None:
    given = statement(sql)
    assert given is not None, "a version of before may have recorded it: it is replayed"
    with pytest.raises(AssertionError, match="read"):
        refuse_reading(sql, given.table)


def test_the_catalog_may_read_itself() -> None:
    change = statement(
        "delete from ducklake_table where table_id in (select 1 from ducklake_table)"
    )
    assert change is not None


@pytest.mark.long
def test_what_was_rolled_back_to_a_savepoint_stays_away(store: Store, tmp_path: Path) -> None:
    del tmp_path
    with store.write(None) as tx:
        catalog.create(tx, "lake/")
        tx.execute("insert into firing (node, at) values ('kept', 1)")
        tx.execute("savepoint one")
        tx.execute("insert into firing (node, at) values ('gone', 1)")
        tx.execute("rollback to one")
        tx.execute("release one")
        notifications.put(tx, [queued(1)], 1)
    assert sound(store)
