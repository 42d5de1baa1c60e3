"""How long acts that a partition waits for weren't approved, and by whom they were in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from headrace.ledger.records import ActApproval
from headrace.model.policy import EXPIRES_US, Approval
from headrace.store.queries.ledger import ActRecord

APPROVED = "approved"
_ACTS = {
    "apply": "apply",
    "release": "accepting held data",
    "unpublish": "unpublish",
    "erase": "erase",
    "contract": "accepting other column names",
}
"""Kind of an approval → the act in a sentence."""


def approvals_of(
    records: Sequence[ActRecord], node: str, partition: str, now_us: int
) -> Iterator[ActApproval]:
    """Yield the waits for approvals of acts on a partition, up to now."""
    for record in records:
        if record.created_at < now_us and _covers(record, node, partition):
            yield _wait(record, now_us)


def _covers(record: ActRecord, node: str, partition: str) -> bool:
    spans = msgspec.json.decode(record.spans, type=list[tuple[str, str, str]])
    return any(name == node and first <= partition <= last for name, first, last in spans)


def _wait(record: ActRecord, now_us: int) -> ActApproval:
    """Return the wait from the request until it was decided, replaced, done, or too old."""
    act = f"A{record.id}, {_ACTS.get(record.kind, record.kind)}"
    ends = [record.created_at + EXPIRES_US, now_us]
    ends += [at for at in (record.used_at, record.replaced_at) if at is not None]
    decided = _decided(record, now_us)
    if decided is None or decided[0] > min(ends):
        note = f"{act}: waited for an approval"
        return ActApproval(record.created_at, min(ends), note)
    at, people, verdict = decided
    return ActApproval(record.created_at, at, f"{act}: {verdict} by {', '.join(people)}"[:200])


def _decided(record: ActRecord, now_us: int) -> tuple[int, list[str], str] | None:
    """Return when a request was decided, by whom and how; None if it isn't."""
    approval = msgspec.json.decode(record.needs, type=Approval)
    counts = {(need.role.value, need.of): need.count for need in approval.needs}
    given: Counter[tuple[str, str]] = Counter()
    people: list[str] = []
    for answer, actor, meets, at in record.answers:
        if at > now_us:
            return None
        if answer != APPROVED:
            return at, [actor], "rejected"
        people.append(actor)
        given.update(msgspec.json.decode(meets, type=list[tuple[str, str]]))
        if all(given[need] >= count for need, count in counts.items()):
            return at, people, "approved"
    return None
