"""Runs of a trial: both sides over the same inputs in locked-down DuckDB sessions.

Results are temporary tables of the sessions: nothing is staged, nothing is published.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import duckdb
import msgspec
from msgspec.structs import replace

from headrace.engine import landlock
from headrace.engine.compute import composed_of
from headrace.engine.failures import BodyFailed, shortened
from headrace.engine.macros import lent
from headrace.engine.query_thread import QueryThread
from headrace.engine.sandbox import access_of_queries
from headrace.extension import HeadraceError, Refused, command_line, first_line, of_error, quote
from headrace.lake.row_routing import bounds_of
from headrace.lake.session import DuckDBSession
from headrace.lake.sqltext import literal, source_sql
from headrace.lake.staging import write_rows
from headrace.lake.tables import FileRef, LakeTable, StagedFile
from headrace.model import Grain
from headrace.plan.trials import Compared, Side, Trial, TrialRun
from headrace.runtime.folders import Folders
from headrace.runtime.messages import ComputeTask
from headrace_advisor.analysis.idle_slots import IdleSlots

ROUNDS_MAX = 30
"""At most this many rounds of before, after, after, before for each partition."""
_INEXACT = ("FLOAT", "DOUBLE", "INTERVAL", "TIME WITH TIME ZONE")
"""Types with different values that compare as equal: 0.0 and -0.0, 30 days and 1 month."""
_ROUND = (Side.BEFORE, Side.AFTER, Side.AFTER, Side.BEFORE)
_DIGITS = 12
"""Floats that agree in this many digits differ in their last places only."""


class EngineSettings(msgspec.Struct, frozen=True):
    """The settings of a side's session."""

    threads: int
    memory_max_bytes: int | None


class TrialSide(NamedTuple):
    """One side over one partition: the task as a worker gets it, and the session's settings."""

    task: ComputeTask
    settings: EngineSettings


class SortedInput(NamedTuple):
    """An input of a reader, whose rows are written to new files: as they are, and sorted.

    It holds one partition. `columns` are those to sort by.
    """

    name: str
    table: LakeTable
    partition: str
    columns: tuple[str, ...]


class TrialPartition(NamedTuple):
    """Both sides over one partition."""

    key: str
    before: TrialSide
    after: TrialSide
    leaves_out: tuple[str, ...] = ()
    """The columns that the change takes out, which aren't compared."""
    sorted_input: SortedInput | None = None
    """The input that each side reads from files of its own."""
    splits: bool = False
    """Whether the side before computes all partitions, of whose rows only these are compared."""


class OutOfTime(HeadraceError):
    """The budget ended while a query ran."""


class TrialRunner:
    """Runs trials until a point in time, in a thread that reaches the lake only."""

    def __init__(
        self, folders: Folders, timezone: str, deadline: float, slots: IdleSlots | None
    ) -> None:
        """Each round begins when a slot is idle; at once without `slots`."""
        self._folders, self._timezone = folders, timezone
        self._budget = _Budget(deadline, slots)

    @property
    def left_s(self) -> float:
        """The seconds that are left of the budget."""
        return self._budget.left_s

    def run(
        self,
        partitions: Sequence[TrialPartition],
        *,
        timed: bool,
        done: Callable[[], None],
        each_asset: bool = False,
    ) -> Trial:
        """Compare the sides over each partition, and time them; call `done` after each.

        A difference ends the trial; with `each_asset`, only that of its asset. Raise Refused for a
        query that fails, with its error.
        """
        return _restricted(
            self._folders,
            lambda: self._run(partitions, timed=timed, done=done, each_asset=each_asset),
            self._budget.end,
        )

    def _run(
        self,
        partitions: Sequence[TrialPartition],
        *,
        timed: bool,
        done: Callable[[], None],
        each_asset: bool,
    ) -> Trial:
        compared: list[Compared] = []
        runs: list[TrialRun] = []
        differing: set[str] = set()
        for number, partition in enumerate(partitions):
            asset = partition.before.task.scope.asset
            if asset in differing or (differing and not each_asset):
                done()
                continue
            until = time.monotonic() + self.left_s / (len(partitions) - number)
            try:
                item, timed_runs = self._tried(partition, until, timed=timed)
            except OutOfTime:
                break
            compared.append(item)
            runs += timed_runs
            if item.difference is not None:
                differing.add(asset)
            done()
        reached = {item.partition for item in compared}
        unreached = tuple(item.key for item in partitions if item.key not in reached)
        return Trial(tuple(compared), tuple(runs), unreached, self._budget.waited_s)

    def _tried(
        self, partition: TrialPartition, until: float, *, timed: bool
    ) -> tuple[Compared, list[TrialRun]]:
        """Compare the sides over a partition; return also timed runs if they are equal."""
        with (
            _sessions(self._folders.lake, self._timezone, partition) as sessions,
            _Pair(partition, sessions, self._budget) as pair,
        ):
            compared = pair.compare()
            is_timed = timed and compared.difference is None
            return compared, pair.timed(until) if is_timed else []


