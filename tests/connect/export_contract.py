"""What every target of exports must keep to. A target subclasses `ExportTargetContract` with how it is
declared, read back and broken.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import Any

import msgspec
import pytest
from exportlab import Bench

from headrace.connect.exports import fence
from headrace.engine import ErrorKind
from headrace.runtime.messages import FailedOutcome, StagedOutcome, TaskOutcome

Row = dict[str, str | None]
ORDERS = "select * from (values (1, 'ann', 1.5::double), (2, 'bob', 2.25)) as t(id, who, amount)"
READ_BACK: list[Row] = [
    {"id": "1", "who": "ann", "amount": "1.5"},
    {"id": "2", "who": "bob", "amount": "2.25"},
]
HOSTILE_NAMES = (
    'q"uote',
    "a'); drop table x; --",
    "naïve ☃",
    "select",
    "$self",
    "a.b",
    "a/../b",
    "%s {0}",
    "*",
    "{date:%Y}",
    "=1+1",
)
HOSTILE_VALUES = (
    "",
    " ",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    '"',
    "'",
    ";",
    ",",
    "a\nb",
    "a\r\nb",
    "\t",
    "null",
    "NULL",
    "\\N",
    "\\.",
    "naïve ☃ 🛩",
    "\u202eabc",
    "'); drop table delays; --",
    "<script>",
    "0123",
    "1e5",
    "x" * 5_000,
    "%s",
    "{}",
    "\x1b[31m",
    "_x0041_",
)


class ExportTargetContract(ABC):
    """What holds for every target of an export: files, URLs and tables."""

    hostile_names: tuple[str, ...] = HOSTILE_NAMES
    null_is_empty = False
    """The format has no other word for what is missing."""
    repairable = True
    files = True
    """Each interval is a file of its own."""

    @abstractmethod
    def declared(self) -> dict[str, Any]:
        """`export:` of a consumer that is cut by day."""

    @abstractmethod
    def read_back(self, bench: Bench, interval: str) -> list[Row] | None:
        """The rows of an interval in their order, each value as text; None where there
        is nothing.
        """

    @abstractmethod
    def break_it(self, bench: Bench) -> None:
        """The destination goes away."""

    @abstractmethod
    def repair(self, bench: Bench) -> None:
        """It comes back."""

    def leftovers(self, bench: Bench) -> list[str]:
        """What lies at the destination besides exports."""
        return []

    @pytest.fixture
    def bench(self, export_bench: Bench) -> Bench:
        return export_bench

    def failed(self, outcome: TaskOutcome, code: str) -> str:
        assert isinstance(outcome, FailedOutcome)
        assert outcome.error.code == code
        return outcome.error.message

    # -- what is right

    def test_rows_arrive_in_order_with_their_columns(self, bench: Bench) -> None:
        """Would catch: lost rows, another order, the system column in what others get."""
        outcome = bench.export(self.declared(), bench.rows(ORDERS + " order by id desc"))
        assert self.read_back(bench, "2013-02-11") == READ_BACK
        (entry,) = outcome.manifest or ()
        assert (entry["asset"], entry["rows"]) == ("delays", 2)
        assert len(entry["sha256"]) == 64
        assert entry["size"] > 0
        assert outcome.measures.rows_out == 2
        assert self.leftovers(bench) == []

    def test_an_erasure_makes_nothing_that_is_not_there(self, bench: Bench) -> None:
        """Would catch: a file or a table that comes back because somebody's rows are erased."""
        task = bench.task(self.declared(), bench.rows(ORDERS), interval="2013-02-10")
        bench.export(self.declared(), bench.rows(ORDERS))
        before = self.read_back(bench, "2013-02-11")
        outcome = bench.perform(msgspec.structs.replace(task, erases=1))
        assert isinstance(outcome, StagedOutcome), outcome
        if self.files:
            assert [entry.get("gone") for entry in outcome.manifest or ()] == [True]
            assert self.read_back(bench, "2013-02-10") is None
        assert self.read_back(bench, "2013-02-11") == before
        assert self.leftovers(bench) == []

    @pytest.mark.parametrize("rows", [0, 1])
    def test_few_rows(self, bench: Bench, rows: int) -> None:
        """Would catch: an interval without rows that isn't there at all, so that nobody can tell it
        from a missing one.
        """
        bench.export(self.declared(), bench.rows(f"{ORDERS} where id <= {rows}"))
        assert self.read_back(bench, "2013-02-11") == READ_BACK[:rows]

    def test_intervals_stand_beside_each_other(self, bench: Bench) -> None:
        """Would catch: one day replacing another."""
        bench.export(self.declared(), bench.rows(f"{ORDERS} where id = 1"))
        bench.export(
            self.declared(),
            bench.rows(f"{ORDERS} where id = 2", interval="2013-02-12"),
            interval="2013-02-12",
        )
        assert self.read_back(bench, "2013-02-11") == READ_BACK[:1]
        assert self.read_back(bench, "2013-02-12") == READ_BACK[1:]

    def test_the_same_twice_is_the_same(self, bench: Bench) -> None:
        """Would catch: rows twice, another hash for the same rows in another order, bytes that hold
        the time of day."""
        first = bench.export(self.declared(), bench.rows(ORDERS))
        again = bench.export(self.declared(), bench.rows(ORDERS + " order by id desc"))
        assert again.sha256 == first.sha256
        assert again.manifest == first.manifest
        assert self.read_back(bench, "2013-02-11") == READ_BACK

    def test_a_correction_replaces(self, bench: Bench) -> None:
        """Would catch: the old rows staying beside the new ones."""
        first = bench.export(self.declared(), bench.rows(ORDERS))
        second = bench.export(self.declared(), bench.rows(f"{ORDERS} where id = 2"))
        assert second.sha256 != first.sha256
        assert self.read_back(bench, "2013-02-11") == READ_BACK[1:]

    def test_hostile_names_and_values(self, bench: Bench) -> None:
        """Would catch: names and values that become SQL, formulas, paths or columns of
        their own."""
        names = [name for name in HOSTILE_NAMES if name in self.hostile_names]
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        values = ", ".join("($hr$" + value + "$hr$)" for value in HOSTILE_VALUES)
        columns = ", ".join(f"v || '' as {name}" for name in quoted)
        bench.export(
            self.declared(), bench.rows(f"select v, {columns} from (values {values}) as t(v)")
        )
        rows = self.read_back(bench, "2013-02-11")
        assert rows is not None
        assert list(rows[0]) == ["v", *names]
        assert sorted(row["v"] or "" for row in rows) == sorted(HOSTILE_VALUES)
        assert all(row[name] == row["v"] for row in rows for name in names)

    def test_what_is_missing_stays_missing(self, bench: Bench) -> None:
        """Would catch: NULL exported as a text, or a row of nothing but NULL that is lost."""
        bench.export(
            self.declared(), bench.rows("select cast(null as varchar) as a union all select 'x'")
        )
        missing = "" if self.null_is_empty else None
        assert sorted(self.read_back(bench, "2013-02-11") or [], key=str) == sorted(
            [{"a": missing}, {"a": "x"}], key=str
        )

    # -- what goes wrong

    def test_a_kill_before_the_last_step_leaves_what_was_there(self, bench: Bench) -> None:
        """Would catch: half an export that can be seen, or one that keeps the next from working."""
        bench.export(self.declared(), bench.rows(ORDERS))
        task = bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 2"))
        with bench.stopped_before_it_is_visible(task) as process:
            assert self.read_back(bench, "2013-02-11") == READ_BACK
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert self.read_back(bench, "2013-02-11") == READ_BACK
        bench.export(self.declared(), *task.reads)
        assert self.read_back(bench, "2013-02-11") == READ_BACK[1:]
        assert self.leftovers(bench) == []

    def test_a_leader_that_was_overtaken_replaces_nothing(self, bench: Bench) -> None:
        """Would catch: an attempt that slept through a change of leaders putting old rows over new
        ones."""
        late = bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 1"), attempt="1.99")
        with fence.close_to_others(bench.folders.fence, 2):
            pass
        bench.export(self.declared(), bench.rows(ORDERS), attempt="2.1")
        outcome = bench.perform(late)
        assert isinstance(outcome, FailedOutcome)
        assert outcome.error.kind is ErrorKind.CANCELLED
        assert self.read_back(bench, "2013-02-11") == READ_BACK
        assert self.leftovers(bench) == []

    def test_a_destination_that_is_away_is_tried_again(self, bench: Bench) -> None:
        """Would catch: an outage that ends in a failure for good, or in half an export."""
        bench.export(self.declared(), bench.rows(ORDERS))
        self.break_it(bench)
        outcome = bench.perform(bench.task(self.declared(), bench.rows(f"{ORDERS} where id = 2")))
        self.failed(outcome, "destination_unavailable")
        assert isinstance(outcome, FailedOutcome)
        assert outcome.error.kind is ErrorKind.TRANSIENT
        self.repair(bench)
        bench.export(self.declared(), bench.rows(f"{ORDERS} where id = 2"))
        assert self.read_back(bench, "2013-02-11") == READ_BACK[1:]


TYPES = """select true as bool, 127::tinyint as i8, 9007199254740993::bigint as i64, 1.5::double as dbl, 'nan'::double as nan,
'-infinity'::double as ninf, 12345678901234567.89::decimal(20,2) as dec, 1.10::decimal(5,2) as small, date '2013-02-11' as d,
time '13:14:15.5' as t, timestamp '2013-02-11 13:14:15.25' as ts, timestamptz '2013-02-11 18:14:15+00' as tz,
interval '1 month 3 days' as iv, '6d1cef45-b197-47b5-899f-103b599f674a'::uuid as u, '\\xAA\\x00'::blob as b, [1, null, 3] as l,
{'a': 1, 'b': 'x"y'} as st, 18446744073709551615::ubigint as huge"""
"""One row of every type."""
