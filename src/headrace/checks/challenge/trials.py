"""Trials of checks: each fault is made in published rows, and each check gets a verdict."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from headrace.checks.challenge import mutations
from headrace.checks.challenge.gate import About, ChallengeGate, Usual, ask, is_routed
from headrace.checks.challenge.mutations import BEFORE, TABLE, ColumnFacts, Mutation
from headrace.checks.results import CheckResult, CheckState
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec, Severity

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# A time limit for a session: a statement that still runs when it is over is interrupted.

AGAIN_S = 0.05
"""So often it is ended once more: one statement may follow the other."""


class Deadline:
    """Within, statements of the session are interrupted from so many seconds on. What was computed is good while it isn't `over`."""

    def __init__(self, session: DuckDBSession, seconds: float) -> None:
        self._session, self._until = session, time.monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self._until

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        wait = max(0.0, self._until - time.monotonic())
        while not self._done.wait(wait):
            self._session.connection.interrupt()
            wait = AGAIN_S


# Makes the faults one by one and asks all checks about each, until all are made or the time is
# over.

REPEATED = 5
"""How often each check is asked about the same rows: one that changes its mind is flaky. The median is its cost."""
REPEATED_SHARE = 0.2
"""Of the time at most, for all checks together."""
COUNTED_AT_ONCE = 50


class ChallengeSubject(msgspec.Struct, frozen=True):
    """Published rows, as SELECTs over their files, and the checks on them."""

    about: About
    rows_sql: str
    checks: tuple[CheckSpec, ...]
    before_sql: str = ""
    """The rows of the partition before; empty where there is none."""
    step: str = "INTERVAL 1 DAY"
    """From the partition before to this one."""
    usual: Usual = Usual()
    """What the rows are judged beside."""


class CheckTrial(msgspec.Struct, frozen=True):
    """One check on the rows as they are: what it came to each time, and the median of how long it took, in milliseconds. Of one that
    took longer than there was time for, there is neither."""

    results: tuple[CheckResult, ...]
    cost_ms: float | None

    @property
    def flaky(self) -> bool:
        """Whether it gave different answers about the same rows."""
        return len({(result.outcome, result.failing) for result in self.results}) > 1

    @property
    def first(self) -> CheckResult | None:
        """The first answer, to which others are compared."""
        return self.results[0] if self.results else None


class MutationTrial(msgspec.Struct, frozen=True):
    """One mutation, in how many rows it changes something, how many there are then, and what each check said, by name.
    `routed`: each row still says that it is of its partition. `gate`: what else the gate says of it (`contract`, or a
    kind of cause), which it doesn't say of the rows as they are."""

    mutation: Mutation
    changed: int
    left: int
    results: dict[str, CheckResult]
    routed: bool
    gate: tuple[str, ...] = ()


class _Plan(NamedTuple):
    mutation: Mutation
    changed: int
    left: int


class Challenged(msgspec.Struct, frozen=True, dict=True):
    """All that was asked. `finished`: all mutations were tried, and none is left for want of time."""

    rows: int
    facts: tuple[ColumnFacts, ...]
    asked: dict[str, CheckTrial]
    tried: tuple[MutationTrial, ...]
    finished: bool

    def caught(self, check: str) -> list[MutationTrial]:
        """The mutations that a check notices: it fails, and in more rows than it does without."""
        before = self.asked[check].first
        if before is None:
            return []
        already = before.failing if before.outcome is CheckState.FAILED else -1
        return [trial for trial in self.tried if (got := trial.results[check]).outcome is CheckState.FAILED and got.failing > already]

    @property
    def noticed(self) -> list[MutationTrial]:
        """The mutations that a check notices, or the audit itself."""
        unnoticed = {id(trial) for trial in self.unnoticed}
        return [trial for trial in self.tried if id(trial) not in unnoticed]

    @property
    def unnoticed(self) -> list[MutationTrial]:
        """The mutations that nothing of the gate notices."""
        return [trial for trial in self.tried if self.noticed_by(trial) is None]

    def noticed_by(self, trial: MutationTrial) -> str | None:
        """What notices a mutation first: `check`, `partition` (rows of another one), `contract`, or a kind of cause; None: nothing."""
        if id(trial) in self._noticed_by_checks:
            return "check"
        if not trial.routed:
            return "partition"
        return trial.gate[0] if trial.gate else None

    @cached_property
    def _noticed_by_checks(self) -> set[int]:
        steady = [name for name, trial in self.asked.items() if not trial.flaky]  # chance notices nothing
        return {id(trial) for check in steady for trial in self.caught(check)}