class _Budget:
    """The time of a trial, of which waiting for idle slots takes its part."""

    def __init__(self, deadline: float, slots: IdleSlots | None) -> None:
        self.deadline, self._slots = deadline, slots
        self.interrupt: Callable[[], None] = lambda: None
        """Interrupts the query that runs."""

    def end(self) -> None:
        """End it now: in another thread a wait or a query ends, and no other one begins."""
        self.deadline = 0.0
        if self._slots is not None:
            self._slots.stop()
        self.interrupt()

    @property
    def left_s(self) -> float:
        """The seconds until it ends; negative afterwards."""
        return self.deadline - time.monotonic()

    @property
    def waited_s(self) -> float:
        """The seconds that rounds waited for an idle slot."""
        return 0.0 if self._slots is None else round(self._slots.waited_s, 3)

    def may_begin(self, until: float) -> bool:
        """Wait for an idle slot; False if there is none in time, or if waiting took the time."""
        if self.left_s <= 0:
            return False
        if self._slots is None:
            return True
        in_time = self._slots.wait(until) and self.left_s > 0
        return in_time and (not self._slots.waited_s or time.monotonic() < until)


def _restricted(folders: Folders, call: Callable[[], Trial], end: Callable[[], None]) -> Trial:
    """Run a call in a thread that may read and write the lake's folder, if the system can.

    `end` ends the call soon; it is called if this thread is interrupted meanwhile.
    """
    folders.temporary.mkdir(parents=True, exist_ok=True)
    if not landlock.abi():
        return call()
    thread = QueryThread(
        access_of_queries(read=(folders.raw,), write=(folders.lake, folders.temporary))
    )
    try:
        return thread.run(call)
    except BaseException:
        end()
        raise
    finally:
        thread.end()


_PROFILED = '{"SYSTEM_PEAK_BUFFER_MEMORY": "true"}'


class _Profile(msgspec.Struct):
    system_peak_buffer_memory: int | None = None


class _ProfiledSession(DuckDBSession):
    """A session that measures each statement."""

    def _lock_down(self, readable: Sequence[Path], timezone: str, ordered: bool) -> None:
        self.connection.execute("SET enable_profiling = 'no_output'")
        self.connection.execute(f"SET custom_profiling_settings = {literal(_PROFILED)}")
        super()._lock_down(readable, timezone, ordered)

    def peak_memory_bytes(self) -> int | None:
        """Return the peak of DuckDB's buffers in the last statement."""
        profile = msgspec.json.decode(self.connection.get_profiling_information(), type=_Profile)
        return profile.system_peak_buffer_memory


@contextlib.contextmanager
def _sessions(
    lake: Path, timezone: str, partition: TrialPartition
) -> Iterator[tuple[_ProfiledSession, _ProfiledSession]]:
    """Open a session for each side; one for both if their settings are the same."""
    with contextlib.ExitStack() as stack:
        opened: dict[EngineSettings, _ProfiledSession] = {}
        for side in (partition.before, partition.after):
            if side.settings not in opened:
                opened[side.settings] = stack.enter_context(
                    _ProfiledSession(
                        lake,
                        timezone=side.task.scope.timezone or timezone,
                        threads=side.settings.threads,
                        memory_max_bytes=side.settings.memory_max_bytes,
                    )
                )
        yield opened[partition.before.settings], opened[partition.after.settings]


