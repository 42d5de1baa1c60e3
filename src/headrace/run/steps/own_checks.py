"""Checks that what readers see would fail as well: they were declared, or tightened, since it was published."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from headrace.lake import StagedFile, Table
from headrace.lake.session import Session
from headrace.model import Severity
from headrace.quality import Audit
from headrace.quality.audit import Whole, audit
from headrace.quality.facts import Fact
from headrace.quality.results import Outcome
from headrace.run.messages import TakeIn

_OF_ROWS = frozenset({"range", "not_null", "accepted_values", "regex", "unique"})
"""What these come to depends on the rows alone: what passed once fails only another check."""


def with_own_checks(
    facts: Sequence[Fact], found: Audit, task: TakeIn, session: Session, staged: StagedFile, table: Table
) -> tuple[Fact, ...]:
    """The facts, those of blocking checks that the newest published interval before would fail put down to who declared the check
    with the source (a contract's promises are the vendor's, too).
    What was published although it failed says nothing of the check."""
    import duckdb

    failed = {one.name for one in found.results if one.outcome is Outcome.FAILED and one.severity is Severity.BLOCKING}
    asked = [one for one in task.source.checks if one.name in failed and one.kind in _OF_ROWS and one.name not in task.earlier_failed]
    earlier = task.earlier
    if not asked or earlier is None or not earlier.files or len(task.keys) != 1:
        return tuple(facts)
    whole = Whole(earlier.files, earlier.rows or 1, task.keys[0])
    try:
        before = audit(
            session, staged, table, asked, partition_check=None, references=(), now_us=task.now_us,
            timezone=task.source.timezone, whole=whole, described=False,
        )  # fmt: skip
    except duckdb.Error:  # what readers saw was replaced and swept meanwhile: then it isn't known
        return tuple(facts)
    failing = {one.name for one in before.results if one.outcome is Outcome.FAILED}
    places = {f"check {one.name}": f"{one.place.file}:{one.place.line}" for one in asked if one.name in failing}
    return tuple(_own(fact, places[fact.detail]) if fact.detail in places else fact for fact in facts)


def _own(fact: Fact, place: str) -> Fact:
    observed = f"{fact.observed}, as what was published before it was declared would at {place}"
    return msgspec.structs.replace(fact, kind="configuration_error", observed=observed)
