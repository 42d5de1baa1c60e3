"""Exports to tables of databases: the contract of exports over real ones, and what is
theirs alone.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from export_contract import HOSTILE_NAMES, ORDERS, READ_BACK, TYPES, ExportTargetContract, Row
from exportlab import Bench
from postgres_cluster import Cluster, Database

from headrace.connect.exports.registry import ExportFailed
from headrace.runtime.messages import FailedOutcome
from headrace_databases.exports import postgresql
from headrace_databases.exports.tables import LEDGER

LONG = """select [12345678901234567890.12::decimal(38,2)] as l,
  '[12345678901234567890.12]'::json as j"""


def test_a_missing_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: "unexpected module not found error" in place of what to install."""
    monkeypatch.delitem(sys.modules, postgresql.__name__)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with closing(Bench(tmp_path)) as bench:
        bench.connection = {"url": "postgresql://u@127.0.0.1:1/d"}
        target = {"to": {"connection": "warehouse", "table": "delays"}}
        outcome = bench.perform(bench.task(target, bench.rows(ORDERS)))
    assert isinstance(outcome, FailedOutcome) and outcome.error.code == "configuration_error"
    assert outcome.error.message.endswith("pip install 'headrace-databases[postgresql]'")


class TableContract(ExportTargetContract):
    files = False
    """`rows` runs a query at the destination."""

    def declared(self) -> dict[str, Any]:
        return {"to": {"connection": "warehouse", "table": "delays"}}

    def rows(self, bench: Bench, sql: str) -> list[dict[str, Any]]:
        raise NotImplementedError

    def read_back(self, bench: Bench, interval: str) -> list[Row] | None:
        result = self.rows(bench, f"select * from delays where _interval = '{interval}'")
        text = [
            {name: None if v is None else str(v) for name, v in row.items() if name != "_interval"}
            for row in result
        ]
        return sorted(text, key=lambda row: row.get("id") or "")

    def test_the_ledger_says_which_attempt_it_was(self, bench: Bench) -> None:
        """Would catch: an export that nobody can trace back."""
        outcome = bench.export(self.declared(), bench.rows(ORDERS), attempt="1.7")
        (row,) = self.rows(bench, f"select * from {LEDGER}")
        assert (
            row["consumer"],
            row["asset"],
            row["interval_key"],
            row["epoch"],
            row["n"],
            row["row_count"],
        ) == (
            "regulator-extract",
            "delays",
            "2013-02-11",
            1,
            7,
            2,
        )
        assert row["sha256"] == (outcome.manifest or ({},))[0]["sha256"]

    def test_an_older_attempt_doesnt_replace_a_newer_one(self, bench: Bench) -> None:
        """Would catch: two machines, where no file fences and the last to commit wins."""
        bench.export(self.declared(), bench.rows(ORDERS), attempt="1.9")
        outcome = bench.perform(
            bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 1"), attempt="1.8")
        )
        assert outcome.state == "failed"
        assert self.read_back(bench, "2013-02-11") == READ_BACK

    def test_a_rebuilt_project_takes_its_target_over(self, bench: Bench) -> None:
        """Would catch: a new state, whose epochs begin anew, that is refused for ever as older than
        the one before.
        """

        def export(project: str, attempt: str, take_over: str = "", only: str = "") -> Any:
            task = bench.task(self.declared(), bench.rows(ORDERS + only), attempt=attempt)
            return bench.perform(
                msgspec.structs.replace(task, project=project, take_over=take_over)
            )

        item = " where id = 1"
        assert export("before", "9.6").state == "staged"
        assert export("before", "9.5").state == "failed", "within one state a later attempt wins"
        refused = export("after", "1.2", only=item)
        assert refused.state == "failed"
        assert refused.error is not None
        assert "another project (state before)" in refused.error.message
        assert refused.error.hint.endswith(
            "headrace exports take-over regulator-extract --reason TEXT"
        )
        assert self.read_back(bench, "2013-02-11") == READ_BACK
        assert export("after", "1.3", "t1", item).state == "staged"
        assert self.read_back(bench, "2013-02-11") == READ_BACK[:1]
        assert export("after", "1.2", "t1").state == "failed", "its own epochs count again"
        assert export("before", "9.7").state == "failed", (
            "who was there before is refused from now on"
        )
        assert export("before", "9.7", "t2").state == "staged", "unless it takes it back"
        assert export("after", "1.9", "t1", item).state == "failed", "a take-over is good for once"

    def test_a_ledger_of_an_older_version_is_taken_over_too(self, bench: Bench) -> None:
        """Would catch: targets that were written before rows had a project."""
        bench.export(self.declared(), bench.rows(ORDERS), attempt="9.6")
        self.rows(bench, f"alter table {LEDGER} drop column project")
        task = bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 1"), attempt="1.2")
        refused = bench.perform(msgspec.structs.replace(task, project="after"))
        assert refused.error is not None
        assert "take-over regulator-extract" in refused.error.hint
        assert (
            bench.perform(msgspec.structs.replace(task, project="after", take_over="t1")).state
            == "staged"
        )
        assert self.read_back(bench, "2013-02-11") == READ_BACK[:1]

    def test_what_is_there_isnt_written_twice(self, bench: Bench) -> None:
        """Would catch: every redo after a kill rewriting a table; and rows deleted by hand that are
        thought to be there.
        """
        bench.export(self.declared(), bench.rows(ORDERS))
        before = self.places(bench)
        bench.export(self.declared(), bench.rows(ORDERS))
        assert self.places(bench) == before
        self.rows(bench, "delete from delays where id = 1")
        bench.export(self.declared(), bench.rows(ORDERS))
        assert self.read_back(bench, "2013-02-11") == READ_BACK

    def places(self, bench: Bench) -> list[Any]:
        """Where the rows lie: other places, where they were written again."""
        raise NotImplementedError

    def test_other_rows_of_a_table_stay(self, bench: Bench) -> None:
        """Would catch: a delete that goes too far."""
        bench.export(self.declared(), bench.rows(ORDERS))
        self.rows(bench, "insert into delays (id, _interval) values (99, 'theirs')")
        bench.export(self.declared(), bench.rows(f"{ORDERS} where id = 2"))
        assert [row["id"] for row in self.rows(bench, "select id from delays order by id")] == [
            2,
            99,
        ]

    def test_a_new_column_is_added(self, bench: Bench) -> None:
        """Would catch: an asset that gets a column, and exports that fail from then on."""
        bench.export(self.declared(), bench.rows(ORDERS))
        bench.export(
            self.declared(),
            bench.rows("select 3 as id, 'new' as extra", interval="2013-02-12"),
            interval="2013-02-12",
        )
        result = self.rows(bench, "select id, who, extra from delays order by id")
        assert [tuple(row.values()) for row in result] == [
            (1, "ann", None),
            (2, "bob", None),
            (3, None, "new"),
        ]

    def test_a_table_that_isnt_ours_is_left_alone(self, bench: Bench) -> None:
        """Would catch: somebody's own table emptied, because all of its rows were taken for an
        interval's.
        """
        self.rows(bench, "create table delays (id integer)")
        self.rows(bench, "insert into delays values (5)")
        message = self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(ORDERS))), "configuration_error"
        )
        assert "_interval" in message
        assert self.rows(bench, "select * from delays") == [{"id": 5}]

    def test_headraces_own_state_is_refused(self, bench: Bench) -> None:
        """Would catch: a connection that leads to the state, and an export in the middle of it."""
        for name in ("lease", "claim", "publication"):
            self.rows(bench, f"create table {name} (id integer)")
        assert "own state" in self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(ORDERS))), "configuration_error"
        )

    def test_the_whole_without_a_column_of_ours(self, bench: Bench) -> None:
        """Would catch: a column that was said not to be wanted, and rows that double."""
        declared = {"to": {"connection": "warehouse", "table": "delays", "interval_column": None}}
        for _ in range(2):
            bench.export(declared, bench.rows(ORDERS), interval="*")
        assert [set(row) for row in self.rows(bench, "select * from delays")] == [
            {"id", "who", "amount"}
        ] * 2

    def test_a_column_that_is_called_like_ours(self, bench: Bench) -> None:
        """Would catch: a column of the data overwritten by ours."""
        outcome = bench.perform(bench.task(self.declared(), bench.rows("select 1 as _INTERVAL")))
        assert "column _interval of its own" in self.failed(outcome, "configuration_error")

    def test_several_reads_are_several_tables_in_one_transaction(self, bench: Bench) -> None:
        """Would catch: one table replaced and the other not."""
        declared = {"to": {"connection": "warehouse", "table": "out_{asset}"}}
        bench.export(declared, bench.rows(ORDERS), bench.rows("select 7 as x", name="planes"))
        bad = bench.rows('select 7 as x, 1 as "_interval"', name="planes")
        assert (
            bench.perform(bench.task(declared, bench.rows(f"{ORDERS} where id = 1"), bad)).state
            == "failed"
        )
        assert len(self.rows(bench, "select * from out_delays")) == 2
        assert [row["x"] for row in self.rows(bench, "select x from out_planes")] == [7]


