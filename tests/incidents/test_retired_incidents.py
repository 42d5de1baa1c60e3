"""What is over leaves with the history, and no figure moves for it: each is worked out before and
after.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_facts import SmallFacts, at, consumer, declare, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.runtime.garbage import RetentionPolicy
from headrace.runtime.history_retention import retirable, retire
from headrace.slo.availability import score
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.service_history import Gathering
from headrace.slo.status import evaluate_in_context
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.unsound import all_of_all
from headrace.slo.wrong_periods import Wrongness
from headrace.store import Store, Transaction
from headrace.store.queries import incidents, reports

DAY = Grain.DAY
DECLARED = declare(
    [node("src", DAY, source=True), node("a", DAY, "src")], consumer("c", "a", due="07:00")
)
NOW = at("2013-06-01 12:00")
MONTH_US = 30 * 86_400_000_000
WINDOW = (NOW - 5 * MONTH_US, NOW)
"""Of availability: longer than the history is kept."""
KEEP = RetentionPolicy({"history": "30d", "snapshots": "7d"})
OF_ONE = ("notice", "evidence", "incident_partition", "symptom", "incident_event", "unsound")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three days of February; all that is kept of an incident stands beside it."""
    facts = SmallFacts(delivered={"src": "2013-02-01"})
    for day in (1, 2, 3):
        for minute, name in enumerate(("src", "a")):
            facts.publish(name, f"2013-02-0{day}", at(f"2013-02-0{day + 1} 05:0{minute}"))
    facts.look("src", at("2013-02-04 05:00"), NOW)
    with Store.open(tmp_path, Settings(name="t"), create=True) as opened:
        with opened.write(None) as tx:
            apply_promises(tx, None, DECLARED, at("2013-02-01 00:00"))
            write_facts(tx, facts)
            settle_obligations(tx, EvaluationContext(DECLARED, StoredFacts(tx)), NOW)
        yield opened


def incident(
    tx: Transaction,
    number: int,
    resolved: str | None,
    *,
    again: int | None = None,
    names: str | None = None,
) -> None:
    """One with everything that belongs to one; `names` is the source's day that it says
    is wrong.
    """
    ended = None if resolved is None else at(f"{resolved} 09:00")
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, resolved_at, restored_at, updated_at,"
        " recurrence_of) values (?, ?, 'null_spike', 'src', 'x', '', 'nulls', '1', '[]',"
        ' \'{"assets": [], "consumers": [], "partitions": []}\', 0, ?, ?, ?, 0, ?)',
        (number, "open" if ended is None else "resolved", (ended or NOW) - 1, ended, ended, again),
    )
    tx.execute(
        "insert into evidence (id, node, partition, incident_id, held, content, at, ended_at)"
        " values (?, 'src', '', ?, 1, x'', 0, ?)",
        (f"fact:{number}", number, ended),
    )
    tx.execute(
        "insert into incident_partition (incident_id, node, partition, at) values (?, 'src',"
        " 'x', 0)",
        (number,),
    )
    tx.execute(
        "insert into symptom (incident_id, node, partition, what, at) values (?, 'a', 'x',"
        " 'failed', 0)",
        (number,),
    )
    tx.execute(
        "insert into incident_event (incident_id, at, what, actor) values (?, 0, 'opened',"
        " 'headrace')",
        (number,),
    )
    tx.execute(
        "insert into notice (incident_id, kind, subject, recipient, channel, title, body, state,"
        " not_before, created_at) values (?, 'opened', ?, 'x', 'x', '', '', 'sent', 0, 0)",
        (number, f"INC-{number}"),
    )
    if names is not None:
        tx.execute(
            "insert into unsound (incident_id, publication_id, columns, known_at) select ?, id,"
            " '[]', ? from publication where node = 'src' and partition = ?",
            (number, at("2013-02-05 09:00"), names),
        )


def figures(tx: Transaction) -> Any:
    """How readers were served over months, how they are now, and the causes within the history."""
    context = EvaluationContext(DECLARED, StoredFacts(tx))
    wrongness = Wrongness(tx, context, all_of_all, *WINDOW)
    [status] = evaluate_in_context(context, NOW, wrongness.now()).consumers
    past = Gathering(tx, context, wrongness, lambda *_: False, *WINDOW).past(
        DECLARED.consumers[0], status.obligations
    )
    within = reports.incidents(tx, NOW - MONTH_US, NOW)
    return score(past, *WINDOW), status, wrongness.unsound(), within


def retired(store: Store) -> list[int]:
    """The incidents that stay; what a dry run said is what goes, and no figure moves."""
    with store.read() as tx:
        before, said = figures(tx), retirable(tx, KEEP, NOW).get("incident", 0)
    assert retire(store, None, KEEP, NOW).get("incident", 0) == said
    with store.read() as tx:
        assert figures(tx) == before
        return [row[0] for row in tx.execute("select id from incident order by id").fetchall()]


def test_an_incident_that_is_long_over_goes_with_all_that_is_its(store: Store) -> None:
    """Would catch: incidents that are kept for ever; rows that refer to what isn't there; a number
    that is given twice; one that is taken while it is open, young, or while something of it still
    stands."""
    with store.write(None) as tx:
        incident(tx, 1, "2013-02-04")
        incident(tx, 2, None)
        incident(tx, 3, "2013-05-28")
        incident(tx, 4, "2013-02-05")
        tx.execute("update evidence set ended_at = null where incident_id = 4")
        incident(tx, 5, "2013-02-06")
    assert retired(store) == [2, 3, 4, 5]
    with store.read() as tx:
        for table in OF_ONE:
            assert (
                tx.execute(f"select count(*) from {table} where incident_id = 1").fetchone()[0] == 0
            )
        assert incidents.next_id(tx) == 6
    assert retired(store) == [2, 3, 4, 5]


def test_what_names_data_as_wrong_stays_as_long_as_that_is_known(store: Store) -> None:
    """Would catch: months that turn out green once the incident is gone that said they weren't."""
    with store.write(None) as tx:
        incident(tx, 1, "2013-02-05", names="2013-02-02")
        incident(tx, 2, "2013-05-30")
        lost = figures(tx)[2]
    assert lost == {
        (name, "2013-02-02", at(f"2013-02-03 05:0{minute}"))
        for minute, name in enumerate(("src", "a"))
    }
    assert retired(store) == [1, 2]


def test_the_time_before_of_what_came_again_stays(store: Store) -> None:
    """Would catch: a recurrence of which nobody can say what was done the last time; chains that
    are kept whole for ever."""
    with store.write(None) as tx:
        incident(tx, 1, "2013-02-04")
        incident(tx, 2, "2013-03-04", again=1)
        incident(tx, 3, "2013-05-30", again=2)
    assert retired(store) == [2, 3]
    with store.read() as tx:
        before = [(item.id, item.recurrence_of) for item in incidents.newest(tx)]
    assert before == [(3, 2), (2, None)]
