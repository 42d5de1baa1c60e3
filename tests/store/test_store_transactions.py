"""What a transaction does with statements and rows, in both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.lake import catalog
from headrace.model import Settings, StoreError
from headrace.store import PostgresqlAddress, Store, Transaction, exists, portable
from headrace.store.engines.postgresql import STREAM_ROWS
from headrace.store.event_log import replaying
from headrace.store.migrations import known

Opened = Callable[..., Store]
INSERT = "insert into firing (node, at) values (?, ?)"


def _firings(tx: Transaction) -> list[tuple[str, int]]:
    return tx.execute("select node, at from firing order by node").fetchall()


USES: dict[str, Callable[[Transaction], object]] = {
    "execute": lambda tx: tx.execute("select 1"),
    "executemany": lambda tx: tx.executemany(INSERT, [("a", 1), ("b", 2)]),
    "executemany of a numbered table": lambda tx: tx.executemany(
        "insert into request (verb, arguments, actor, state, created_at) values (?, '', '',"
        " 'waiting', 1)",
        [("a",), ("b",)],
    ),
    "stream": lambda tx: list(tx.stream("select 1")),
    "fill": lambda tx: tx.fill("firing", ["node", "at"], [("a", 1)]),
    "unrecorded": lambda tx: tx.unrecorded("delete from firing"),
}


def test_nothing_can_be_done_after_the_end(store: Store) -> None:
    """Would catch: rows written outside of a transaction, with nobody to commit or to fence them."""
    with store.write(None) as writing:
        writing.execute(INSERT, ("kept", 1))
    with store.read() as reading:
        pass
    for use in USES.values():
        for tx in (writing, reading):
            with pytest.raises(StoreError, match="over"):
                use(tx)
    with store.read() as tx:
        assert _firings(tx) == [("kept", 1)]


def test_statements_of_many_rows_write_each_of_them(store: Store) -> None:
    """Would catch: the first or only row left out; a statement without rows that fails."""
    with store.write(None) as tx:
        tx.executemany(INSERT, [])
        tx.executemany(INSERT, iter([("a", 1)]))
        tx.executemany(INSERT, [("b", 2), ("c", 3)])
        tx.executemany(
            "update firing set at = at + :more where node = :node",
            [{"node": "a", "more": 10}, {"node": "c", "more": 20}],
        )
        tx.execute(INSERT, ("d", 4))
        assert _firings(tx) == [("a", 11), ("b", 2), ("c", 23), ("d", 4)]
    with store.read() as tx:
        assert _firings(tx) == [("a", 11), ("b", 2), ("c", 23), ("d", 4)]


def test_the_id_of_an_inserted_row_is_known(store: Store) -> None:
    """Would catch: the id of another row, by which a request is followed that is somebody else's."""
    insert = (
        "insert into request (verb, arguments, actor, state, created_at) values (?, '', '',"
        " 'waiting', 1)"
    )
    with store.write(None) as tx:
        tx.executemany(insert, [("a",), ("b",)])
        number = tx.execute(insert, ("c",)).lastrowid
        assert tx.execute("select verb from request where id = ?", (number,)).fetchone() == ("c",)
        assert number == 3


def test_rows_are_streamed_in_order_beyond_one_fetch(store: Store) -> None:
    """Would catch: a backup that ends after the first thousand rows."""
    count = STREAM_ROWS + 1
    with store.write(None) as tx:
        tx.executemany(INSERT, [(f"n{number:05}", number) for number in range(count)])
    with store.read() as tx:
        rows = tx.stream("select at from firing order by node")
        assert [at for (at,) in rows] == list(range(count))


def test_what_changes_nothing_leaves_no_record(store: Store) -> None:
    """Would catch: an event log that grows by each look at the state; rows of a copy recorded a
    second time; a change that isn't recorded."""

    def last() -> int:
        with store.read() as tx:
            return replaying.last(tx)

    before = last()
    with store.write(None) as tx:
        tx.execute("select 1")
        tx.executemany(INSERT, [])
    with store.write(None) as tx:
        tx.execute("update lease set released = 1")
    with store.write(None) as tx:
        tx.fill("firing", ["node", "at"], [("a", 1), ("b", 2)])
        tx.unrecorded("update firing set at = at + ? where node = ?", (5, "b"))
        assert _firings(tx) == [("a", 1), ("b", 7)]
    assert last() == before
    with store.write(None) as tx:
        tx.execute(INSERT, ("c", 3))
    assert last() == before + 1
    with store.write(None) as tx:
        tx.executemany(INSERT, [("d", 4)])
    assert last() == before + 2
    with store.read() as tx:
        assert _firings(tx) == [("a", 1), ("b", 7), ("c", 3), ("d", 4)]


