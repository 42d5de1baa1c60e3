"""Small files merged into one by Headrace: no reader, of any snapshot, sees a difference."""

from __future__ import annotations

import random
from collections import Counter

import psycopg
import pytest
from lakelab import DuckLakeError, Lake, PostgresqlLake

from headrace.lake import catalog
from headrace.lake.catalog import FileMoved, MergeSource, TableMoved, files, small_merges
from headrace.lake.catalog.small_merges import MERGED_AT_LEAST, MERGED_AT_MOST, chosen
from headrace.lake.small_merges import stage_merged

DAY = "SELECT range AS id, 'n' || range AS note FROM range({})"
MIB = 2**20


def merge(lake: Lake, name: str = "t", wanted: int = 1) -> tuple[MergeSource, ...]:
    """Merge one slice; return the files that it replaced."""
    table = lake.table(name)
    sources = catalog.next_slice(lake.tx, table, wanted)
    if sources:
        merged = stage_merged(lake.session, sources, table)
        with lake.transaction():
            catalog.replace_by_merged(lake.tx, 0, name, sources, merged)
    return sources


def days(lake: Lake, number: int, rows: int = 10) -> None:
    for day in range(1, number + 1):
        lake.publish("t", f"2024-01-{day:02d}", DAY.format(rows))


def small(number: int, rows: int = 10, size_bytes: int = 1000, keys: int = 1) -> MergeSource:
    return MergeSource(number, f"main/t/{number}.parquet", rows, size_bytes, 1, 1, 0, keys, 0)


@pytest.mark.long
def test_every_snapshot_is_read_from_the_merged_file(any_lake: Lake) -> None:
    """Catches: rows that appear before their publication, or twice, to our readers and DuckLake's;
    a merged file that is listed before files without its two additional columns."""
    days(any_lake, 20)
    any_lake.publish("t", "2024-01-03", DAY.format(12))
    before = {at: any_lake.rows("t", snapshot=at) for at in range(1, any_lake.newest + 1)}
    ids = any_lake.ducklake("SELECT rowid, _partition, id FROM t ORDER BY 1")
    assert len(merge(any_lake, wanted=8)) == 13
    assert len(catalog.files(any_lake.tx, "t", None)) == 8
    any_lake.check("t")
    assert {at: any_lake.rows("t", snapshot=at) for at in before} == before
    assert any_lake.ducklake("SELECT rowid, _partition, id FROM t ORDER BY 1") == ids


@pytest.mark.long
def test_merged_files_are_merged_again_and_their_partitions_replaced(any_lake: Lake) -> None:
    """Catches: snapshots of rows that the second merge flattens; neighbours of a replaced
    partition that are lost."""
    for number in range(64):
        any_lake.publish("t", f"k{number:02d}", DAY.format(1))
    assert [len(merge(any_lake, wanted=57 - 7 * n)) for n in range(8)] == [8] * 8
    again = merge(any_lake)
    assert [source.first_row for source in again] == [None] * 8
    (only,) = catalog.files_of(any_lake.tx, "t")
    assert only.keys == {f"k{number:02d}" for number in range(64)}
    assert [len(any_lake.rows("t", snapshot=at)) for at in (1, 20, 64, 70)] == [1, 20, 64, 64]
    any_lake.publish("t", "k07", DAY.format(5))
    any_lake.withdraw("t", "k08")
    assert Counter(row[0] for row in any_lake.rows("t"))["k07"] == 5
    assert len(any_lake.rows("t")) == 67
    any_lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")
    any_lake.check("t")


def test_expiring_and_cleaning_by_ducklake_keep_the_merged_file(any_lake: Lake) -> None:
    """Catches: files that nobody deletes any more, and files that are deleted although read."""
    days(any_lake, 10)
    sources = merge(any_lake)
    named = catalog.named_paths(any_lake.tx)
    assert {source.path for source in sources} <= named
    any_lake.ducklake("CALL ducklake_expire_snapshots('lake', older_than => now())")
    any_lake.ducklake("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)")
    left = {
        path.relative_to(any_lake.data_folder).as_posix()
        for path in any_lake.data_folder.rglob("*.parquet")
    }
    assert left == {file.path for file in catalog.files(any_lake.tx, "t", None)}
    any_lake.check("t")
    assert any_lake.tx.execute(
        "SELECT count(*) FROM ducklake_file_column_stats WHERE data_file_id NOT IN (SELECT"
        " data_file_id FROM ducklake_data_file)"
    ).fetchone() == (0,)


@pytest.mark.long
def test_a_publication_meanwhile_wins(any_lake: Lake) -> None:
    """Catches a merge that brings replaced rows back, or that reverts a changed table."""
    days(any_lake, 10)
    table = any_lake.table("t")
    sources = catalog.next_slice(any_lake.tx, table, 1)
    merged = stage_merged(any_lake.session, sources, table)
    any_lake.publish("t", "2024-01-04", DAY.format(3))
    newest = any_lake.newest
    with pytest.raises(FileMoved), any_lake.transaction():
        catalog.replace_by_merged(any_lake.tx, 0, "t", sources, merged)
    assert any_lake.newest == newest
    sources = catalog.next_slice(any_lake.tx, table, 1)
    merged = stage_merged(any_lake.session, sources, table)
    any_lake.publish("t", "2024-01-20", "SELECT 1 AS id, 'a' AS note, 2 AS more", evolve=True)
    with pytest.raises((FileMoved, TableMoved)), any_lake.transaction():
        catalog.replace_by_merged(any_lake.tx, 0, "t", sources, merged)
    any_lake.check("t")


