"""What `status`, `why` and `bottleneck` ask of the state's database doesn't grow with the number of
partitions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from runlab import Lab

from headrace.project.session import ProjectSession
from headrace.services.status import status
from headrace.services.why import why
from headrace.store.engines import sqlite

bottleneck = pytest.importorskip("headrace_advisor.services.bottleneck").bottleneck

CONSUMERS = """
- consumer: report
  owner: core
  reads: [sums]
  due: "06:00"
  since: 2025-01-01
"""


def late(root: Path, days: int) -> Lab:
    """So many days of two assets were published; as many later ones are due, and weren't
    delivered."""
    lab = Lab(root)
    lab.write("consumers.yaml", CONSUMERS)
    lab.sql("clean", "select order_id, customer, amount, day from orders")
    lab.sql("sums", "select day, sum(amount) as amount from clean group by day")
    for day in range(days):
        lab.orders((date(2025, 1, 1) + timedelta(days=day)).isoformat(), 1)
    lab.now += timedelta(days=2 * days)
    lab.tick()
    return lab


def asked(
    lab: Lab, act: Callable[[ProjectSession], object], monkeypatch: pytest.MonkeyPatch
) -> int:
    """The number of statements of a command."""
    statements: list[str] = []
    connect = sqlite._connect

    def watched(path: Path) -> object:
        connection = connect(path)
        connection.set_trace_callback(statements.append)
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "_connect", watched)
        session = lab.session()
        session.trusted = True
        act(session)
        session.close()
    return len(statements)


def test_the_number_of_statements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: facts that are asked partition by partition (1,400 more for forty days)."""
    few, many = late(tmp_path / "few", 4), late(tmp_path / "many", 40)
    for act in (status, lambda session: why(session, "report"), bottleneck):
        assert asked(many, act, monkeypatch) - asked(few, act, monkeypatch) <= 40
