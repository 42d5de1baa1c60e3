"""Promises that a change weakens: to a consumer, or about a node's data (SEMANTICS §7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from headrace.model import (
    Asset,
    CheckSpec,
    Consumer,
    Grain,
    Project,
    Severity,
    Source,
    UsageError,
    Value,
)
from headrace.model.check_kinds import CheckDeclaration, check_declaration, wider
from headrace.model.common_fields import anomaly_policies
from headrace.model.exports import clear_columns
from headrace.model.intervals import GRAINS, bounds_us
from headrace.model.plugins import BrokenPlugin
from headrace.model.retention import is_shortened
from headrace.model.times import Duration, Offset, days_off
from headrace.plan.comparison import as_in, renames
from headrace.plan.compiled import Compiled

_ON_FAIL = {"reject": 0, "hold": 1, "quarantine_rows": 2, "warn": 3}
_ON_ANOMALY = {None: 0, "hold": 0, "warn": 1, "ignore": 2}
_ON_DRIFT = {"block": 0, "map": 1, "warn": 2, "allow": 3}
"""From the strictest to the most permissive."""
_SAMPLES = {
    Grain.HOUR: "2024-06-12T10:00",
    Grain.DAY: "2024-06-12",
    Grain.WEEK: "2024-W24",
    Grain.MONTH: "2024-06",
    Grain.QUARTER: "2024-Q2",
    Grain.YEAR: "2024",
}
"""Number of intervals for which the due times of two promises are compared."""
RETAIN = "retain"
"""What is weakened if old partitions are removed that were kept, or kept for longer."""
_LONG = 60
"""Maximum number of characters displayed of a declaration."""

_CheckedNode: TypeAlias = Source | Asset


class Weakened(Value, kw_only=True):
    """One weakened promise, with both declared values."""

    node: str
    what: str
    before: str
    after: str

    @property
    def text(self) -> str:
        """Text for users."""
        return f"{self.node}: {self.what}: {self.before} → {self.after}"


def weakened(old: Compiled | None, new: Compiled) -> list[Weakened]:
    """Return every promise that `new` weakens, by node.

    Only promises to existing readers are compared; one to a new reader can't be weakened. That
    classified columns leave masked is a promise to the people in them, so new exports count.
    """
    results = list(_in_the_clear(old, new.project))
    if old is None:
        return results
    before = as_in(old.project, new.project)
    for name, was in before.consumers.items():
        results += _of_consumer(was, new.project.consumers.get(name), before, new.project)
    renamed = {former: name for name, former in renames(old, new).items()}
    nodes: dict[str, _CheckedNode] = {**before.sources, **before.assets}
    for name, node in nodes.items():
        now = new.project.node(renamed.get(name, name))
        if isinstance(now, Source | Asset):
            results += _of_node(node, now, before, new.project)
    return sorted(results, key=lambda item: (item.node, item.what, item.before))


def _in_the_clear(old: Compiled | None, new: Project) -> Iterator[Weakened]:
    """Yield the columns that exports write as they are, and didn't before."""
    for consumer in new.consumers.values():
        was = old.project.consumers.get(consumer.name) if old is not None else None
        known = clear_columns(was) if was is not None else {}
        for column, reason in clear_columns(consumer).items():
            if column not in known:
                yield Weakened(
                    node=consumer.name,
                    what=f"export of {column}",
                    before="masked if classified",
                    after=f"in the clear: {reason}",
                )


# Consumers


def _of_consumer(
    was: Consumer, now: Consumer | None, old: Project, new: Project
) -> Iterator[Weakened]:
    if now is None:
        yield Weakened(
            node=was.name,
            what="promise",
            before=_promise(was),
            after="none, the consumer is removed",
        )
        return
    if _later(was, now, old, new):
        yield Weakened(node=was.name, what="due", before=_promise(was), after=_promise(now))
    renamed = {
        asset.renamed_from
        for name, asset in new.assets.items()
        if asset.renamed_from and name in now.reads
    }
    for read in was.reads:
        if read not in now.reads and read not in renamed:
            yield Weakened(node=was.name, what="reads", before=read, after="no longer")
    if GRAINS.index(now.per) > GRAINS.index(was.per):
        yield Weakened(node=was.name, what="per", before=was.per, after=now.per)
    yield from _off(was, now, old, new)
    if was.export is not None and now.export is None:
        yield Weakened(node=was.name, what="export", before="declared", after="none")


