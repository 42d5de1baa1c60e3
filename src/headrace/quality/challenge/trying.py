"""Make the faults one by one in published rows, and ask all checks about each, until all are made or the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from headrace.lake.session import quote
from headrace.model import CheckSpec
from headrace.quality.challenge import mutations, sample
from headrace.quality.challenge.asking import About, ask, is_routed
from headrace.quality.challenge.deadline import Deadline
from headrace.quality.challenge.gate import ChallengeGate, Usual
from headrace.quality.challenge.mutations import Mutation
from headrace.quality.challenge.sample import BEFORE, TABLE, ColumnFacts
from headrace.quality.results import CheckResult, CheckState

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession

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
    rows = sample.load(session, TABLE, subject.rows_sql, columns)
    facts = sample.facts(session, subject.about.columns, rows)
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
    if subject.before_sql and rows and sample.load(session, BEFORE, subject.before_sql, list(subject.about.columns)):
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
        rows = sample.count(session, TABLE)
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