class _Pair:
    """The two sides of one partition in their sessions."""

    def __init__(
        self,
        partition: TrialPartition,
        sessions: tuple[_ProfiledSession, _ProfiledSession],
        budget: _Budget,
    ) -> None:
        self._key, self._budget = partition.key, budget
        self._leaves_out = {column.lower() for column in partition.leaves_out}
        self._sides = {Side.BEFORE: partition.before, Side.AFTER: partition.after}
        self._sessions = dict(zip((Side.BEFORE, Side.AFTER), sessions, strict=True))
        self._warm_s = 0.0
        self._sorted_input, self._splits = partition.sorted_input, partition.splits
        self._rows = {side: str(side) for side in Side}
        """The compared rows of each side: a table, or a query in brackets."""
        self._written: list[StagedFile] = []
        """The files of an input that is rewritten, of the side before and of that after."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the files that were written for the trial."""
        folder = self._sessions[Side.BEFORE].data_folder
        for file in self._written:
            (folder / file.path).unlink(missing_ok=True)

    def compare(self) -> Compared:
        """Compute both sides once, which also warms them, and compare the rows.

        Raise OutOfTime if the budget ends before, also while it waits for an idle slot.
        """
        if not self._budget.may_begin(self._budget.deadline):
            raise OutOfTime("no slot was idle within the budget of the trial")
        if self._sorted_input is not None:
            self._write_input(self._sorted_input)
        self._warm_s = sum(self._compute(side).ms for side in Side) / 1000
        before, after = (self._columns(side) for side in Side)
        before = [column for column in before if column[0].lower() not in self._leaves_out]
        if self._splits:
            self._rows[Side.BEFORE] = self._rows_of_partition(before)
        with self._within_budget():
            difference = (
                _columns_differ(before, after) if before != after else self._difference(before)
            )
            rows = self._number(Side.BEFORE, f"SELECT count(*) FROM {self._rows[Side.BEFORE]}")
        before_bytes, after_bytes = [file.size_bytes for file in self._written] or (None, None)
        return Compared(self._key, rows, difference, before_bytes, after_bytes)

    def _rows_of_partition(self, columns: Sequence[tuple[str, str]]) -> str:
        """Return the rows before the change that are those of the partition after it."""
        task = self._sides[Side.AFTER].task
        scope, name = task.scope, task.partition_column or ""
        assert scope.grain is not None
        kind = next((kind for each, kind in columns if each.lower() == name.lower()), "")
        bounds = bounds_of(scope.partitions[0], Grain(scope.grain), scope.timezone, kind)
        inside = f"{quote(name)} >= {bounds.low} AND {quote(name)} < {bounds.high}"
        return f"(SELECT * FROM {Side.BEFORE} WHERE {inside})"

    def _write_input(self, sorted_input: SortedInput) -> None:
        """Write the rows of an input to a file for each side, which reads it from there."""
        order = ", ".join(quote(column) for column in sorted_input.columns)
        for side, clause in ((Side.BEFORE, ""), (Side.AFTER, f" ORDER BY {order}")):
            task, session = self._sides[side].task, self._sessions[side]
            (data,) = [each for each in task.inputs if each.name == sorted_input.name]
            rows = f"SELECT * FROM ({source_sql(data)}){clause}"
            try:
                with self._within_budget():
                    file = write_rows(session, rows, sorted_input.table, sorted_input.partition)
            except duckdb.Error as error:
                raise _failed(task, side, first_line(error)) from error
            self._written.append(file)
            inputs = tuple(
                replace(each, files=(FileRef(file.path),)) if each is data else each
                for each in task.inputs
            )
            self._sides[side] = self._sides[side]._replace(task=replace(task, inputs=inputs))

    def timed(self, until: float) -> list[TrialRun]:
        """Return runs in rounds of before, after, after, before.

        Their number follows from the time that is left and from the first runs, not from what the
        runs come to; there are fewer if waiting for idle slots takes the time.
        """
        left_s = until - time.monotonic()
        rounds = min(ROUNDS_MAX, int(left_s / max(2 * self._warm_s, 0.001)))
        for side in Side:
            self._drop(side)
        runs: list[TrialRun] = []
        for _ in range(rounds):
            if not self._budget.may_begin(until):
                break
            try:
                runs += [self._timed(side) for side in _ROUND]
            except OutOfTime:
                break
        return runs

    def _timed(self, side: Side) -> TrialRun:
        run = self._compute(side)
        self._drop(side)
        return run

    def _compute(self, side: Side) -> TrialRun:
        session, task = self._sessions[side], self._sides[side].task
        try:
            composed = composed_of(task)
            text = f"CREATE TEMP TABLE {side} AS {composed.text}"
            with lent(session, task.macros), self._within_budget():
                started = time.perf_counter()
                session.run(text, composed.parameters or None)
                ms = (time.perf_counter() - started) * 1000
        except BodyFailed as failure:
            raise _failed(task, side, failure.error.message) from failure
        except duckdb.Error as error:
            raise _failed(task, side, first_line(error)) from error
        return TrialRun(self._key, side, round(ms, 3), session.peak_memory_bytes())

    def _drop(self, side: Side) -> None:
        self._sessions[side].connection.execute(f"DROP TABLE IF EXISTS {side}")

    @contextlib.contextmanager
    def _within_budget(self) -> Iterator[None]:
        """Interrupt the queries inside when the budget ends, with OutOfTime."""
        connections = {id(each): each.connection for each in self._sessions.values()}

        def interrupt() -> None:
            for connection in connections.values():
                connection.interrupt()

        done = threading.Event()

        def end_in_time() -> None:
            # again and again: an interrupt before a query has begun is lost
            while not done.wait(min(max(self._budget.left_s, 0.1), 0.5)):
                if self._budget.left_s <= 0:
                    interrupt()

        if self._budget.left_s <= 0:
            raise OutOfTime("the budget of the trial has ended")
        threading.Thread(target=end_in_time, name="headrace trial's end", daemon=True).start()
        self._budget.interrupt = interrupt
        try:
            yield
        except duckdb.InterruptException as error:
            raise OutOfTime("the budget of the trial has ended") from error
        finally:
            done.set()
            self._budget.interrupt = lambda: None

    def _columns(self, side: Side) -> list[tuple[str, str]]:
        rows = self._sessions[side].connection.execute(f"DESCRIBE {side}").fetchall()
        return [(row[0], row[1]) for row in rows]

    def _number(self, side: Side, sql: str) -> int:
        row = self._sessions[side].row(sql)
        return int(row[0])

    def _difference(self, columns: Sequence[tuple[str, str]]) -> str | None:
        if self._sessions[Side.BEFORE] is self._sessions[Side.AFTER]:
            return self._rows_differ(columns)
        return self._fingerprints_differ(columns)

    def _rows_differ(self, columns: Sequence[tuple[str, str]]) -> str | None:
        """Return how the rows differ as multisets, in words; None if they are equal."""
        exact = ", ".join(_exact(name, kind) for name, kind in columns)
        before, after = self._rows[Side.BEFORE], self._rows[Side.AFTER]
        removed = self._number(Side.BEFORE, _except(exact, before, after))
        added = self._number(Side.BEFORE, _except(exact, after, before))
        if not removed and not added:
            return None
        rounded = ", ".join(_rounded(name, kind) for name, kind in columns)
        if rounded != exact and not any(
            self._number(Side.BEFORE, _except(rounded, *sides))
            for sides in ((before, after), (after, before))
        ):
            return f"{removed:,} rows differ, only in the last places of floats"
        return f"{removed:,} rows are missing and {added:,} are new"

    def _fingerprints_differ(self, columns: Sequence[tuple[str, str]]) -> str | None:
        """Return that the rows differ, by sums of hashes; None if they are equal."""
        values = ", ".join(_exact(name, kind) for name, kind in columns)
        sql = (
            f"SELECT count(*), sum(hash({values})), bit_xor(md5_number(CAST(row({values}) AS"
            " VARCHAR)))"
        )
        before, after = (
            self._sessions[side].connection.execute(f"{sql} FROM {self._rows[side]}").fetchone()
            for side in Side
        )
        return None if before == after else "the rows differ"