def challenge(session: DuckDBSession, subject: ChallengeSubject, seconds: float, advance: Callable[[], None]) -> Challenged:
    """What the checks of one partition notice, within so many seconds. `advance` is called after each mutation.

    Raises `duckdb.Error` for files that can't be read.
    """
    columns = list(subject.about.columns)
    rows = mutations.load(session, TABLE, subject.rows_sql, columns)
    facts = mutations.facts(session, subject.about.columns, rows)
    with Deadline(session, seconds) as deadline:
        allowed = seconds * REPEATED_SHARE / max(1, len(subject.checks))
        trials = {check.name: _asked(session, subject, check, rows, deadline, allowed) for check in subject.checks}
        tried, finished = _tried(session, subject, facts, deadline, advance)
    return Challenged(rows, facts, trials, tried, finished)


def _asked(
    session: DuckDBSession, subject: ChallengeSubject, check: CheckSpec, rows: int, deadline: Deadline, allowed: float
) -> CheckTrial:
    """Twice in any case, and more often while that takes no longer than `allowed` seconds."""
    results: list[CheckResult] = []
    took: list[float] = []
    select = as_is(subject.about)
    while len(results) < REPEATED and not deadline.over and (len(results) < 2 or sum(took) < allowed):
        started = time.monotonic()
        (result,) = ask(session, subject.about, [check], select, rows)
        if not deadline.over:  # else it may have been ended before it was done
            results.append(result)
            took.append(time.monotonic() - started)
    return CheckTrial(tuple(results), sorted(took)[len(took) // 2] * 1000 if took else None)


def as_is(about: About) -> str:
    """The rows as they are published."""
    return Mutation(mutations.MutationKind.NULLS, "").select(list(about.columns))


def _planned(session: DuckDBSession, subject: ChallengeSubject, facts: Sequence[ColumnFacts], rows: int) -> Iterator[_Plan]:
    """The mutations that change something; of columns, some are looked at at once."""
    yield from (_of_rows(session, row, rows) for row in mutations.of_rows(rows))
    if subject.before_sql and rows and mutations.load(session, BEFORE, subject.before_sql, list(subject.about.columns)):
        yield from _again(session, mutations.stale(_routing(subject.about, facts), subject.step), subject)
    yield from _changing(session, mutations.of_columns(facts, _referring(subject.checks)), rows)


def _routing(about: About, facts: Sequence[ColumnFacts]) -> ColumnFacts | None:
    wanted = about.routing[0].lower() if about.routing else ""
    return next((column for column in facts if column.name.lower() == wanted), None)


def _referring(checks: Sequence[CheckSpec]) -> frozenset[str]:
    return frozenset(str(check.arguments["column"]).lower() for check in checks if check.kind == "references")


def _of_rows(session: DuckDBSession, mutation: Mutation, rows: int) -> _Plan:
    results = session.connection.execute(f"SELECT count(*) {mutation.rows}").fetchone()
    left = int(results[0]) if results else 0
    return _Plan(mutation, abs(rows - left), left)


def _again(session: DuckDBSession, again: Mutation, subject: ChallengeSubject) -> list[_Plan]:
    """The rows that are there once more; none where they are those that are there anyway."""
    given = again.select(list(subject.about.columns))
    counted = f"SELECT (SELECT count(*) FROM ({given})), count(*) FROM ({given} EXCEPT ALL {as_is(subject.about)})"
    left, others = session.connection.execute(counted).fetchone() or (0, 0)
    return [_Plan(again, left, left)] if others else []


def _changing(session: DuckDBSession, results: Sequence[Mutation], rows: int) -> Iterator[_Plan]:
    for at in range(0, len(results), COUNTED_AT_ONCE):
        some = results[at : at + COUNTED_AT_ONCE]
        wanted = ", ".join(f"count(*) FILTER (WHERE {mutation.differs})" for mutation in some)
        counts = session.connection.execute(f"SELECT {wanted} FROM {quote(TABLE)}").fetchone() or ()
        yield from (_Plan(mutation, int(count), rows) for mutation, count in zip(some, counts, strict=True) if count)


def _moves(mutation: Mutation, about: About) -> bool:
    """Whether rows may say another partition than before."""
    if about.routing is None:
        return False
    return mutation.source != TABLE or about.routing[0].lower() in {name.lower() for name in mutation.columns}


def _tried(
    session: DuckDBSession, subject: ChallengeSubject, facts: Sequence[ColumnFacts], deadline: Deadline, advance: Callable[[], None]
) -> tuple[tuple[MutationTrial, ...], bool]:
    """What was tried, and whether that is everything."""
    import duckdb

    trials: list[MutationTrial] = []
    try:
        rows = mutations.count(session, TABLE)
        gate = ChallengeGate(session, subject.about, subject.usual)
        gate.measure(as_is(subject.about), rows)
        promised = _promised(session, subject, rows)
        for plan in _planned(session, subject, facts, rows):
            trial = _try(session, subject, plan, gate, promised)
            if deadline.over:  # it may have been ended before it was done
                return tuple(trials), False
            trials.append(trial)
            advance()
    except duckdb.InterruptException:
        return tuple(trials), False
    return tuple(trials), True


def _promised(session: DuckDBSession, subject: ChallengeSubject, rows: int) -> dict[str, int]:
    """What the contract promises, each with how many rows break it as they are."""
    results = ask(session, subject.about, subject.usual.promised, as_is(subject.about), rows)
    return {result.name: result.failing for result in results}


def _try(session: DuckDBSession, subject: ChallengeSubject, plan: _Plan, gate: ChallengeGate, promised: Mapping[str, int]) -> MutationTrial:
    mutation, changed, left = plan
    select = mutation.select(list(subject.about.columns))
    results = ask(session, subject.about, (*subject.checks, *subject.usual.promised), select, left)
    check_results, by_contract = results[: len(subject.checks)], results[len(subject.checks) :]
    broken = [
        check_result
        for check_result in by_contract
        if check_result.outcome is CheckState.FAILED and check_result.failing > promised[check_result.name]
    ]
    says = (*(("contract",) if broken else ()), *gate.says(mutation, select, left))
    routed = not _moves(mutation, subject.about) or is_routed(session, subject.about, select, left)
    return MutationTrial(mutation, changed, left, {check_result.name: check_result for check_result in check_results}, routed, says)


# The verdict on a check: from what it noticed, its past results, and the other checks of its
# node. Pure.

SHOWN_MAX = 3
ALIKE_MIN = 2
"""Two checks of different kinds have to notice so many mutations, and the same, before one is called the other's duplicate."""


class ChallengeVerdict(enum.StrEnum):
    """INTERFACE §3."""

    EFFECTIVE = "effective"
    CANNOT_FAIL = "cannot_fail"
    DUPLICATE = "duplicate"
    FLAKY = "flaky"
    NEVER_RAN = "never_ran"


class CheckHistory(msgspec.Struct, frozen=True):
    """What a check came to before: in how many attempts it looked at rows, and where it changed its mind about the same data."""

    ran: int = 0
    flips: tuple[str, ...] = ()
    """Partitions."""


class CheckAssessment(msgspec.Struct, frozen=True):
    """The verdict (None where the time was over before any could be found) and what it rests on, in one sentence."""

    verdict: ChallengeVerdict | None
    evidence: str
    caught: tuple[str, ...] = ()
    """What it noticed, in words."""


def verdict_on(check: CheckSpec, others: Sequence[CheckSpec], result: Challenged | None, past: CheckHistory) -> CheckAssessment:
    """What is to be said of one check among the `others` of its node (itself included). `found` is None without published rows."""
    if past.flips:
        return CheckAssessment(ChallengeVerdict.FLAKY, f"it changed its mind about the same data: {_listed(past.flips)}")
    if result is None:
        return CheckAssessment(
            ChallengeVerdict.NEVER_RAN, "nothing is published that it could look at" if not past.ran else "no rows are published now"
        )
    trial, caught = result.asked[check.name], result.caught(check.name)
    said = tuple(trial.mutation.says for trial in caught)
    if trial.first is None:
        return CheckAssessment(None, "the time was over before it had an answer")
    if trial.flaky:
        return CheckAssessment(
            ChallengeVerdict.FLAKY, f"asked {len(trial.results)} times about the same rows, it gave different answers", said
        )
    if trial.first.detail.startswith("can't be checked"):
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, trial.first.detail)
    if not caught:
        return _uncaught(check, result)
    twin = duplicate(check, others, result)
    if twin is not None:
        return CheckAssessment(ChallengeVerdict.DUPLICATE, twin, said)
    if not past.ran:
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, f"no attempt has asked it yet; it would notice {_listed(said)}", said)
    return CheckAssessment(ChallengeVerdict.EFFECTIVE, f"it notices {_listed(said)}", said)