def test_a_row_that_is_filled_in_may_refer_to_a_later_one(store: Store) -> None:
    """Would catch: a restore that fails because an incident recurred in an older one."""
    columns = [
        "id", "recurrence_of", "state", "kind", "node", "fingerprint", "owner", "summary",
        "confidence", "evidence", "affected", "began_at", "opened_at", "updated_at",
    ]  # fmt: skip
    rest: list[Any] = ["open", "late", "a", "f", "", "", "1", "[]", "{}", 1, 2, 3]
    with store.write(None) as tx:
        tx.fill("incident", columns, [[1, 2, *rest], [2, None, *rest]])
    with store.read() as tx:
        assert tx.execute("select id, recurrence_of from incident order by id").fetchall() == [
            (1, 2),
            (2, None),
        ]


def test_a_closed_store_is_opened_again_by_its_next_use(store: Store) -> None:
    """Would catch: a server that can't be used after a pause in which its connections were
    closed."""
    with store.write(None) as tx:
        tx.execute(INSERT, ("a", 1))
    store.engine.close()
    store.engine.close()
    with store.read() as tx:
        assert _firings(tx) == [("a", 1)]
    store.engine.close()
    with store.write(None) as tx:
        tx.execute(INSERT, ("b", 2))
        assert len(_firings(tx)) == 2


@pytest.mark.no_state
def test_a_state_is_known_to_exist(
    tmp_path: Path, opened: Opened, state_settings: Settings
) -> None:
    """Would catch: a project without a state that is told to restore a backup."""
    assert not exists(tmp_path, state_settings)
    with pytest.raises(StoreError, match="no state yet"):
        opened(create=False)
    store = opened()
    assert exists(tmp_path, state_settings)
    assert store.engine.exists()
    assert sorted(store.engine.applied()) == sorted(migration.number for migration in known())


def test_a_state_that_is_put_aside_makes_room_for_another(
    store: Store, tmp_path: Path, state_settings: Settings, opened: Opened
) -> None:
    """Would catch: a restore that overwrites the damaged state, which could still be looked at."""
    with store.write(None) as tx:
        tx.execute(INSERT, ("old", 1))
    address = store.address
    aside = portable.put_aside(store, "aside")
    assert not exists(tmp_path, state_settings)
    with opened().read() as tx:
        assert _firings(tx) == []
    if isinstance(address, PostgresqlAddress):
        assert aside == f"{address.schema}_aside"
        settings = Settings(name="old", store_url=state_settings.store_url, store_schema=aside)
        # its lake's schema has another name than that of a state, so only its rows are read
        with opened(settings=settings).read() as tx:
            assert _firings(tx) == [("old", 1)]
    else:
        assert aside == f"{address.path}.aside"
        settings = Settings(name="old", store_url=f"sqlite:{aside}")
        with opened(settings=settings, create=False).read() as tx:
            assert _firings(tx) == [("old", 1)]


def test_a_saved_state_is_placed_where_a_project_has_its_own(
    tmp_path: Path, opened: Opened
) -> None:
    """Would catch: a restored state that others may read; a folder that doesn't exist yet."""
    source = opened(tmp_path / "source", Settings(name="s"))
    with source.write(None) as tx:
        catalog.create(tx, "lake/")
        tx.execute(INSERT, ("a", 1))
    saved = tmp_path / "saved.db"
    portable.save(source, saved, catalog.create_tables)
    assert saved.stat().st_mode & 0o777 == 0o600
    target = opened(tmp_path / "model", Settings(name="m")).address
    assert not isinstance(target, PostgresqlAddress)
    target = target._replace(path=tmp_path / "new" / ".headrace" / "state.db")
    portable.place(saved, target)
    assert target.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.path.parent.iterdir()] == ["state.db"]
    with opened(tmp_path / "new", Settings(name="n"), create=False).read() as tx:
        assert _firings(tx) == [("a", 1)]


def test_a_copy_replaces_the_rows_of_its_target_and_lacks_no_table(
    tmp_path: Path, opened: Opened
) -> None:
    """Would catch: the rows of two states mixed; a table of the backup that is silently empty."""
    stores = [opened(tmp_path / name, Settings(name=name)) for name in ("source", "target")]
    for number, store in enumerate(stores):
        with store.write(None) as tx:
            catalog.create(tx, "lake/")
            tx.execute(INSERT, (f"n{number}", number))
    source, target = stores
    with source.read() as reading, target.write(None) as writing:
        portable.copy_rows(reading, writing)
        assert _firings(writing) == [("n0", 0)]
        assert portable.columns_by_table(writing)["firing"] == {"node": "text", "at": "bigint"}
    with target.write(None) as tx:
        tx.unrecorded("create table newer (id integer primary key)")
    with (
        source.read() as reading,
        target.write(None) as writing,
        pytest.raises(StoreError, match="no table `newer`"),
    ):
        portable.copy_rows(reading, writing)
