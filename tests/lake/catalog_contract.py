"""What every catalog must hold, whatever database it is in: after each kind of change DuckLake
reads back what was published.

Another database subclasses `CatalogContract` with a `lake` fixture of its own.
"""

from __future__ import annotations

import shutil
import uuid

import pytest
from lakelab import DuckLakeError, Lake

from headrace.lake import catalog
from headrace.lake.catalog import FileMoved, NeedsRewrite, Rewrite, TableMoved, reading
from headrace.lake.schema import ValueMismatch
from headrace.lake.sqltext import relation_sql
from headrace.lake.staging import KeyExpression, stage_rewrite
from headrace.lake.tables import LakeTable, StagedFile
from headrace.model.errors import LakeError

DAY = (
    "SELECT range AS id, (range * 1.5)::DECIMAL(18,2) AS amount, 'n' || range AS note FROM"
    " range({})"
)
MONTH = """SELECT range AS id, (range * 1.5)::DECIMAL(18,2) AS amount, 'n' || range AS note,
    strftime(DATE '2024-02-01' + (range // 10)::INTEGER, '%Y-%m-%d') AS k FROM range(290)"""
COUNTED = [
    "ducklake_snapshot",
    "ducklake_data_file",
    "ducklake_file_column_stats",
    "ducklake_snapshot_changes",
]
FEBRUARY = [f"2024-02-{day:02d}" for day in range(1, 30)]
ALL_TYPES = """SELECT true AS a, 1::TINYINT AS b, 2::SMALLINT AS c, 3 AS d, 4::BIGINT AS e, 5::UTINYINT AS g, 6::USMALLINT AS h,
    7::UINTEGER AS i,
    8::UBIGINT AS j, 1.5::FLOAT AS l, 'nan'::DOUBLE AS m, 2.5::DOUBLE AS m2, 12.30::DECIMAL(18,2) AS n, 1e20::DECIMAL(38,10) AS n2,
    DATE '2024-01-01' AS o,
    TIME '10:00:00.5' AS p, '10:00:00+00'::TIMETZ AS p2, TIMESTAMP '2024-01-01 00:00:00.5' AS q, TIMESTAMPTZ '2024-01-01 00:00:00+00' AS r,
    '2024-01-01 01:02:03'::TIMESTAMP_S AS s, '2024-01-01 01:02:03.25'::TIMESTAMP_MS AS t,
    '2024-01-01 01:02:03.123456789'::TIMESTAMP_NS AS u,
    '\\xAA\\x00'::BLOB AS v, 'f84931d7-269c-4000-8735-feaf32d30497'::UUID AS w, INTERVAL 14 MONTH AS x, '{"a":1}'::JSON AS y, 'it''s' AS z,
    {'a': 1, 'b c': {'z': 'q'}} AS st, [1, 2, NULL] AS li, [{'q': 3}] AS lst, MAP {'k': 2.5::DOUBLE} AS ma, NULL::INTEGER AS nn"""


def _add(lake: Lake, table: LakeTable, staged: StagedFile) -> None:
    with lake.change() as change:
        change.create_table(table)
        change.replace(table.name, [item.key for item in staged.partitions], [staged])


RETYPED = [
    ("BIGINT", "5", "DOUBLE", "5.5", {"n > 4.9": 3, "n = 4.9": 0, "n < 5.1": 2, "n <> 4.9": 3}),
    ("BIGINT", "5", "DECIMAL(18,2)", "5.5", {"n >= 5": 3, "n > 4.9": 3, "n = 5.50": 1}),
    ("INTEGER", "5", "BIGINT", "3000000000", {"n < 2999999999": 2, "n = 5": 2}),
    ("DECIMAL(9,2)", "5.25", "DECIMAL(18,4)", "5.2501", {"n > 5.2499": 3, "n < 5.2501": 2}),
    ("DECIMAL(9,2)", "5.25", "DOUBLE", "5.3", {"n > 5.2499": 3}),
    ("FLOAT", "5.1", "DOUBLE", "5.1", {"n > 5.09": 3, "n = 5.1": 1}),
    ("DATE", "'2024-01-02'", "TIMESTAMP", "'2024-01-02 03:00:00'", {"n > '2024-01-01 23:00'": 3}),
    ("TIMESTAMP", "'2024-01-02 03:00:00'", "TIMESTAMPTZ", "'2024-01-03 00:00:00+00'", {}),
    ("VARCHAR", "'2024-01-02'", "DATE", "'2024-01-03'", {"n < '2024-01-03'": 2}),
    ("BIGINT", "5", "VARCHAR", "'x'", {"n = '5'": 2, "n >= '5'": 3}),
    ("STRUCT(a INTEGER)", "{'a': 5}", "STRUCT(a BIGINT, b VARCHAR)", "{'a': 6, 'b': 'z'}", {}),
    ("INTEGER[]", "[5]", "BIGINT[]", "[3000000000]", {"n[1] > 4": 3}),
]