def _promise(consumer: Consumer) -> str:
    return f"by {consumer.due}" if consumer.max_age is None else f"no older than {consumer.max_age}"


def _later(was: Consumer, now: Consumer, old: Project, new: Project) -> bool:
    """Return whether an interval is due later than before."""
    if was.per is not now.per:
        return False  # reported separately
    try:
        return _due(now, new) > _due(was, old)
    except UsageError:
        return False


def _due(consumer: Consumer, project: Project) -> int:
    """Return when a sample interval is due in the consumer's local time.

    The rules are those of `observe`.
    """
    began, ended = bounds_us(
        _SAMPLES[consumer.per] + ("+00:00" if consumer.per is Grain.HOUR else ""),
        consumer.per,
        "UTC",
    )
    if consumer.max_age is not None:
        return Duration.parse(consumer.max_age).after_us(began, "UTC")
    return Offset.parse(consumer.due or "+0s").after_us(
        ended, "UTC", days_off(project, consumer.calendar).holds
    )


def _off(was: Consumer, now: Consumer, old: Project, new: Project) -> Iterator[Weakened]:
    """Yield the days for which nothing is promised any more."""
    before, after = days_off(old, was.calendar), days_off(new, now.calendar)
    if after.none or after == before:
        return
    if after.named is not None:
        yield Weakened(
            node=was.name,
            what="days without data",
            before=was.calendar or "none",
            after=after.named,
        )
    elif more := sorted(after.dates - before.dates):
        yield Weakened(
            node=was.name,
            what="days without data",
            before=f"{len(before.dates)}",
            after=f"{len(after.dates)}, as {more[0]}",
        )


# Data


def _of_node(
    was: _CheckedNode, now: _CheckedNode, old: Project, new: Project
) -> Iterator[Weakened]:
    def less(what: str, before: object, after: object) -> Weakened:
        return Weakened(
            node=now.name, what=what, before=str(before)[:_LONG], after=str(after)[:_LONG]
        )

    yield from _of_checks(was.checks, now.checks, less)
    yield from _of_contracts(_contract(was, old), _contract(now, new), less)
    if _ON_FAIL.get(now.on_fail, 0) > _ON_FAIL.get(was.on_fail, 0):
        yield less("on_fail", was.on_fail, now.on_fail)
    yield from _of_anomalies(was, now, less)
    if is_shortened(was.retain, now.retain):
        yield less(RETAIN, was.retain or "everything is kept", now.retain)
    if isinstance(was, Source) and isinstance(now, Source):
        yield from _of_source(was, now, less)


def _of_anomalies(
    was: _CheckedNode, now: _CheckedNode, less: Callable[[str, object, object], Weakened]
) -> Iterator[Weakened]:
    """Yield anomalies that are let through now, for all columns or single ones."""
    (before, of_before), (after, of_after) = (
        anomaly_policies(was.on_anomaly),
        anomaly_policies(now.on_anomaly),
    )
    if _ON_ANOMALY.get(after, 0) > _ON_ANOMALY.get(before, 0):
        yield less("on_anomaly", before or "by size", after)
    for column in sorted({*of_before, *of_after}):
        earlier, later = of_before.get(column, before), of_after.get(column, after)
        if _ON_ANOMALY.get(later, 0) > max(_ON_ANOMALY.get(earlier, 0), _ON_ANOMALY.get(after, 0)):
            yield less(f"on_anomaly of {column}", earlier or "by size", later)


def _of_source(
    was: Source, now: Source, less: Callable[[str, object, object], Weakened]
) -> Iterator[Weakened]:
    """Yield weakened promises of a source's owner, and looser rules for accepting deliveries."""
    if was.expect.by is not None and (
        now.expect.by is None or _after_end(now.expect.by) > _after_end(was.expect.by)
    ):
        yield less("expected by", was.expect.by, now.expect.by or "no time")
    bounds = (
        (was.expect.rows_min, was.expect.rows_max),
        (now.expect.rows_min, now.expect.rows_max),
    )
    if wider(
        {"min": bounds[0][0], "max": bounds[0][1]}, {"min": bounds[1][0], "max": bounds[1][1]}
    ):
        yield less("expected rows", _range(*bounds[0]), _range(*bounds[1]))
    for kind, how in was.on_drift.items():
        after = now.on_drift.get(kind)
        if after is not None and _ON_DRIFT.get(after, 0) > _ON_DRIFT.get(how, 0):
            yield less(f"on_drift {kind}", how, after)


