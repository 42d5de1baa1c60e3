"""Trials of checks: inject each fault into published rows and assess each check."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from headrace.checks.audits_of_queries import About, ask
from headrace.checks.check_kinds import known_kind
from headrace.checks.evaluation import UNCHECKABLE
from headrace.checks.proposals import MutationKind
from headrace.checks.results import CheckResult, CheckState
from headrace.lake.sqltext import quote
from headrace.model import CheckSpec, Severity
from headrace_advisor.challenge import mutations
from headrace_advisor.challenge.gate import ChallengeGate, Usual, is_routed
from headrace_advisor.challenge.mutations import BEFORE, TABLE, ColumnFacts, Mutation

if TYPE_CHECKING:
    from headrace.lake.session import DuckDBSession


# A time limit for a session: it interrupts the statement that runs when the time is over.

AGAIN_S = 0.05
"""The interval of repeated interrupts in seconds, since further statements may follow."""


class Deadline:
    """Interrupts the session's statements after a number of seconds.

    Results are valid if the deadline isn't `over` when they arrive.
    """

    def __init__(self, session: DuckDBSession, seconds: float) -> None:
        self._session, self._until = session, time.monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def over(self) -> bool:
        """Return whether the time has passed."""
        return time.monotonic() >= self._until

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        wait = max(0.0, self._until - time.monotonic())
        while not self._done.wait(wait):
            self._session.connection.interrupt()
            wait = AGAIN_S


# Injects the faults one by one and runs all checks on each, until all are done or the time is over.

REPEATED = 5
"""The maximum number of runs of a check on the same rows: differing results mean flaky.

The median duration is the check's cost.
"""
REPEATED_SHARE = 0.2
"""The maximum share of the time for the repetitions of all checks together."""
COUNTED_AT_ONCE = 50


class ChallengeSubject(msgspec.Struct, frozen=True):
    """Published rows, as SELECTs over their files, and the checks on them."""

    about: About
    rows_sql: str
    checks: tuple[CheckSpec, ...]
    before_sql: str = ""
    """A SELECT of the previous partition's rows; empty if there is none."""
    step: str = "INTERVAL 1 DAY"
    """The distance from the previous partition to this one."""
    usual: Usual = Usual()
    """The context in which an audit evaluates the rows."""


class CheckTrial(msgspec.Struct, frozen=True):
    """One check on the original rows: all its results and its median duration in milliseconds.

    Both are missing if the check took longer than the deadline.
    """

    results: tuple[CheckResult, ...]
    cost_ms: float | None

    @property
    def flaky(self) -> bool:
        """Return whether the check gave different results for the same rows."""
        return len({(result.outcome, result.failing) for result in self.results}) > 1

    @property
    def first(self) -> CheckResult | None:
        """Return the first result, with which others are compared."""
        return self.results[0] if self.results else None


class MutationTrial(msgspec.Struct, frozen=True):
    """One mutation with its effects: rows changed, rows left, and the result of each check by name.

    `routed`: whether each row still belongs to its partition. `gate`: further problems that the
    gate reports (`contract`, or a kind of cause) but doesn't report for the original rows.
    """

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
    """The results of a challenge; `finished`: whether all mutations were tried in time."""

    rows: int
    facts: tuple[ColumnFacts, ...]
    trials: dict[str, CheckTrial]
    tried: tuple[MutationTrial, ...]
    finished: bool

    def caught(self, check: str) -> list[MutationTrial]:
        """Return the mutations that a check notices: it fails in more rows than originally."""
        before = self.trials[check].first
        if before is None:
            return []
        already = before.failing if before.outcome is CheckState.FAILED else -1
        return [
            trial
            for trial in self.tried
            if (got := trial.results[check]).outcome is CheckState.FAILED and got.failing > already
        ]

    @property
    def noticed(self) -> list[MutationTrial]:
        """Return the mutations that a check or the audit itself notices."""
        unnoticed = {id(trial) for trial in self.unnoticed}
        return [trial for trial in self.tried if id(trial) not in unnoticed]

    @property
    def unnoticed(self) -> list[MutationTrial]:
        """Return the mutations that nothing in the gate notices."""
        return [trial for trial in self.tried if self.noticed_by(trial) is None]

    def noticed_by(self, trial: MutationTrial) -> str | None:
        """Return what notices a mutation first.

        This is `check`, `partition` (rows of another one), `contract`, a kind of cause, or None.
        """
        if id(trial) in self._noticed_by_checks:
            return "check"
        if not trial.routed:
            return "partition"
        return trial.gate[0] if trial.gate else None

    @cached_property
    def _noticed_by_checks(self) -> set[int]:
        steady = [
            name for name, trial in self.trials.items() if not trial.flaky
        ]  # a flaky check fails by chance
        return {id(trial) for check in steady for trial in self.caught(check)}