class CatalogContract:
    """Abstract: subclass as `Test…`."""

    def test_a_first_partition_reads_back(self, lake: Lake) -> None:
        lake.publish("t", "2024-01-01", DAY.format(1000))
        lake.check("t")
        assert lake.ducklake(
            "SELECT count(*), sum(id), sum(amount)::VARCHAR, min(note), count(DISTINCT _partition)"
            " FROM t"
        ) == [[1000, 499500, "749250.00", "n0", 1]]

    def test_every_type_reads_back_as_it_was_staged(self, lake: Lake) -> None:
        lake.publish("t", "k", f"{ALL_TYPES} FROM range(3)")
        lake.check("t")
        assert len(lake.rows("t")) == 3

    def test_each_snapshot_keeps_what_it_had(self, lake: Lake) -> None:
        for number in range(1, 5):
            lake.publish("t", f"2024-01-0{number}", DAY.format(number))
        lake.publish("t", "2024-01-02", DAY.format(50))
        lake.withdraw("t", "2024-01-03")
        lake.check("t")
        assert [len(lake.ducklake_rows("t", snapshot)) for snapshot in range(1, 7)] == [
            1,
            3,
            6,
            10,
            58,
            55,
        ]

    def test_a_partition_is_replaced_not_added_to(self, lake: Lake) -> None:
        for rows in (10, 3, 7):
            lake.publish("t", "2024-01-01", DAY.format(rows))
        lake.check("t")
        assert len(lake.rows("t")) == 7

    def test_many_partitions_in_one_file_are_found_alone(self, lake: Lake) -> None:
        lake.publish_many("t", FEBRUARY, MONTH)
        lake.check("t")
        assert [ref.partitions for ref in catalog.files(lake.tx, "t", ["2024-02-05"])] == [
            ("2024-02-05",)
        ]
        assert catalog.files(lake.tx, "t", ["2024-02-30"]) == []
        assert catalog.files(lake.tx, "t", FEBRUARY)[0].partitions is None

    @pytest.mark.parametrize(("characters_max", "kept"), [(1_000_000, 2), (1, 1)])
    def test_what_a_file_holds_is_decoded_once(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch, characters_max: int, kept: int
    ) -> None:
        """Would catch: each lookup of one partition that decodes what all shared files hold; a
        cache that grows with the texts of all files that there ever were."""
        monkeypatch.setattr(reading, "NOTES_CHARACTERS_MAX", characters_max)
        monkeypatch.setattr(reading, "_NOTES", reading._Notes())
        decoded = []
        decode = reading._decode_note
        monkeypatch.setattr(
            reading, "_decode_note", lambda text: (decoded.append(text), decode(text))[1]
        )
        lake.publish_many("t", FEBRUARY, MONTH)
        lake.publish_many("u", FEBRUARY[:20], f"{MONTH} WHERE range < 200")
        for name in ("t", "u"):
            catalog.files(lake.tx, name, FEBRUARY[:1])
        decoded.clear()
        for key in FEBRUARY[:20]:
            for name in ("t", "u"):
                assert catalog.files(lake.tx, name, [key])[0].partitions == (key,)
        assert bool(decoded) == (kept == 1)
        assert len(reading._NOTES._decoded) == kept

    @pytest.mark.parametrize("asked", [1, 2, 3, 5])
    def test_files_of_one_partition_each_are_found_however_many_are_asked_for(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch, asked: int
    ) -> None:
        """Would catch: files that are lost where one statement's partitions end, and files that are
        found twice because the last statement has fewer partitions than it has room for."""
        monkeypatch.setattr(reading, "KEYS_MAX", 2)
        for key in FEBRUARY[:5]:
            lake.publish("t", key, DAY.format(1))
        result = catalog.files(lake.tx, "t", [*FEBRUARY[:asked], "2024-03-01"])
        assert len({ref.path for ref in result}) == len(result) == asked
        with lake.change() as change:
            assert (
                change.shared_files("t", FEBRUARY[:asked], retyped=False)
                == catalog.shared_files(lake.tx, "t", FEBRUARY[:asked])
                == []
            )

    def test_one_partition_of_a_shared_file_is_replaced_by_copy_on_write(self, lake: Lake) -> None:
        lake.publish_many("t", FEBRUARY, MONTH)
        before = lake.newest
        lake.publish(
            "t",
            "2024-02-05",
            "SELECT 1::BIGINT AS id, 2::DECIMAL(18,2) AS amount, 'x' AS note, 'y' AS k",
        )
        lake.check("t")
        assert lake.rows("t", ["2024-02-05"]) == [["2024-02-05", "1", "2.00", "x", "y"]]
        assert len(lake.rows("t")) == 281
        assert len(lake.rows("t", snapshot=before)) == 290
        assert lake.ducklake(
            "SELECT count(*) FROM ducklake_list_files('lake', 't') WHERE delete_file IS NOT NULL"
        ) == [[0]]

    def test_all_partitions_of_a_shared_file_are_replaced_without_a_rewrite(
        self, lake: Lake
    ) -> None:
        lake.publish_many("t", FEBRUARY, MONTH)
        assert catalog.shared_files(lake.tx, "t", FEBRUARY) == []
        lake.publish_many("t", FEBRUARY, MONTH.replace("range(290)", "range(289)"))
        lake.check("t")
        assert len(lake.rows("t")) == 289

    def test_replacing_part_of_a_shared_file_without_a_rewrite_is_refused_and_changes_nothing(
        self, lake: Lake
    ) -> None:
        lake.publish_many("t", FEBRUARY, MONTH)
        before, (staged, _) = (
            lake.newest,
            lake.stage("t", "2024-02-05", DAY.format(1).replace("FROM", ", 'k' AS k FROM")),
        )
        with pytest.raises(NeedsRewrite) as refused, lake.change() as change:
            change.replace("t", ["2024-02-05"], [staged])
        assert [file.path for file in refused.value.files] == [
            file.path for file in catalog.files(lake.tx, "t", None)
        ]
        assert lake.newest == before

    def test_a_rewrite_of_a_file_that_is_gone_is_refused(self, lake: Lake) -> None:
        """Two attempts rewrite one file: the second must do its rewrite again, or it would bring
        rows back.
        """
        lake.publish_many("t", FEBRUARY, MONTH)
        (shared,) = catalog.shared_files(lake.tx, "t", ["2024-02-05"])
        rewrites = {
            key: Rewrite(shared.path, stage_rewrite(lake.session, shared, lake.table("t"), [key]))
            for key in ("2024-02-05", "2024-02-06")
        }
        with lake.change() as change:
            change.replace("t", ["2024-02-05"], [], rewrites=[rewrites["2024-02-05"]])
            with pytest.raises(FileMoved):
                change.replace("t", ["2024-02-06"], [], rewrites=[rewrites["2024-02-06"]])
        with pytest.raises(FileMoved), lake.change() as change:
            change.replace("t", ["2024-02-06"], [], rewrites=[rewrites["2024-02-06"]])
        lake.check("t")
        assert len(lake.rows("t")) == 280

    def test_attempts_of_one_group_commit_become_one_snapshot(self, lake: Lake) -> None:
        staged = {
            name: [lake.stage(name, key, DAY.format(5)) for key in ("a", "b")]
            for name in ("t", "u")
        }
        with lake.change() as change:
            for name, files in staged.items():
                for file, table in files:
                    change.create_table(table)
                    change.replace(name, [file.partitions[0].key], [file])
        assert lake.newest == 1
        for name in staged:
            lake.check(name)
            assert len(lake.rows(name)) == 10

    def test_a_refused_publication_leaves_the_others_of_its_group(self, lake: Lake) -> None:
        (good, table), (other, _) = (
            lake.stage("t", "a", DAY.format(5)),
            lake.stage("t", "b", DAY.format(6)),
        )
        with lake.change() as change:
            change.create_table(table)
            change.replace("t", ["a"], [good])
            with pytest.raises(LakeError, match="aren't to be published"):
                change.replace("t", ["c"], [other])
            with pytest.raises(LakeError, match="twice in one change"):
                change.replace("t", ["a"], [])
        lake.check("t")
        assert len(lake.rows("t")) == 5

    def test_a_partition_without_rows_is_published_without_a_file(self, lake: Lake) -> None:
        lake.publish("t", "a", DAY.format(5))
        lake.publish("t", "a", DAY.format(0))
        lake.check("t")
        assert catalog.files(lake.tx, "t", ["a"]) == []
        assert lake.publish("t", "b", DAY.format(0)) == lake.newest == 2, (
            "nothing changed: no snapshot"
        )

    def test_added_and_dropped_columns_are_those_that_ducklake_reads(self, lake: Lake) -> None:
        lake.publish("t", "a", DAY.format(5))
        lake.publish("t", "b", DAY.format(5).replace("FROM", ", 7 AS extra FROM"), evolve=True)
        lake.publish("t", "c", "SELECT range AS id, 8 AS extra FROM range(3)", evolve=True)
        lake.publish(
            "t", "d", "SELECT range AS id, 8 AS extra, 'back' AS note FROM range(3)", evolve=True
        )
        lake.check("t")
        assert [column.name for column in lake.table("t").columns] == [
            "_partition",
            "id",
            "extra",
            "note",
        ]
        assert lake.rows("t", ["a"])[0] == [
            "a",
            "0",
            None,
            None,
        ], "a dropped column that comes back is another column"
        assert lake.ducklake("SELECT count(*) FROM t WHERE extra IS NULL") == [[5]]

    @pytest.mark.parametrize(("before", "value", "after", "new", "conditions"), RETYPED)
    def test_values_are_carried_into_another_type(
        self,
        lake: Lake,
        before: str,
        value: str,
        after: str,
        new: str,
        conditions: dict[str, int],
    ) -> None:
        """The engine compared with the older file's type, so `> 4.9` missed a 5; or the column of
        another type lost its published values. Readers with DuckLake see the same."""
        lake.publish("t", "a", f"SELECT {value}::{before} AS n, 'a' AS k")
        both = f"SELECT {value}::{before} AS n, k FROM (VALUES ('b'), ('c')) AS keys(k)"
        lake.publish_many("t", ["b", "c"], both)
        first = lake.newest
        lake.publish("t", "c", f"SELECT {new}::{after} AS n, 'c' AS k", evolve=True)
        lake.check("t")
        ((carried,),) = lake.ducklake(f"SELECT CAST({value}::{before}::{after} AS VARCHAR)")
        ((last,),) = lake.ducklake(f"SELECT CAST({new}::{after} AS VARCHAR)")
        expected = [["a", carried, "a"], ["b", carried, "b"], ["c", last, "c"]]
        assert lake.rows("t") == lake.ducklake_rows("t") == expected
        assert len(lake.rows("t", snapshot=first)) == len(lake.ducklake_rows("t", first)) == 3
        table = lake.table("t")
        ours = relation_sql(catalog.files(lake.tx, "t", None), table.columns)
        for condition, count in conditions.items():
            query = f"SELECT count(*) FROM {{}} WHERE {condition}"
            assert lake.ducklake(query.format("t")) == [[count]], condition
            found = lake.session.connection.execute(query.format(f"({ours}) AS t")).fetchall()
            assert found == [(count,)], condition

    def test_values_that_would_change_refuse_another_type(self, lake: Lake) -> None:
        lake.publish("t", "a", "SELECT 5.5::DOUBLE AS n")
        with pytest.raises(ValueMismatch, match="published values can't be written so"):
            lake.publish("t", "b", "SELECT DATE '2024-01-01' AS n", evolve=True)
        lake.check("t")
        lake.publish("t", "a", "SELECT DATE '2024-01-01' AS n", evolve=True)
        lake.check("t")
        assert lake.rows("t") == [["a", "2024-01-01"]]

    @pytest.mark.parametrize(("keys", "refusal"), [(["b"], NeedsRewrite), (["x"], LakeError)])
    def test_files_of_an_older_type_are_refused_beside_a_newer_one(
        self, lake: Lake, keys: list[str], refusal: type[LakeError]
    ) -> None:
        """A change that is refused, for a file of the old type or anything else, leaves the old
        type in place."""
        lake.publish("t", "a", "SELECT 5::BIGINT AS n")
        staged, table = lake.stage("t", "b", "SELECT 5.5::DOUBLE AS n", evolve=True)
        with lake.change() as change:
            change.evolve_table(table)
            with pytest.raises(refusal):
                change.replace("t", keys, [staged])
        assert [column.type for column in lake.table("t").columns] == ["VARCHAR", "BIGINT"]
        lake.check("t")

    def test_nested_columns_are_added_changed_and_dropped(self, lake: Lake) -> None:
        lake.publish(
            "t",
            "a",
            "SELECT 1 AS id, {'x': 1, 'y': ['ü', NULL]} AS s, MAP {'k': [{'v': 1}]} AS m, [[1, 2],"
            " []] AS l",
        )
        lake.publish(
            "t",
            "b",
            "SELECT 2 AS id, {'x': 1, 'y': ['z'], 'z': 2} AS s, MAP {'k': [{'v': 2}]} AS m, [[3]]"
            " AS l",
            evolve=True,
        )
        lake.check("t")
        lake.publish(
            "t",
            "c",
            "SELECT 3 AS id, [[4]] AS l, {'deep': {'er': [MAP {1: {'q\"x': 1.5}}]}} AS n",
            evolve=True,
        )
        lake.check("t")
        assert lake.ducklake('SELECT n.deep.er[1][1]."q""x"::VARCHAR FROM t WHERE id = 3') == [
            ["1.5"]
        ]

    def test_columns_proposed_from_an_older_table_are_refused(self, lake: Lake) -> None:
        """Two attempts change the table at once: the second's ids would mean other columns."""
        lake.publish("t", "a", DAY.format(5))
        staged = [
            lake.stage("t", key, DAY.format(5).replace("FROM", f", 7 AS {extra} FROM"), evolve=True)
            for key, extra in (("b", "x"), ("c", "y"))
        ]
        with lake.change() as change:
            change.evolve_table(staged[0][1])
            change.replace("t", ["b"], [staged[0][0]])
        with pytest.raises(TableMoved), lake.change() as change:
            change.evolve_table(staged[1][1])
        with pytest.raises(TableMoved), lake.change() as change:
            change.replace("t", ["c"], [staged[1][0]])
        lake.check("t")

    def test_ducklake_skips_files_by_partition(self, lake: Lake) -> None:
        """Statistics that DuckLake doesn't understand would make it open every file."""
        for number in range(1, 9):
            lake.publish("t", f"2024-01-0{number}", DAY.format(10))
        (plan,) = lake.ducklake(
            "EXPLAIN ANALYZE SELECT sum(id) FROM t WHERE _partition = '2024-01-05'"
        )
        assert "Total Files Read: 1" in plan[1]

    def test_a_foreign_insert_between_our_commits_is_kept(self, lake: Lake) -> None:
        lake.publish("t", "a", DAY.format(5))
        lake.ducklake("INSERT INTO t VALUES ('b', 1, 2, 'foreign'), ('c', 2, 3, 'foreign')")
        lake.publish("t", "d", DAY.format(5))
        lake.check("t")
        lake.publish("t", "b", DAY.format(2))
        lake.check("t")
        assert lake.rows("t", ["c"]) == [["c", "2", "3.00", "foreign"]]

    def test_foreign_deletes_and_updates_are_seen_and_survive_a_rewrite(self, lake: Lake) -> None:
        lake.publish_many("t", FEBRUARY, MONTH)
        lake.ducklake("DELETE FROM t WHERE id % 10 = 3")
        lake.check("t")
        lake.ducklake("UPDATE t SET note = 'changed' WHERE id = 42")
        lake.ducklake("DELETE FROM t WHERE id % 10 = 4")
        lake.check("t")
        lake.publish(
            "t",
            "2024-02-05",
            "SELECT 1::BIGINT AS id, 2::DECIMAL(18,2) AS amount, 'x' AS note, 'y' AS k",
        )
        lake.check("t")
        assert len(lake.rows("t")) == 290 - 58 - 8 + 1

    def test_a_foreign_change_of_columns_is_followed(self, lake: Lake) -> None:
        lake.publish("t", "a", "SELECT 1 AS id, {'x': 1} AS s")
        lake.ducklake("ALTER TABLE t ADD COLUMN level INTEGER DEFAULT 5")
        lake.ducklake("ALTER TABLE t RENAME COLUMN id TO number")
        lake.ducklake("ALTER TABLE t ADD COLUMN s.y VARCHAR")
        lake.check("t")
        lake.publish("t", "b", "SELECT 2 AS number, {'x': 1, 'y': 'z'} AS s, 6 AS level")
        lake.check("t")
        assert sorted(row[3] or "" for row in lake.rows("t")) == ["5", "6"]

    def test_rows_inserted_before_the_columns_change_in_one_foreign_transaction_are_read(
        self, lake: Lake
    ) -> None:
        lake.publish("t", "a", "SELECT 1 AS id")
        for sql in (
            "BEGIN",
            "INSERT INTO t VALUES ('b', 2)",
            "ALTER TABLE t ADD COLUMN extra INTEGER",
            "INSERT INTO t VALUES ('c', 3, 4)",
            "COMMIT",
        ):
            lake.ducklake(sql)
        lake.check("t")

    def test_files_that_a_foreign_writer_registered_are_read(self, lake: Lake) -> None:
        """Its files carry no field ids: they are found by name. DuckLake believes them whatever
        they hold."""
        lake.publish("t", "a", "SELECT 1 AS id, 'x' AS note")
        path = lake.data_folder / "main" / "t" / f"{uuid.uuid4()}.parquet"
        lake.session.connection.execute(
            f"COPY (SELECT 'y' AS note, 2 AS id, 'b' AS _partition) TO '{path}' (FORMAT parquet)"
        )
        lake.ducklake(f"CALL ducklake_add_data_files('lake', 't', '{path}')")
        lake.check("t")
        lake.publish("t", "b", "SELECT 3 AS id, 'z' AS note")
        lake.check("t")
        assert lake.rows("t", ["b"]) == [["b", "3", "z"]]

    def test_values_that_are_only_in_folder_names_are_refused_not_overlooked(
        self, lake: Lake
    ) -> None:
        """DuckLake believes the folder whatever the file holds; our file lists would give NULL."""
        lake.publish("t", "a", "SELECT 1 AS id, 'x' AS note")
        folder = lake.data_folder / "main" / "t" / "note=z"
        folder.mkdir()
        lake.session.connection.execute(
            f"COPY (SELECT 2 AS id, 'b' AS _partition) TO '{folder}/x.parquet' (FORMAT parquet)"
        )
        lake.ducklake(
            f"CALL ducklake_add_data_files('lake', 't', '{folder}/x.parquet', hive_partitioning =>"
            " true)"
        )
        assert lake.ducklake("SELECT note FROM t WHERE id = 2") == [["z"]]
        with pytest.raises(LakeError, match="names of their folders"):
            catalog.files(lake.tx, "t", None)

    def test_a_change_that_fails_while_it_is_written_leaves_nothing(self, lake: Lake) -> None:
        """DuckLake's COMMIT of an aborted transaction says yes and publishes nothing; ours is
        rolled back, and says so."""
        lake.publish("t", "a", DAY.format(5))
        before = [lake.tx.execute(f"SELECT count(*) FROM {name}").fetchone() for name in COUNTED]
        staged, _ = lake.stage("t", "b", DAY.format(5))
        with lake.full_disk(), pytest.raises(Exception, match="disk full"), lake.change() as change:
            change.replace("t", ["b"], [staged])
        assert [
            lake.tx.execute(f"SELECT count(*) FROM {name}").fetchone() for name in COUNTED
        ] == before
        lake.check("t")

    def test_ducklakes_commit_of_an_aborted_transaction_publishes_nothing(self, lake: Lake) -> None:
        """The trap itself: whoever writes through DuckLake must read back what was committed."""
        lake.publish("t", "a", DAY.format(5))
        before = lake.newest
        lake.ducklake("BEGIN")
        lake.ducklake("INSERT INTO t VALUES ('b', 1, 2, 'x')")
        with pytest.raises(DuckLakeError):
            lake.ducklake("SELECT error('aborted')")
        assert lake.ducklake("COMMIT") == []
        assert lake.newest == before
        lake.check("t")

    def test_rows_that_a_foreign_writer_kept_in_the_catalog_are_refused_not_overlooked(
        self, lake: Lake
    ) -> None:
        lake.publish("t", "a", DAY.format(5))
        lake.ducklake("CALL lake.set_option('data_inlining_row_limit', 10, table_name => 't')")
        lake.ducklake("ATTACH OR REPLACE DATABASE ':memory:' AS other")
        lake.ducklake("INSERT INTO t VALUES ('b', 1, 2, 'inlined')")
        if lake.tx.execute("SELECT count(*) FROM ducklake_inlined_data_tables").fetchone() == (0,):
            pytest.skip("this connection's own limit of 0 rows wins over the table's option")
        with pytest.raises(LakeError, match="into the catalog itself"):
            catalog.files(lake.tx, "t", None)

    def test_merging_expiring_and_cleaning_by_ducklake_lose_nothing(self, lake: Lake) -> None:
        for number in range(1, 9):
            lake.publish("t", f"2024-01-0{number}", DAY.format(number))
        lake.publish("t", "2024-01-03", DAY.format(30))
        lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")
        lake.check("t")
        assert len(catalog.files(lake.tx, "t", None)) < 8
        lake.publish("t", "2024-01-04", DAY.format(40))
        lake.check("t")
        lake.ducklake("CALL ducklake_expire_snapshots('lake', older_than => now())")
        lake.ducklake("CALL ducklake_cleanup_old_files('lake', older_than => now())")
        lake.check("t")
        assert len(lake.rows("t")) == 1 + 2 + 30 + 40 + 5 + 6 + 7 + 8
        with pytest.raises(LakeError, match="never made, or has expired"):
            catalog.files(lake.tx, "t", None, 1)

    def test_history_is_read_through_a_merged_file_up_to_its_snapshot(self, lake: Lake) -> None:
        for number in range(1, 6):
            lake.publish("t", f"2024-01-0{number}", DAY.format(number))
        lake.ducklake("CALL ducklake_merge_adjacent_files('lake')")
        assert len(lake.rows("t", snapshot=3)) == 1 + 2 + 3
        assert len(lake.rows("t", ["2024-01-02", "2024-01-05"], snapshot=3)) == 2
        lake.check("t")

    def test_a_foreign_writer_sees_a_conflict_with_ours(self, lake: Lake) -> None:
        """Our `changes_made` must name the tables, or a DuckLake transaction that began before
        would overwrite.
        """
        lake.publish("t", "a", DAY.format(5))
        lake.ducklake("BEGIN")
        lake.ducklake("DELETE FROM t WHERE id = 1")
        lake.publish("t", "a", DAY.format(6))
        with pytest.raises(DuckLakeError, match="Failed to commit"):
            lake.ducklake("COMMIT")
        (changes,) = lake.ducklake(
            f"SELECT changes::VARCHAR FROM lake.snapshots() WHERE snapshot_id = {lake.newest}"
        )
        assert "tables_inserted_into=[1]" in changes[0]
        assert "tables_deleted_from=[1]" in changes[0]
        lake.check("t")

    def test_long_keys_that_are_not_ascii_are_found_whatever_is_inserted_after(
        self, lake: Lake
    ) -> None:
        """DuckDB gives no bounds for them. DuckLake then forgets that the table's are unknown, and
        answers 0 rows.
        """
        long = "ü" * 10_000
        lake.publish("t", long, "SELECT 1 AS id, repeat('ü', 3000) AS note")
        lake.ducklake("INSERT INTO t VALUES ('2024', 2, 'a')")
        lake.publish("t", "2025", "SELECT 3 AS id, 'b' AS note")
        assert lake.rows("t", [long])[0][1] == "1"
        assert lake.ducklake("SELECT count(*) FROM t WHERE _partition > '3' AND note > 'c'") == [
            [1]
        ]
        lake.check("t")

    def test_text_with_a_nul_reads_back(self, lake: Lake) -> None:
        lake.publish("t", "a\0b", "SELECT 1 AS id, 'x' || chr(0) || 'y' AS note")
        lake.publish("t", "\0", "SELECT 2 AS id, chr(0) AS note")
        assert lake.rows("t", ["a\0b"]) == [["a\0b", "1", "x\0y"]]
        assert lake.rows("t", ["\0"]) == [["\0", "2", "\0"]]
        assert lake.ducklake("SELECT sum(id), max(_partition) FROM t WHERE note IS NOT NULL") == [
            [3, "a\0b"]
        ]

    def test_names_that_are_hostile_reach_nothing_but_their_columns(self, lake: Lake) -> None:
        name, column = 'x\'; DROP TABLE "t" --', "a\"b'; --{}$1"
        lake.publish("t", "a", DAY.format(5))
        lake.publish(
            name,
            "k'\"",
            f"SELECT 1 AS \"{column.replace(chr(34), chr(34) * 2)}\", {{'q\"x': 2, '__duckdb': 3}}"
            ' AS "s.t"',
        )
        lake.check(name)
        lake.check("t")
        assert not list(lake.data_folder.rglob("*DROP*"))

    def test_a_file_that_is_copied_elsewhere_is_refused(self, lake: Lake) -> None:
        """One file in two tables is deleted under the second when the first is cleaned."""
        staged, table = lake.stage("t", "a", DAY.format(5))
        with lake.change() as change:
            change.create_table(table)
            change.replace("t", ["a"], [staged])
        other, _ = lake.stage("u", "a", DAY.format(5))
        for path in (
            staged.path,
            "main/u/../t/x.parquet",
            "/etc/passwd",
            "main/u/x.csv",
            "main/u/",
            "u/x.parquet",
        ):
            moved = type(other)(
                **{field: getattr(other, field) for field in other.__struct_fields__}
                | {"path": path}
            )
            with pytest.raises(LakeError):
                _add(lake, LakeTable("u", table.columns), moved)

    def test_a_file_is_registered_once(self, lake: Lake) -> None:
        """DuckLake accepts the same file twice, and counts its rows twice."""
        staged, table = lake.stage("t", "a", DAY.format(5))
        with lake.change() as change:
            change.create_table(table)
            change.replace("t", ["a"], [staged])
        with pytest.raises(LakeError, match="registered"), lake.change() as change:
            change.replace("t", ["a"], [staged])
        shutil.copy(lake.data_folder / staged.path, lake.data_folder / "main/t/again.parquet")
        lake.check("t")

    def test_rows_without_a_partition_and_wrong_counts_are_refused(self, lake: Lake) -> None:
        """DuckLake enforces neither NOT NULL nor row counts for registered files."""
        staged, table = lake.stage("t", KeyExpression("'k'"), DAY.format(5))
        fields = {field: getattr(staged, field) for field in staged.__struct_fields__}
        of = staged.statistics["_partition"]
        nulls = type(of)(of.size_bytes, 4, 1, of.minimum, of.maximum)
        for wrong in (
            {"rows": 6},
            {"statistics": staged.statistics | {"_partition": nulls}},
            {"statistics": {}},
            {"partitions": staged.partitions * 2},
            {"partitions": ()},
        ):
            with pytest.raises(LakeError):
                _add(lake, table, type(staged)(**fields | wrong))
        assert lake.newest == 0

    def test_columns_of_several_tables_are_those_of_each(self, lake: Lake) -> None:
        """Catches: fields of a nested column as columns, and columns of a table by another's."""
        lake.publish("All", "k", f"{ALL_TYPES} FROM range(3)")
        lake.publish("t", "2024-01-01", DAY.format(3))
        found = catalog.read_columns_now(lake.tx, ["all", "t", "absent"])
        one, other = catalog.table(lake.tx, "All"), catalog.table(lake.tx, "t")
        assert one is not None and other is not None
        assert found == {"all": one.columns, "t": other.columns}