class TestSqlite(TableContract):
    @pytest.fixture
    def bench(self, export_bench: Bench) -> Bench:
        export_bench.connection = {"type": "sqlite", "path": "out/warehouse.db"}
        return export_bench

    def rows(self, bench: Bench, sql: str) -> list[dict[str, Any]]:
        (bench.root / "out").mkdir(exist_ok=True)
        connection = sqlite3.connect(bench.root / "out/warehouse.db", isolation_level=None)
        try:
            cursor = connection.execute(sql)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            connection.close()

    def places(self, bench: Bench) -> list[Any]:
        return self.rows(bench, "select rowid, * from delays")

    def break_it(self, bench: Bench) -> None:
        (bench.root / "out").rename(bench.root / "kept")
        (bench.root / "out").write_text("no folder")

    def repair(self, bench: Bench) -> None:
        (bench.root / "out").unlink()
        (bench.root / "kept").rename(bench.root / "out")

    def test_types_as_sqlite_has_them(self, bench: Bench) -> None:
        """Would catch: rounded numbers, text where numbers are wanted."""
        bench.export(self.declared(), bench.rows(TYPES))
        (row,) = self.rows(bench, "select * from delays")
        assert (
            row["dec"] == "12345678901234567.89"
            and row["small"] == 1.1
            and row["huge"] == "18446744073709551615"
        )
        assert (
            row["nan"] is None
            and row["bool"] == 1
            and row["b"] == b"\xaa\x00"
            and row["d"] == "2013-02-11"
        )
        assert row["ts"] == "2013-02-11T13:14:15.25" and row["l"] == "[1,null,3]"

    def test_decimals_in_lists_and_numbers_in_json(self, bench: Bench) -> None:
        """Would catch: `type 'list' is not supported`, and numbers of JSON that became doubles."""
        bench.export(self.declared(), bench.rows(LONG))
        (row,) = self.rows(bench, "select l, j from delays")
        assert (row["l"], row["j"]) == ("[12345678901234567890.12]", "[12345678901234567890.12]")

    def test_a_locked_file_is_tried_again(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Would catch: somebody's open transaction that ends the export for good."""
        monkeypatch.setattr("headrace_databases.exports.sqlite.BUSY_SECONDS", 0.05)
        bench.export(self.declared(), bench.rows(ORDERS))
        other = sqlite3.connect(bench.root / "out/warehouse.db", isolation_level=None)
        other.execute("begin exclusive")
        outcome = bench.perform(bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 2")))
        other.close()
        assert "locked" in self.failed(outcome, "destination_unavailable")

    def test_a_file_among_headraces_own_is_refused(self, bench: Bench) -> None:
        """Would catch: an export into the state, or into the lake."""
        (bench.root / "way").symlink_to(bench.root / ".headrace")
        bench.connection = {"type": "sqlite", "path": "way/x.db"}
        self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(ORDERS))), "configuration_error"
        )
        assert not (bench.root / ".headrace/x.db").exists()