def challenge(
    session: DuckDBSession, subject: ChallengeSubject, seconds: float, advance: Callable[[], None]
) -> Challenged:
    """Challenge the checks of one partition for `seconds` and return the results.

    `advance` is called after each mutation. Raises `duckdb.Error` for unreadable files.
    """
    columns = list(subject.about.columns)
    rows = mutations.load(session, TABLE, subject.rows_sql, columns)
    facts = mutations.facts(session, subject.about.columns, rows)
    with Deadline(session, seconds) as deadline:
        allowed = seconds * REPEATED_SHARE / max(1, len(subject.checks))
        trials = {
            check.name: _asked(session, subject, check, rows, deadline, allowed)
            for check in subject.checks
        }
        tried, finished = _tried(session, subject, facts, deadline, advance)
    return Challenged(rows, facts, trials, tried, finished)


def _asked(
    session: DuckDBSession,
    subject: ChallengeSubject,
    check: CheckSpec,
    rows: int,
    deadline: Deadline,
    allowed: float,
) -> CheckTrial:
    """Run a check at least twice, and more often while that takes less than `allowed` seconds."""
    results: list[CheckResult] = []
    took: list[float] = []
    select = as_is(subject.about)
    while (
        len(results) < REPEATED and not deadline.over and (len(results) < 2 or sum(took) < allowed)
    ):
        started = time.monotonic()
        (result,) = ask(session, subject.about, [check], select, rows)
        if not deadline.over:  # otherwise it may have been interrupted
            results.append(result)
            took.append(time.monotonic() - started)
    return CheckTrial(tuple(results), sorted(took)[len(took) // 2] * 1000 if took else None)


def as_is(about: About) -> str:
    """Return a SELECT of the rows as published."""
    return Mutation(MutationKind.NULLS, "").select(list(about.columns))


def _planned(
    session: DuckDBSession, subject: ChallengeSubject, facts: Sequence[ColumnFacts], rows: int
) -> Iterator[_Plan]:
    """Return the mutations that change something; several column mutations share a query."""
    yield from (_of_rows(session, row, rows) for row in mutations.of_rows(rows))
    if (
        subject.before_sql
        and rows
        and mutations.load(session, BEFORE, subject.before_sql, list(subject.about.columns))
    ):
        yield from _again(
            session, mutations.stale(_routing(subject.about, facts), subject.step), subject
        )
    yield from _changing(session, mutations.of_columns(facts, _referring(subject.checks)), rows)


def _routing(about: About, facts: Sequence[ColumnFacts]) -> ColumnFacts | None:
    routing_column = about.routing[0].lower() if about.routing else ""
    return next((column for column in facts if column.name.lower() == routing_column), None)


def _referring(checks: Sequence[CheckSpec]) -> frozenset[str]:
    return frozenset(
        str(check.arguments["column"]).lower() for check in checks if check.kind == "references"
    )


def _of_rows(session: DuckDBSession, mutation: Mutation, rows: int) -> _Plan:
    results = session.connection.execute(f"SELECT count(*) {mutation.rows}").fetchone()
    left = int(results[0]) if results else 0
    return _Plan(mutation, abs(rows - left), left)


def _again(session: DuckDBSession, again: Mutation, subject: ChallengeSubject) -> list[_Plan]:
    """Return the plan for stale rows, unless they equal the current rows."""
    stale_select = again.select(list(subject.about.columns))
    counted = (
        f"SELECT (SELECT count(*) FROM ({stale_select})), count(*) FROM ({stale_select} EXCEPT ALL"
        f" {as_is(subject.about)})"
    )
    left, others = session.connection.execute(counted).fetchone() or (0, 0)
    return [_Plan(again, left, left)] if others else []


def _changing(session: DuckDBSession, results: Sequence[Mutation], rows: int) -> Iterator[_Plan]:
    for at in range(0, len(results), COUNTED_AT_ONCE):
        some = results[at : at + COUNTED_AT_ONCE]
        select_list = ", ".join(f"count(*) FILTER (WHERE {mutation.differs})" for mutation in some)
        counts = (
            session.connection.execute(f"SELECT {select_list} FROM {quote(TABLE)}").fetchone() or ()
        )
        yield from (
            _Plan(mutation, int(count), rows)
            for mutation, count in zip(some, counts, strict=True)
            if count
        )


def _moves(mutation: Mutation, about: About) -> bool:
    """Return whether rows may move to another partition."""
    if about.routing is None:
        return False
    return mutation.source != TABLE or about.routing[0].lower() in {
        name.lower() for name in mutation.columns
    }


def _tried(
    session: DuckDBSession,
    subject: ChallengeSubject,
    facts: Sequence[ColumnFacts],
    deadline: Deadline,
    advance: Callable[[], None],
) -> tuple[tuple[MutationTrial, ...], bool]:
    """Return the trials, and whether all mutations were tried."""
    import duckdb

    trials: list[MutationTrial] = []
    try:
        rows = mutations.count(session, TABLE)
        gate = ChallengeGate(session, subject.about, subject.usual)
        gate.measure(as_is(subject.about), rows)
        promised = _promised(session, subject, rows)
        for plan in _planned(session, subject, facts, rows):
            trial = _try(session, subject, plan, gate, promised)
            if deadline.over:  # the trial may have been interrupted
                return tuple(trials), False
            trials.append(trial)
            advance()
    except duckdb.InterruptException:
        return tuple(trials), False
    return tuple(trials), True


def _promised(session: DuckDBSession, subject: ChallengeSubject, rows: int) -> dict[str, int]:
    """Return how many original rows break each check that the contract implies."""
    results = ask(session, subject.about, subject.usual.promised, as_is(subject.about), rows)
    return {result.name: result.failing for result in results}


def _try(
    session: DuckDBSession,
    subject: ChallengeSubject,
    plan: _Plan,
    gate: ChallengeGate,
    promised: Mapping[str, int],
) -> MutationTrial:
    mutation, changed, left = plan
    select = mutation.select(list(subject.about.columns))
    results = ask(session, subject.about, (*subject.checks, *subject.usual.promised), select, left)
    check_results, by_contract = results[: len(subject.checks)], results[len(subject.checks) :]
    broken = [
        check_result
        for check_result in by_contract
        if check_result.outcome is CheckState.FAILED
        and check_result.failing > promised[check_result.name]
    ]
    says = (*(("contract",) if broken else ()), *gate.says(mutation, select, left))
    routed = not _moves(mutation, subject.about) or is_routed(session, subject.about, select, left)
    return MutationTrial(
        mutation,
        changed,
        left,
        {check_result.name: check_result for check_result in check_results},
        routed,
        says,
    )


# The verdict on a check: from the mutations that it noticed, its past results, and the other checks
# of its node. Pure.

SHOWN_MAX = 3
ALIKE_MIN = 2
"""The minimum number of mutations that two checks of different kinds must share as duplicates."""


class ChallengeVerdict(enum.StrEnum):
    """The verdict on a check (INTERFACE §3)."""

    EFFECTIVE = "effective"
    CANNOT_FAIL = "cannot_fail"
    DUPLICATE = "duplicate"
    FLAKY = "flaky"
    NEVER_RAN = "never_ran"


class CheckHistory(msgspec.Struct, frozen=True):
    """The past of a check: the number of attempts with rows, and contradictory results."""

    ran: int = 0
    flips: tuple[str, ...] = ()
    """Partitions with different results for the same data."""


class CheckAssessment(msgspec.Struct, frozen=True):
    """The verdict on a check, with one sentence of evidence; None if the time ended too early."""

    verdict: ChallengeVerdict | None
    evidence: str
    caught: tuple[str, ...] = ()
    """Descriptions of the mutations that the check noticed."""


def verdict_on(
    check: CheckSpec, others: Sequence[CheckSpec], result: Challenged | None, past: CheckHistory
) -> CheckAssessment:
    """Return the assessment of one check among the `others` of its node (itself included).

    `result` is None if no rows are published.
    """
    if past.flips:
        return CheckAssessment(
            ChallengeVerdict.FLAKY,
            f"it changed its mind about the same data: {_listed(past.flips)}",
        )
    if result is None:
        return CheckAssessment(
            ChallengeVerdict.NEVER_RAN,
            (
                "nothing is published that it could look at"
                if not past.ran
                else "no rows are published now"
            ),
        )
    trial, caught = result.trials[check.name], result.caught(check.name)
    noticed = tuple(trial.mutation.says for trial in caught)
    if trial.first is None:
        return CheckAssessment(None, "the time was over before it had an answer")
    if trial.flaky:
        return CheckAssessment(
            ChallengeVerdict.FLAKY,
            f"asked {len(trial.results)} times about the same rows, it gave different answers",
            noticed,
        )
    if trial.first.detail.startswith(UNCHECKABLE):
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, trial.first.detail)
    if not caught:
        return _uncaught(check, result)
    duplicate_reason = duplicate(check, others, result)
    if duplicate_reason is not None:
        return CheckAssessment(ChallengeVerdict.DUPLICATE, duplicate_reason, noticed)
    if not past.ran:
        return CheckAssessment(
            ChallengeVerdict.NEVER_RAN,
            f"no attempt has run it yet; it would notice {_listed(noticed)}",
            noticed,
        )
    return CheckAssessment(ChallengeVerdict.EFFECTIVE, f"it notices {_listed(noticed)}", noticed)


def _uncaught(check: CheckSpec, result: Challenged) -> CheckAssessment:
    first, tried = result.trials[check.name].first, len(result.tried)
    if first is not None and first.outcome is CheckState.FAILED:
        return CheckAssessment(
            ChallengeVerdict.EFFECTIVE,
            f"it fails on the rows as they are, in {first.failing:,} of {first.rows:,}",
        )
    if not result.rows:
        return CheckAssessment(ChallengeVerdict.NEVER_RAN, "there are no rows to change")
    if not result.finished:
        return CheckAssessment(
            None, f"the time was over: it noticed none of the {tried} mutations until then"
        )
    if check.where is not None and first is not None and first.rows == 0:
        return CheckAssessment(
            ChallengeVerdict.CANNOT_FAIL, f"its `where` is true of none of {result.rows:,} rows"
        )
    return CheckAssessment(
        ChallengeVerdict.CANNOT_FAIL,
        f"it noticed none of {tried} mutations of {result.rows:,} rows",
    )


def duplicate(check: CheckSpec, others: Sequence[CheckSpec], result: Challenged) -> str | None:
    """Return why another check makes this one redundant, or None.

    Of two equivalent checks the later one is redundant.
    """
    at = [other.name for other in others].index(check.name)
    for number, other in enumerate(others):
        only_warns = other.severity is Severity.WARNING and check.severity is Severity.BLOCKING
        if number == at or only_warns:
            continue
        earlier = number < at
        if _implied(check, other) and (earlier or not _equivalent(check, other)):
            return f"`{other.name}` fails wherever it does"
        if earlier and _alike(check, other, result):
            return f"`{other.name}` notices the same {len(result.caught(check.name))} mutations"
    return None


def _equivalent(check: CheckSpec, stricter: CheckSpec) -> bool:
    """Return whether a check that is implied by a `stricter` one implies that one, too."""
    return _implied(stricter, check) and stricter.severity == check.severity


def _implied(check: CheckSpec, by: CheckSpec) -> bool:
    """Return whether, by the arguments, rows that pass `by` also pass the check."""
    checked = known_kind(check.kind)
    if checked is None or check.kind != by.kind:
        return False
    if by.where != check.where and (by.where is not None or not checked.of_single_rows):
        return False
    return checked.implied(check.arguments, by.arguments)


def _alike(check: CheckSpec, other: CheckSpec, result: Challenged) -> bool:
    """Return whether two checks, one of them a query, notice the same mutations in as many rows.

    For `unique` the counts may differ, because repeated keys are counted by rows or by keys.
    """
    kinds = {check.kind, other.kind}
    if "sql" not in kinds or check.where != other.where:
        return False
    ours, theirs = result.caught(check.name), result.caught(other.name)
    if len(ours) < ALIKE_MIN or [id(trial) for trial in ours] != [
        id(mutation_trial) for mutation_trial in theirs
    ]:
        return False
    return "unique" in kinds or all(
        trial.results[check.name].failing == trial.results[other.name].failing for trial in ours
    )


def _listed(texts: Sequence[str]) -> str:
    text = "; ".join(texts[:SHOWN_MAX])
    return text if len(texts) <= SHOWN_MAX else f"{text}; and {len(texts) - SHOWN_MAX} more"
