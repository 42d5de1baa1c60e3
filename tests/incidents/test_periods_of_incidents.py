"""When an incident was open, by its timeline, and what ended it each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.incidents.diagnosis.evidence import Evidence, Family
from headrace.incidents.endings import (
    NOTHING_LEFT,
    Period,
    as_opened_last,
    ended,
    ending_of,
    opened_last_at,
    periods,
)
from headrace.model import Settings
from headrace.store import Store, Transaction
from headrace.store.queries import evidence as stored_evidence
from headrace.store.queries import incidents
from headrace.store.queries.evidence import StoredEvidence
from headrace.store.queries.incidents import Affected, Happened, Incident


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Transaction]:
    with (
        Store.open(tmp_path, Settings(name="t"), create=True) as store,
        store.write(None) as opened,
    ):
        yield opened


def opened(tx: Transaction, *lines: tuple[int, str], **more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": 1, "state": "open", "kind": "null_spike", "detail": "", "node": "src",
        "partition": "d1", "columns": (), "fingerprint": "1", "owner": "o", "summary": "s",
        "confidence": 0.9, "evidence": (), "began_at": 5, "opened_at": 10, "updated_at": 10,
        "affected": Affected((), (), ("d1", "d2", "d3")), **more,
    }  # fmt: skip
    item = Incident(**given)
    incidents.write(tx, item)
    incidents.seen_at(tx, 1, [("src", key) for key in ("d1", "d2", "d3")], 10)
    incidents.happened(tx, 1, [Happened(at, what, "headrace") for at, what in lines])
    return item


def test_the_last_ending_is_the_one_that_is_told() -> None:
    """Would catch: an open incident with an ending, or that of an earlier time."""
    lines = ["opened: x", "resolved: it ran; it is served", "opened again: y", "resolved: done"]
    assert ended("open", lines) is None
    assert ended("resolved", lines) == "Done."
    assert ended("resolved", lines[:3]) == "It ran; it is served."
    assert ended("resolved", lines[:1]) == NOTHING_LEFT


def test_each_time_an_incident_was_open_is_a_period(tx: Transaction) -> None:
    """Would catch: a period for each line, the end of one as that of another, and a period that
    began with a line in between."""
    item = opened(
        tx,
        (12, "opened: x"),
        (13, "more was seen"),
        (14, "opened again: not closed"),
        (20, "resolved: first"),
        (21, "resolved: twice"),
        (30, "opened again: y"),
    )
    assert periods(tx, item) == [Period(10, 20, "First."), Period(30, None, "")]
    assert opened_last_at(tx, item) == 30
    over = msgspec.structs.replace(item, state="resolved", resolved_at=40)
    assert periods(tx, over)[1] == Period(30, 40, "Twice.")
    assert ending_of(tx, over) == "Twice."


def test_many_lines_by_people_and_of_retries_hide_no_beginning_and_no_end(tx: Transaction) -> None:
    """Would catch: assignments, notes or retries that push the end out of a limited timeline, so
    that a resolved incident counts as open, or by another sentence."""
    item = opened(tx, (12, "opened: x"))
    many = 510
    incidents.happened(tx, 1, [Happened(13, "retried", "headrace", "run_again")] * many)
    incidents.happened(tx, 1, [Happened(14, "assigned to ann", "bo", "assignee")] * many)
    incidents.happened(tx, 1, [Happened(15, "note: resolved: not at all", "bo")] * many)
    ends = [(20, "resolved: first"), (30, "opened again: y"), (40, "resolved: twice")]
    incidents.happened(tx, 1, [Happened(at, what, "headrace") for at, what in ends])
    over = msgspec.structs.replace(item, state="resolved", resolved_at=40)
    assert periods(tx, over) == [Period(10, 20, "First."), Period(30, 40, "Twice.")]
    assert ending_of(tx, over) == "Twice."
    assert opened_last_at(tx, over) == 30
    assert ended("resolved", [line.what for line in incidents.timeline_of(tx, 1)]) == "Twice."


def test_an_incident_without_its_timeline_was_open_once(tx: Transaction) -> None:
    """Would catch: a report that fails once old timelines are deleted."""
    item = opened(tx, (30, "a note"), resolved_at=40, state="resolved")
    assert periods(tx, item) == [Period(10, 40, NOTHING_LEFT)]
    assert periods(tx, msgspec.structs.replace(item, resolved_at=None)) == [Period(10, None, "")]
    assert opened_last_at(tx, item) == 10
    assert as_opened_last(tx, item) == item


def test_a_reopened_incident_has_the_partitions_and_the_start_of_this_time(
    tx: Transaction,
) -> None:
    """Would catch: a message about days that were repaired weeks ago, a start before the repair,
    and symptoms elsewhere taken for the cause."""
    item = opened(tx, (10, "opened: x"), (20, "resolved: z"), (30, "opened again: y"))

    def seen(id_: str, node: str, key: str, at: int, began: int | None) -> None:
        evidence = Evidence(
            id=id_, node=node, partition=key, family=Family.NULLS, strength=9.0, at_us=at,
            began_us=began,
        )  # fmt: skip
        content = msgspec.msgpack.encode(evidence)
        row = StoredEvidence(id_, node, key, 1, None, held=True, content=content, at=at)
        stored_evidence.keep(tx, [row])
        tx.execute("update evidence set incident_id = 1 where id = ?", (id_,))

    none = as_opened_last(tx, item)
    assert (none.began_at, none.opened_at, none.affected.partitions) == (30, 30, ("d1", "d2", "d3"))
    seen("a", "src", "d1", 12, 6)
    tx.execute("update evidence set ended_at = 15")
    seen("b", "src", "d3", 31, 25)
    seen("c", "src", "d2", 32, None)
    seen("d", "below", "d1", 33, 24)
    result = as_opened_last(tx, item)
    assert (result.began_at, result.opened_at, result.affected.partitions) == (25, 30, ("d2", "d3"))