def _except(columns: str, rows: str, others: str) -> str:
    return (
        f"SELECT count(*) FROM (SELECT {columns} FROM {rows} EXCEPT ALL"
        f" SELECT {columns} FROM {others})"
    )


def _exact(name: str, kind: str) -> str:
    """Return a column so that only identical values are equal.

    The text of a float tells all floats apart.
    """
    column = quote(name)
    if not any(part in kind for part in _INEXACT):
        return column
    return f"{column}, CAST({column} AS VARCHAR)"


def _rounded(name: str, kind: str) -> str:
    column = quote(name)
    return (
        f"printf('%.{_DIGITS}g', {column})" if kind in ("FLOAT", "DOUBLE") else _exact(name, kind)
    )


def _columns_differ(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> str:
    if [name for name, _ in before] != [name for name, _ in after]:
        return f"the columns differ: {_names(before)} before, {_names(after)} after"
    changed = (
        f"{name} is {old} before and {new} after"
        for (name, old), (_, new) in zip(before, after, strict=True)
        if old != new
    )
    return f"the types differ: {', '.join(changed)}"


def _names(columns: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in columns[:20])


def _failed(task: ComputeTask, side: Side, message: str) -> Refused:
    """Return the error of a query; without its words where they may hold classified values."""
    words = "the query failed" if task.classified_inputs else of_error(shortened(message))
    target = f"{task.scope.asset}@{task.scope.partitions[0]}"
    return Refused(f"{target}, {side} the change: {words}", hint=command_line("try", target))