def _after_end(offset: str) -> int:
    return Offset.parse(offset).after_us(
        bounds_us(_SAMPLES[Grain.DAY], Grain.DAY, "UTC")[1], "UTC", None
    )


def _range(least: int | None, most: int | None) -> str:
    if least is None and most is None:
        return "any number"
    return f"{'' if least is None else least}..{'' if most is None else most}"


def _contract(node: _CheckedNode, project: Project) -> dict[str, str]:
    """Return a contract's promises about columns, each as text."""
    contract = project.contracts.get(node.contract or "")
    results: dict[str, str] = {}
    for column in contract.columns if contract is not None else ():
        results |= (
            {f"{column.name} is required": "required"}
            if column.required or column.primary_key
            else {}
        )
        results |= {f"{column.name} is unique": "unique"} if column.unique else {}
        results |= {f"{column.name} is part of the key": "primaryKey"} if column.primary_key else {}
    return results


def _of_contracts(
    was: dict[str, str], now: dict[str, str], less: Callable[[str, object, object], Weakened]
) -> Iterator[Weakened]:
    for promise in was:
        if promise not in now:
            yield less("contract", promise, "not promised")


# Checks


def _of_checks(
    was: Sequence[CheckSpec],
    now: Sequence[CheckSpec],
    less: Callable[[str, object, object], Weakened],
) -> Iterator[Weakened]:
    for check in was:
        after = _after(check, now)
        if after is None:
            yield less("check", check.name, "dropped")
        elif check.severity is Severity.BLOCKING and after.severity is Severity.WARNING:
            yield less("check", f"{check.name} blocks", "warns")
        elif _looser(check, after):
            yield less(
                "check",
                f"{check.name} {_differing_arguments(check, after)}",
                _differing_arguments(after, check),
            )


def _after(check: CheckSpec, now: Sequence[CheckSpec]) -> CheckSpec | None:
    """Return a check's replacement: the same rule, else the same name, else the same columns."""
    alike = [spec for spec in now if spec.kind == check.kind]
    same = [spec for spec in alike if _rule(spec) == _rule(check)]
    named = [spec for spec in alike if spec.name == check.name]
    about = [spec for spec in alike if _columns(spec) & _columns(check)]
    return next(
        iter([*sorted(same, key=lambda spec: spec.severity is Severity.WARNING), *named, *about]),
        None,
    )


def _columns(check: CheckSpec) -> frozenset[str]:
    kind = _kind(check)
    return kind.columns(check.arguments) if kind is not None else frozenset()


def _kind(check: CheckSpec) -> CheckDeclaration | None:
    """Return a check's kind; None if its package is broken or no longer installed."""
    try:
        return check_declaration(check.kind)
    except BrokenPlugin:
        return None


def _rule(check: CheckSpec) -> str:
    """Return a check's rule, without its name and its action on failure."""
    return repr((check.kind, sorted(check.arguments.items()), check.where))


def _looser(was: CheckSpec, now: CheckSpec) -> bool:
    """Return whether a rule is looser, as far as its declaration shows."""
    before, after = was.arguments, now.arguments
    if was.where is None and now.where is not None:
        return True
    kind = _kind(was)
    return kind is not None and kind.looser(before, after)


def _differing_arguments(check: CheckSpec, other: CheckSpec) -> str:
    """Return the arguments in which two checks differ."""
    names = [
        name
        for name in {**check.arguments, **other.arguments}
        if check.arguments.get(name) != other.arguments.get(name)
    ]
    clauses = [f"{name} {check.arguments.get(name, 'open')}" for name in names]
    if check.where != other.where:
        clauses.append("for all rows" if check.where is None else f"where {check.where}")
    return ", ".join(clauses)
