"""The cost of an attempt: what is added up as its duration counts nothing twice."""

from __future__ import annotations

from headrace.engine.attempts import Measures


def test_an_audit_within_the_work_is_told_apart_from_it() -> None:
    """Would catch: an ingestion whose audit counts twice in goodput, costs and the delay ledger."""
    measures = Measures(rows_out=7, seconds=3.0).apart_from_audit(2.0)
    assert (measures.seconds, measures.audit_seconds, measures.rows_out) == (1.0, 2.0, 7)


def test_an_audit_that_seems_to_last_longer_than_the_work_leaves_nothing() -> None:
    """Would catch: a negative duration where clocks of two threads differ by a little."""
    assert Measures(seconds=1.0).apart_from_audit(1.25).seconds == 0.0