def _uncaught(check: CheckSpec, result: Challenged) -> CheckAssessment:
    first, tried = result.asked[check.name].first, len(result.tried)
    if first is not None and first.outcome is CheckState.FAILED:
        return CheckAssessment(ChallengeVerdict.EFFECTIVE, f"it fails on the rows as they are, in {first.failing:,} of {first.rows:,}")
    if not result.rows:
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, "there are no rows to change")
    if not result.finished:
        return CheckAssessment(None, f"the time was over: it noticed none of the {tried} mutations until then")
    if check.where is not None and first is not None and first.rows == 0:
        return CheckAssessment(ChallengeVerdict.CANNOT_FAIL, f"its `where` is true of none of {result.rows:,} rows")
    return CheckAssessment(ChallengeVerdict.CANNOT_FAIL, f"it noticed none of {tried} mutations of {result.rows:,} rows")


def duplicate(check: CheckSpec, others: Sequence[CheckSpec], result: Challenged) -> str | None:
    """Why the check says nothing that another doesn't say; None where it does. Of two that say the same, it is the later."""
    at = [other.name for other in others].index(check.name)
    for number, other in enumerate(others):
        if number == at or (other.severity is Severity.WARNING and check.severity is Severity.BLOCKING):
            continue
        both_ways = _implied(other, check) and other.severity == check.severity
        if _implied(check, other) and (number < at or not both_ways):
            return f"`{other.name}` fails wherever it does"
        if number < at and _alike(check, other, result):
            return f"`{other.name}` notices the same {len(result.caught(check.name))} mutations"
    return None