class TestPostgresql(TableContract):
    hostile_names = tuple(name for name in HOSTILE_NAMES if len(name.encode()) <= 63)

    @pytest.fixture
    def bench(
        self, export_bench: Bench, postgresql: Database, monkeypatch: pytest.MonkeyPatch
    ) -> Bench:
        monkeypatch.setenv("EXPORT_PASSWORD", postgresql.password)
        export_bench.connection = {
            "type": "postgresql",
            "host": postgresql.host,
            "port": postgresql.port,
            "database": postgresql.name,
            "user": postgresql.user,
            "password": "${EXPORT_PASSWORD}",
        }
        self.database = postgresql
        return export_bench

    def rows(self, bench: Bench, sql: str) -> list[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(
            self.database.url, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = connection.execute(sql.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def places(self, bench: Bench) -> list[Any]:
        return self.rows(bench, "select ctid::text, xmin::text, * from delays")

    def break_it(self, bench: Bench) -> None:
        bench.connection = {**bench.connection, "port": 1}

    def repair(self, bench: Bench) -> None:
        bench.connection = {**bench.connection, "port": self.database.port}

    def test_types_as_postgresql_has_them(self, bench: Bench) -> None:
        """Would catch: everything as text, rounded numbers, times moved to another zone."""
        bench.export(self.declared(), bench.rows(TYPES))
        types = {
            row["column_name"]: row["data_type"]
            for row in self.rows(
                bench,
                "select column_name, data_type from information_schema.columns where table_name ="
                " 'delays'",
            )
        }
        assert [
            types[name]
            for name in ("bool", "i8", "dbl", "dec", "d", "tz", "u", "b", "l", "st", "iv")
        ] == [
            "boolean",
            "smallint",
            "double precision",
            "numeric",
            "date",
            "timestamp with time zone",
            "uuid",
            "bytea",
            "jsonb",
            "jsonb",
            "interval",
        ]
        (row,) = self.rows(
            bench,
            "select dec::text, huge::text, nan::text, tz at time zone 'UTC' as tz, b, l, st,"
            " iv::text from delays",
        )
        assert (row["dec"], row["huge"], row["nan"], bytes(row["b"])) == (
            "12345678901234567.89",
            "18446744073709551615",
            "NaN",
            b"\xaa\x00",
        )
        assert (str(row["tz"]), row["l"], row["st"], row["iv"]) == (
            "2013-02-11 18:14:15",
            [1, None, 3],
            {"a": 1, "b": 'x"y'},
            "1 mon 3 days",
        )

    def test_decimals_in_lists_and_numbers_in_json(self, bench: Bench) -> None:
        """Would catch: a list that is cast to a number, and numbers of JSON that became doubles."""
        bench.export(self.declared(), bench.rows(LONG))
        (row,) = self.rows(bench, "select l::text, j::text from delays")
        assert (row["l"], row["j"]) == ("[12345678901234567890.12]", "[12345678901234567890.12]")

    def test_json_with_a_key_twice_is_refused(self, bench: Bench) -> None:
        """Would catch: jsonb, which keeps the last of two values without a word."""
        text = "select '{}'::json as j, [{{'k': '{}'::json}}] as l"
        once, twice = '{"a": {"b": 1}, "b": 2, "a.b": [3, 3]}', '[{"a": {"b": 1, "b": 2}}]'
        for first, second in ((twice, once), (once, twice)):
            rows = bench.rows(text.format(first, second))
            outcome = bench.perform(bench.task(self.declared(), rows))
            column = "j" if first == twice else "l"
            message = self.failed(outcome, "configuration_error")
            assert f"column {column} has JSON with a key twice" in message
        bench.export(self.declared(), bench.rows(text.format(once, once)))
        (row,) = self.rows(bench, "select j, l from delays")
        assert row == {"j": json.loads(once), "l": [{"k": json.loads(once)}]}

    def test_nanoseconds_are_refused(self, bench: Bench) -> None:
        """Would catch: .123456789 that arrives as .123457."""
        text = "select '2026-01-01 10:00:00.123456{}'::timestamp_ns as n"
        outcome = bench.perform(bench.task(self.declared(), bench.rows(text.format("789"))))
        assert "column n has nanoseconds" in self.failed(outcome, "configuration_error")
        bench.export(self.declared(), bench.rows(text.format("000")))
        (row,) = self.rows(bench, "select n::text from delays")
        assert row["n"] == "2026-01-01 10:00:00.123456"

    def test_a_schema_of_its_own(self, bench: Bench) -> None:
        """Would catch: a dot that becomes part of a name."""
        self.rows(bench, "create schema reports")
        bench.export(
            {"to": {"connection": "warehouse", "table": "reports.delays"}}, bench.rows(ORDERS)
        )
        assert len(self.rows(bench, "select * from reports.delays")) == 2

    def test_headraces_own_schema_is_refused(self, bench: Bench) -> None:
        """Would catch: a table among those of a state that lies in a schema of its own."""
        self.rows(bench, "create schema ours")
        for name in ("lease", "claim", "publication"):
            self.rows(bench, f"create table ours.{name} (id integer)")
        declared = {"to": {"connection": "warehouse", "table": "ours.delays"}}
        assert "own state" in self.failed(
            bench.perform(bench.task(declared, bench.rows(ORDERS))), "configuration_error"
        )
        bench.export(self.declared(), bench.rows(ORDERS))

    def test_names_that_would_be_cut_are_refused(self, bench: Bench) -> None:
        """Would catch: two columns that become one after 63 bytes."""
        long = "x" * 64
        message = self.failed(
            bench.perform(bench.task(self.declared(), bench.rows(f"select 1 as {long}"))),
            "configuration_error",
        )
        assert "63 bytes" in message

    def test_a_wrong_password_is_told_without_it(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Would catch: the password in an error, and in what is kept of it."""
        monkeypatch.setenv("EXPORT_PASSWORD", "canary-4711")
        outcome = bench.perform(bench.task(self.declared(), bench.rows(ORDERS)))
        assert outcome.state == "failed"
        assert "canary-4711" not in repr(outcome)

    def test_a_text_that_postgresql_cant_hold(self, bench: Bench) -> None:
        """Would catch: half a table, or an endless retry."""
        outcome = bench.perform(
            bench.task(self.declared(), bench.rows("select 'a' || chr(0) as x"))
        )
        self.failed(outcome, "configuration_error")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            psycopg.errors.InsufficientPrivilege("permission denied for table delays"),
            "destination_unavailable",
        ),
        (
            psycopg.errors.InvalidPassword('password authentication failed for user "etl"'),
            "destination_unavailable",
        ),
        (
            psycopg.errors.ReadOnlySqlTransaction(
                "cannot execute INSERT in a read-only transaction"
            ),
            "destination_unavailable",
        ),
        (psycopg.errors.UndefinedColumn('column "x" does not exist'), "configuration_error"),
    ],
)
def test_rights_that_are_missing_are_no_fault_of_a_declaration(
    error: psycopg.Error, code: str
) -> None:
    """Would catch: "correct consumers.yaml:1" of a server on which somebody took a right away."""
    with pytest.raises(ExportFailed) as failed, postgresql._translated_errors():
        raise error
    assert failed.value.code == code


class TestPostgresqlThatEnds:
    @pytest.fixture
    def server(self, own_cluster: Cluster) -> Cluster:
        return own_cluster

    def test_a_server_that_crashes(self, export_bench: Bench, server: Cluster) -> None:
        """Would catch: an exception of the driver that ends the worker, or an attempt that isn't
        tried again.
        """
        export_bench.connection = {"url": server.main.url_of_socket}
        declared = {"to": {"connection": "warehouse", "table": "delays"}}
        export_bench.export(declared, export_bench.rows(ORDERS))
        server.crash()
        outcome = export_bench.perform(
            export_bench.task(declared, export_bench.rows(f"{ORDERS} where id = 2"))
        )
        assert isinstance(outcome, FailedOutcome)
        assert outcome.error.code == "destination_unavailable"
