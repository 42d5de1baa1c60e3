"""A state is copied from one database into another whole: every table, every row, whatever refers
to whatever."""

from __future__ import annotations

from pathlib import Path

import pytest
from every_table import all_rows, fill_every_table
from postgres_cluster import Database

from headrace.lake import catalog
from headrace.model import Settings
from headrace.model.errors import StoreError
from headrace.store import Store, portable
from headrace.store.engines.sqlite import SqliteEngine

SEED = 20261121


@pytest.fixture
def full(tmp_path: Path) -> Store:
    """A SQLite state with its catalog, in which every table has rows."""
    with_rows = Store.open(tmp_path / "full", Settings(name="full"), create=True)
    with with_rows.write(None) as tx:
        catalog.create(tx, "lake/")
        counts = fill_every_table(tx, SEED)
    assert min(counts.values()) > 0, counts
    return with_rows


@pytest.mark.long
def test_every_table_survives_both_databases(
    full: Store, postgresql: Database, tmp_path: Path
) -> None:
    """SQLite to PostgreSQL and back: the rows of all tables, compared one by one."""
    with full, full.read() as tx:
        before = all_rows(tx)
    saved = tmp_path / "saved.db"
    portable.save(full, saved, catalog.create_tables)
    settings = Settings(name="other", store_url=postgresql.url)
    with Store.open(tmp_path / "other", settings, create=True) as other:
        portable.load(saved, other, catalog.create_tables)
        with other.read() as tx:
            there = all_rows(tx)
        back = tmp_path / "back.db"
        portable.save(other, back, catalog.create_tables)
    engine = SqliteEngine(back)
    try:
        with engine.read() as tx:
            again = all_rows(tx)
            assert tx.execute("pragma foreign_key_check").fetchall() == []
    finally:
        engine.close()
    own = ("migration",)  # each database says when it was made
    for name in before.keys() - set(own):
        assert there[name] == before[name], f"{name} in PostgreSQL, seed {SEED}"
        assert again[name] == before[name], f"{name} after the way back, seed {SEED}"
    assert before.keys() == there.keys() == again.keys()


def test_ids_continue_after_those_that_were_copied(
    full: Store, postgresql: Database, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.db"
    with full:
        portable.save(full, saved, catalog.create_tables)
    settings = Settings(name="other", store_url=postgresql.url)
    insert = (
        "insert into run (kind, request, actor, state, started_at) values ('run', '{}', 'x',"
        " 'running', 1)"
    )
    with Store.open(tmp_path / "other", settings, create=True) as other:
        portable.load(saved, other, catalog.create_tables)
        with other.write(None) as tx:
            (last,) = tx.execute("select max(id) from run").fetchone()
            assert tx.execute(insert).lastrowid == last + 1


def test_tables_that_refer_to_each_other_are_refused(tmp_path: Path) -> None:
    store = Store.open(tmp_path, Settings(name="x"), create=True)
    with store, store.write(None) as tx:
        tx.execute("create table one (id integer primary key, two integer references two (id))")
        tx.execute("create table two (id integer primary key, one integer references one (id))")
        with pytest.raises(StoreError, match=r"circle: (one|two)"):
            portable.copy_order(tx)


def test_rows_of_a_table_that_the_target_lacks_are_not_dropped_in_silence(
    full: Store, postgresql: Database, tmp_path: Path
) -> None:
    """What another DuckLake keeps inside the catalog isn't lost by a copy."""
    with full:
        with full.write(None) as tx:
            tx.execute("create table ducklake_inlined_data_1_0 (row_id integer)")
            tx.execute("insert into ducklake_inlined_data_1_0 values (1)")
        portable.save(full, tmp_path / "saved.db", catalog.create_tables)
    settings = Settings(name="other", store_url=postgresql.url)
    with (
        Store.open(tmp_path / "other", settings, create=True) as other,
        pytest.raises(StoreError, match="inlined_data_1_0"),
    ):
        portable.load(tmp_path / "saved.db", other, catalog.create_tables)