def _implied(check: CheckSpec, by: CheckSpec) -> bool:
    """Whether rows that pass `by` pass the check, as their arguments say."""
    if check.kind != by.kind or check.kind not in _IMPLIES:
        return False
    if by.where != check.where and (by.where is not None or check.kind in _OF_ALL_ROWS):
        return False
    return _IMPLIES[check.kind](check.arguments, by.arguments)


def _same_column(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return str(ours["column"]).lower() == str(theirs["column"]).lower()


def _columns(arguments: Mapping[str, Any]) -> frozenset[str]:
    columns = arguments["columns"]
    return frozenset(str(column).lower() for column in columns) if isinstance(columns, list | tuple) else frozenset()


def _wider(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether our bounds let through all that theirs do. Bounds of texts are compared only where they are the same."""
    for name, sign in (("min", 1), ("max", -1)):
        own, other = ours.get(name), theirs.get(name)
        if own is None:
            continue
        if isinstance(own, int | float) and isinstance(other, int | float):
            if sign * own > sign * other:
                return False
        elif own != other:
            return False
    return True


def _values(arguments: Mapping[str, Any]) -> frozenset[str]:
    values = arguments["values"]
    return frozenset(repr(value) for value in values) if isinstance(values, list | tuple) else frozenset()


_IMPLIES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "not_null": lambda ours, theirs: _columns(ours) <= _columns(theirs),
    "unique": lambda ours, theirs: _columns(ours) >= _columns(theirs),
    "range": lambda ours, theirs: _same_column(ours, theirs) and _wider(ours, theirs),
    "row_count": _wider,
    "accepted_values": lambda ours, theirs: _same_column(ours, theirs) and _values(ours) >= _values(theirs),
    "regex": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["pattern"] == theirs["pattern"]),
    "references": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["to"] == theirs["to"]),
    "freshness": lambda ours, theirs: _same_column(ours, theirs) and bool(ours["max_age"] == theirs["max_age"]),
    "sql": lambda ours, theirs: bool(ours["query"] == theirs["query"]),
}


_OF_ALL_ROWS = ("row_count", "freshness")
"""Kinds of which a part of the rows may fail where all of them pass."""


def _alike(check: CheckSpec, other: CheckSpec, result: Challenged) -> bool:
    """Whether two checks, of which one is a query, notice the same mutations in as many rows. Keys that repeat are counted by
    rows or by keys, so of `unique` it is enough that it notices the same."""
    kinds = {check.kind, other.kind}
    if "sql" not in kinds or check.where != other.where:
        return False
    ours, theirs = result.caught(check.name), result.caught(other.name)
    if len(ours) < ALIKE_MIN or [id(trial) for trial in ours] != [id(mutation_trial) for mutation_trial in theirs]:
        return False
    return "unique" in kinds or all(trial.results[check.name].failing == trial.results[other.name].failing for trial in ours)


def _listed(texts: Sequence[str]) -> str:
    text = "; ".join(texts[:SHOWN_MAX])
    return text if len(texts) <= SHOWN_MAX else f"{text}; and {len(texts) - SHOWN_MAX} more"