def test_a_catalog_of_an_earlier_version_gets_the_index(any_lake: Lake) -> None:
    """Catches a merge that searches the statistics of all files for those of each source."""
    days(any_lake, 2)
    with any_lake.transaction():
        any_lake.tx.execute("DROP INDEX headrace_lake_statistics")
        catalog.add_indexes(any_lake.tx)
        catalog.add_indexes(any_lake.tx)
    with any_lake.transaction(), pytest.raises(Exception, match="exist"):
        any_lake.tx.execute(
            "CREATE INDEX headrace_lake_statistics ON ducklake_file_column_stats (data_file_id)"
        )


def test_an_index_that_is_there_waits_for_no_writer(postgresql_lake: PostgresqlLake) -> None:
    """Would catch: a leader that takes the lease and waits for whoever writes statistics."""
    lake = postgresql_lake
    with psycopg.connect(lake.database.url_of_socket) as writer:
        writer.execute("LOCK TABLE headrace_lake.ducklake_file_column_stats IN ROW EXCLUSIVE MODE")
        with lake.transaction():
            lake.tx.execute("SET LOCAL lock_timeout = 1")  # ms
            catalog.add_indexes(lake.tx)


def test_a_reader_that_began_before_has_its_files(any_lake: Lake) -> None:
    days(any_lake, 10)
    held = files(any_lake.tx, "t", None)
    merge(any_lake)
    assert all((any_lake.data_folder / file.path).is_file() for file in held)


@pytest.mark.long
def test_a_foreign_writer_that_deletes_rows_meanwhile_fails(any_lake: Lake) -> None:
    """Its deletions name files that the catalog doesn't list any more."""
    days(any_lake, 10)
    any_lake.ducklake("BEGIN")
    any_lake.ducklake("DELETE FROM t WHERE id = 1")
    merge(any_lake)
    with pytest.raises(DuckLakeError, match="Failed to commit"):
        any_lake.ducklake("COMMIT")
    any_lake.check("t")


@pytest.mark.long
def test_files_with_deletions_and_of_earlier_columns_stay(any_lake: Lake) -> None:
    """Catches: deleted rows that come back; values of a dropped column that old snapshots lose."""
    days(any_lake, 10)
    any_lake.ducklake("DELETE FROM t WHERE id = 1 AND _partition < '2024-01-04'")
    assert len(merge(any_lake, wanted=1)) == 0  # seven are left
    days(any_lake, 12)
    assert len(merge(any_lake, wanted=1)) == 12
    any_lake.check("t")
    any_lake.publish("t", "2024-02-01", "SELECT 1 AS id, 'a' AS note, 2 AS more", evolve=True)
    for number in range(2, 10):
        any_lake.publish("t", f"2024-02-{number:02d}", "SELECT 1 AS id, 'a' AS note, 2 AS more")
    assert len(merge(any_lake, wanted=1)) == 9
    any_lake.check("t")


def test_names_of_columns_that_the_merged_file_needs_are_left_alone(lake: Lake) -> None:
    for number in range(9):
        lake.publish("t", f"k{number}", 'SELECT 1 AS "File_Row_Number"')
    assert merge(lake) == ()


def test_rows_keep_their_order_within_a_partition(lake: Lake) -> None:
    for number in range(9):
        lake.publish("t", f"k{number}", "SELECT 1000 - range AS id FROM range(1000)")
    merge(lake)
    (file,) = files(lake.tx, "t", None)
    rows = lake.session.connection.execute(
        "SELECT id FROM read_parquet(?)", [str(lake.data_folder / file.path)]
    ).fetchall()
    assert [row[0] for row in rows] == [1000 - n for n in range(1000)] * 9


def test_large_files_and_files_of_many_partitions_are_never_chosen() -> None:
    """Catches a table of large files that is rewritten each time one is added."""
    large = [small(n, size_bytes=small_merges.SMALL_BYTES_MAX) for n in range(1000)]
    many = [small(n, keys=small_merges.SMALL_KEYS_MAX) for n in range(1000)]
    assert chosen(large, 600) == chosen(many, 600) == ()
    few = [small(2000 + n) for n in range(MERGED_AT_LEAST)]
    assert chosen([*large, *few], 600) == tuple(few)


def test_a_slice_is_bounded_and_takes_the_oldest() -> None:
    sources = [small(n) for n in range(1000)]
    assert chosen(sources[::-1], 600) == tuple(sources[:MERGED_AT_MOST])
    assert len(chosen(sources, 20)) == 21
    assert len(chosen(sources, 1)) == MERGED_AT_LEAST
    wide = [small(n, size_bytes=8 * MIB - 1) for n in range(1000)]
    assert len(chosen(wide, 600)) == 8


def test_each_row_is_rewritten_once_per_size_class() -> None:
    """100,000 deliveries of random sizes, merged as a server would: the number of files stays
    bounded, and no row is written more than a few times."""
    drawn = random.Random(7)
    present: list[tuple[MergeSource, int]] = []
    most, longest, written, delivered = 0, 0, 0, 0
    for number in range(100_000):
        rows = drawn.choice((1, 1, 2, 5, 40, 300))
        delivered += rows
        present.append((small(number, rows=rows, size_bytes=500 + 20 * rows), 0))
        while len(present) > 500:
            sources = chosen([source for source, _ in present], len(present) - 250)
            ids = {source.id for source in sources}
            depth = 1 + max(times for source, times in present if source.id in ids)
            rows = sum(source.rows for source in sources)
            written, longest = written + rows, max(longest, depth)
            kept = [pair for pair in present if pair[0].id not in ids]
            keys = sum(source.keys for source in sources)
            merged = small(10**6 + number, rows, 500 + 20 * rows, keys)
            present = [*kept, (merged, depth)]
        most = max(most, len(present))
    assert most <= 500
    assert longest <= 7
    assert written / delivered < 4
