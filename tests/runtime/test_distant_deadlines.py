"""Whose owner is written to of an incident, where the deadline of a consumer is months away,
through real ticks."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from runlab import SETTINGS, Lab

PEOPLE = """core: {kind: team, contact: ['mailto:core@example.com']}
acme: {kind: vendor, manager: core}
filings: {kind: team, contact: ['mailto:filings@example.com'], digest: '08:00'}
"""
CONSUMERS = """- {consumer: report, owner: core, reads: [clean], due: '+3d 09:00'}
- {consumer: filing, owner: filings, reads: [clean], per: quarter, due: '+60d 09:00'}
"""


@pytest.mark.long
def test_an_owner_with_months_left_reads_of_it_in_the_digest_and_is_told_in_time(
    tmp_path: Path,
) -> None:
    """Would catch: a mail at once to whoever files a report in May over a day of January, an
    incident that their digest leaves out, and no message when the deadline comes near."""
    lab = Lab(tmp_path / "p")
    lab.write("headrace.toml", SETTINGS + "[notify.mail]\nurl = 'file:outbox'\n")
    lab.write("owners.yaml", PEOPLE)
    lab.write("consumers.yaml", CONSUMERS)
    lab.sql("clean", "select order_id, customer, amount::int as amount, day from orders")
    for day in ("2025-01-07", "2025-01-08"):
        lab.orders(day)
    lab.now = datetime.fromisoformat("2025-01-09T06:00:00+00:00")
    lab.tick()
    lab.deliver("2025-01-09", [f"9{i},c,99999999999999,2025-01-09" for i in range(10)])
    lab.now = datetime.fromisoformat("2025-01-10T06:00:00+00:00")
    lab.tick()
    (incident,) = lab.headrace("incidents")
    assert sorted(incident["affected"]["consumers"]) == ["filing", "report"]
    assert lab.rows("select kind, recipient from notice where kind <> 'digest'") == [
        ("opened", "core")
    ]
    lab.now = datetime.fromisoformat("2025-01-10T08:30:00+00:00")
    lab.tick()
    ((body,),) = lab.rows(
        "select body from notice where kind = 'digest' and recipient = 'filings' order by id desc"
        " limit 1"
    )
    assert f"new: {incident['id']}" in body
    lab.now = datetime.fromisoformat("2025-05-25T08:30:00+00:00")
    lab.tick()
    told = (
        "select kind from notice where recipient = 'filings' and subject = ? and kind <> 'digest'"
    )
    assert lab.rows(told, incident["id"]) == [("opened",)]
