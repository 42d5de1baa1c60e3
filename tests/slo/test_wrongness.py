"""What incidents and exceptions make of consumers: along what read what, from when to when, as
known now and as known then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from small_facts import SmallFacts, at, consumer, declare, node
from stored_facts import write_facts

from headrace.model import Grain, Settings
from headrace.slo.availability import AvailabilityScore, score
from headrace.slo.consumer_states import ConsumerStatus
from headrace.slo.evaluation import EvaluationFacts, evaluate
from headrace.slo.obligation_records import apply_promises, settle_obligations
from headrace.slo.obligations import EvaluationContext
from headrace.slo.service_history import Gathering
from headrace.slo.status import evaluate_in_context
from headrace.slo.stored_facts import StoredFacts
from headrace.slo.timeline import timeline
from headrace.slo.unsound import Carry, all_of_all
from headrace.slo.wrong_periods import Wrongness
from headrace.store import Store, Transaction

DAY = Grain.DAY
DECLARED = declare(
    [node("src", DAY, source=True), node("mid", DAY, "src"), node("top", DAY, "mid")],
    consumer("c", "top", due="07:00", max_age=None),
)
NOW = at("2013-02-05 12:00")
BEGAN = at("2013-02-01 00:00")
MINUTE = 60_000_000


@pytest.fixture
def store(tmp_path: object) -> Iterator[Store]:
    with Store.open(tmp_path, Settings(name="t"), create=True) as result:  # type: ignore[arg-type]
        yield result


def facts() -> SmallFacts:
    """Three days, each made in the morning after; the source's 02-01 is delivered anew on the 4th
    at 10:00, and made again at 11:00.
    """
    result = SmallFacts(delivered={"src": "2013-02-01"})
    for day in (1, 2, 3, 4):
        for minute, name in enumerate(("src", "mid", "top")):
            result.publish(name, f"2013-02-0{day}", at(f"2013-02-0{day + 1} 05:0{minute}"))
    result.publish("src", "2013-02-01", at("2013-02-04 10:00"))
    result.publish("mid", "2013-02-01", at("2013-02-04 11:00"))
    result.publish("top", "2013-02-01", at("2013-02-04 11:01"))
    result.publications.sort(key=lambda item: item.at_us)
    for number, item in enumerate(result.publications, start=1):
        item.snapshot, item.read = number, number - 1
    result.look("src", *range(BEGAN, NOW, 30 * MINUTE))
    return result


def kept(tx: Transaction) -> None:
    apply_promises(tx, None, DECLARED, BEGAN)
    write_facts(tx, facts())
    settle_obligations(tx, EvaluationContext(DECLARED, StoredFacts(tx)), NOW)


def named(
    tx: Transaction, source_day: str, known: str, columns: str = "[]", until: str | None = None
) -> None:
    tx.execute(
        "insert into incident (id, state, kind, node, fingerprint, owner, summary, confidence,"
        " evidence, affected, began_at, opened_at, updated_at) values (1, 'open', 'reported',"
        " 'src', '', '', 'twice', '1', '[]', '{\"assets\": [], \"consumers\": [], \"partitions\":"
        " []}', 0, 0, 0)"
    )
    tx.execute(
        "insert into unsound (incident_id, publication_id, columns, known_at, until_at)"
        " select 1, min(id), ?, ?, ? from publication where node = 'src' and partition = ?",
        (columns, at(known), None if until is None else at(until), source_day),
    )


def seen(
    tx: Transaction, carry: Carry = all_of_all, owners: Sequence[str] = ()
) -> tuple[AvailabilityScore, ConsumerStatus, list[tuple[str, int]]]:
    context, window = EvaluationContext(DECLARED, StoredFacts(tx)), (BEGAN, NOW)
    wrongness = Wrongness(tx, context, carry, *window)
    [status] = evaluate_in_context(context, NOW, wrongness.now()).consumers
    past = Gathering(tx, context, wrongness, lambda _, actor: actor in owners, *window).past(
        DECLARED.consumers[0], status.obligations
    )
    spans = [
        (item.state.value, (item.until_us - item.from_us) // MINUTE)
        for item in timeline(past, *window)
    ]
    return score(past, *window), status, spans


def test_who_reads_what_was_made_of_it_is_wrong_until_that_is_made_again(store: Store) -> None:
    """Would catch wrongness that ends with the source's correction although readers still get the
    old, or that counts only when known.
    """
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-01", "2013-02-03 09:00")
        result, status, spans = seen(tx)
    assert spans == [
        ("wrong", 28 * 60 + 24 * 60 + 1),
        ("served", 24 * 60 + 59),
    ]  # from the first deadline to the 4th, 11:01
    assert (status.state, result.incidents) == ("served", (1,))
    assert (
        result.corrected_us == 26 * 60 * MINUTE
    )  # from 02-02 07:00, its first deadline, to when it was known
    assert (result.promised, result.met) == (4, 3)


def test_of_a_column_that_nobody_uses_nothing_is_wrong(store: Store) -> None:
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-01", "2013-02-03 09:00", '["odd"]')
        result, _, spans = seen(
            tx,
            lambda node, columns, below: (
                None if columns == {"odd"} and below == "mid" else frozenset()
            ),
        )
    assert (result.lost_us, [state for state, _ in spans]) == (0, ["served"])


def test_what_stands_on_it_still_is_wrong_now_with_the_incident_as_reason(store: Store) -> None:
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-03", "2013-02-05 09:00")
        result, status, spans = seen(tx)
    assert (status.state, status.reason, status.next) == (
        "wrong",
        "INC-1 src: twice",
        "headrace incident INC-1",
    )
    assert status.since_us == at("2013-02-04 05:02")
    assert spans[-1][0] == "wrong"
    assert result.claimed_us > result.served_us


def without_top_made_again(tx: Transaction, *, identical: bool) -> None:
    """`mid` came out as before, or didn't; `top` isn't made again."""
    tx.execute(
        "update publication set identical = ? where node = 'mid' and partition = '2013-02-01' and"
        " ended_at is null",
        (int(identical),),
    )
    withdraw(tx, "top", "2013-02-04 11:01")


def withdraw(tx: Transaction, name: str, published: str) -> None:
    """As if the second publication of the first day hadn't been."""
    tx.execute(
        "update partition set publication_id = null where node = ? and partition = '2013-02-01'",
        (name,),
    )
    tx.execute("delete from publication where node = ? and published_at = ?", (name, at(published)))
    tx.execute(
        "update publication set ended_at = null, ended_snapshot = null where node = ? and partition"
        " = '2013-02-01'",
        (name,),
    )
    tx.execute(
        "update partition set publication_id = (select id from publication where node = :name and"
        " partition = '2013-02-01') where node = :name and partition = '2013-02-01'",
        {"name": name},
    )


@pytest.mark.parametrize(("identical", "state"), [(True, "served"), (False, "wrong")])
def test_what_came_out_the_same_of_sound_data_was_never_wrong(
    store: Store, identical: bool, state: str
) -> None:
    """Would catch a consumer that stays wrong for ever, because nothing is made again that reads
    what didn't change; and one that is served because something in between was made again."""
    with store.write(None) as tx:
        kept(tx)
        without_top_made_again(tx, identical=identical)
        named(tx, "2013-02-01", "2013-02-03 09:00")
        result, status, spans = seen(tx)
    assert (status.state, spans[-1][0]) == (state, state)
    assert (result.corrected_us == 0) is identical


def test_what_is_made_again_of_the_same_wrong_data_is_as_wrong(store: Store) -> None:
    """Would catch what is cleared by coming out the same, of data that is still wrong."""
    with store.write(None) as tx:
        kept(tx)
        without_top_made_again(tx, identical=True)
        withdraw(tx, "src", "2013-02-04 10:00")
        named(tx, "2013-02-01", "2013-02-03 09:00")
        _, status, _ = seen(tx)
    assert status.state == "wrong"


def test_what_an_incident_turned_out_not_to_cover_was_never_wrong(store: Store) -> None:
    """Would catch that somebody's mistaken report lowers the past for good; what was said at the
    time stays said."""
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-03", "2013-02-05 09:00", until="2013-02-05 10:00")
        result, status, spans = seen(tx)
    assert (status.state, [state for state, _ in spans], result.lost_us) == (
        "served",
        ["served"],
        0,
    )
    assert result.counted_us - result.claimed_us == 60 * MINUTE


@pytest.mark.parametrize(
    ("owners", "until", "state", "excepted", "lost"),
    [
        (("ann",), None, "served", 0, 0),
        ((), None, "served", 24 * 60, 24 * 60),
        (("ann",), "2013-02-05 09:00", "wrong", 0, 3 * 60),
    ],
    ids=["by its owner", "by somebody else", "that has lapsed"],
)
def test_an_exception(
    store: Store, owners: tuple[str, ...], until: str | None, state: str, excepted: int, lost: int
) -> None:
    """Would catch that somebody can make another's figures green by accepting what was held, and an
    exception that never lapses."""
    with store.write(None) as tx:
        kept(tx)
        tx.execute(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at, until) select 'mid', '2013-02-03', 1, id, 'ann', 'fine', published_at, ? from"
            " publication where node = 'mid' and partition = '2013-02-03'",
            (None if until is None else at(until),),
        )
        result, status, _ = seen(tx, owners=owners)
    assert status.state == state
    assert (result.excepted_us // MINUTE, result.lost_us // MINUTE) == (excepted, lost)


def _accept(tx: Transaction, node: str, partition: str, until: str | None) -> None:
    tx.execute(
        "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason, at,"
        " until) select ?, ?, 1, max(id), 'ann', 'fine', min(published_at), ? from publication"
        " where node = ? and partition = ?",
        (node, partition, None if until is None else at(until), node, partition),
    )


@pytest.mark.parametrize("node", ["src", "mid", "top"])
def test_what_stands_on_an_exception_that_has_lapsed_is_wrong(store: Store, node: str) -> None:
    """Would catch: an exception for a day that holds for ever, and one of an older interval that
    `status` counts but no figure."""
    with store.write(None) as tx:
        kept(tx)
        _accept(tx, node, "2013-02-02", "2013-02-05 09:00")
        result, status, spans = seen(tx, owners=("ann",))
    assert (status.state, status.since_us) == ("wrong", at("2013-02-05 09:00"))
    assert status.next == f"headrace quarantine accept {node}@2013-02-02 --reason TEXT --until T"
    assert spans[-1] == ("wrong", 3 * 60)
    assert (result.excepted_us, result.lost_us // MINUTE) == (0, 3 * 60)


def test_what_was_replaced_before_its_exception_lapsed_is_not_wrong(store: Store) -> None:
    """Would catch: an exception whose data is gone that makes a consumer wrong when its time is
    over."""
    with store.write(None) as tx:
        kept(tx)
        tx.execute(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at, until) select 'src', '2013-02-01', 1, min(id), 'ann', 'fine', min(published_at),"
            " ? from publication where node = 'src' and partition = '2013-02-01'",
            (at("2013-02-05 09:00"),),
        )
        result, status, _ = seen(tx, owners=("ann",))
    assert (status.state, result.lost_us) == ("served", 0)


def stated(tx: Transaction, now: int) -> ConsumerStatus:
    """What `status` says at a time."""
    context = EvaluationContext(DECLARED, StoredFacts(tx))
    result = evaluate(EvaluationFacts(tx, context, all_of_all, lambda _, __: True), now).consumer(
        "c"
    )
    assert result is not None
    return result


@pytest.mark.parametrize("window_us", [0, 30 * 24 * 60 * MINUTE])
def test_since_when_it_is_served_is_when_the_last_wrong_rows_were_replaced(
    store: Store, window_us: int
) -> None:
    """Would catch: "served since 05:04" of a consumer that was wrong until 11:01, as its
    obligations alone have it; a time that depends on the window of the figures."""
    with store.write(None) as tx:
        kept(tx)
        now = at("2013-02-04 12:00")
        context = EvaluationContext(DECLARED, StoredFacts(tx))
        before = evaluate(
            EvaluationFacts(tx, context, all_of_all, lambda _, __: True, now - window_us), now
        ).consumer("c")
        named(tx, "2013-02-01", "2013-02-03 09:00")
        after = evaluate(
            EvaluationFacts(tx, context, all_of_all, lambda _, __: True, now - window_us), now
        ).consumer("c")
    assert before is not None and after is not None
    assert (before.state, before.since_us) == ("served", at("2013-02-02 05:02"))
    assert (after.state, after.since_us) == ("served", at("2013-02-04 11:01"))


def test_since_when_it_is_wrong_is_when_the_first_of_what_followed_without_a_break_was(
    store: Store,
) -> None:
    """Would catch: "wrong since" the exception that lapsed last, of a consumer that other rows made
    wrong before."""
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-01", "2013-02-03 09:00")  # until the 4th, 11:01
        _accept(tx, "mid", "2013-02-02", "2013-02-04 09:00")
        result = stated(tx, NOW)
        tx.execute("delete from accepted")
        _accept(tx, "mid", "2013-02-02", "2013-02-04 13:00")
        later = stated(tx, NOW)
    assert (result.state, result.since_us) == ("wrong", at("2013-02-02 05:02"))
    assert (later.state, later.since_us) == ("wrong", at("2013-02-04 13:00"))


def test_since_when_it_is_served_again_after_damage(store: Store) -> None:
    """Would catch: a consumer that is served since before a file of it was lost."""
    with store.write(None) as tx:
        kept(tx)
        named(tx, "2013-02-03", "2013-02-05 09:00", until="2013-02-05 10:00")
        tx.execute(
            "update unsound set publication_id = (select id from publication where node = 'top' and"
            " partition = '2013-02-03')"
        )
        tx.execute(
            "update incident set kind = 'data_corrupted', state = 'resolved', resolved_at = ?",
            (at("2013-02-05 10:00"),),
        )
        result = stated(tx, NOW)
    assert (result.state, result.since_us) == ("served", at("2013-02-05 10:00"))


def test_since_when_it_is_at_risk_is_when_the_risk_and_its_service_began(store: Store) -> None:
    """Would catch: no time at all, or that of the obligation, of what an exception will end or of
    unusual figures.
    """
    with store.write(None) as tx:
        kept(tx)
        accepted_at = at("2013-02-04 05:01")
        _accept(tx, "mid", "2013-02-03", "2013-02-06 09:00")
        result = stated(tx, NOW)
        tx.execute("update accepted set at = ?", (accepted_at,))
        assert (result.state, result.since_us) == ("at_risk", at("2013-02-04 05:02"))
        renewed = at("2013-02-05 10:00")
        tx.execute("update accepted set ended_at = ?", (renewed,))
        tx.execute(
            "insert into accepted (node, partition, quarantine_id, publication_id, actor, reason,"
            " at, until) select node, partition, 1, publication_id, 'bob', 'still fine', ?, ? from"
            " accepted",
            (renewed, at("2013-02-07 09:00")),
        )
        again = stated(tx, NOW)
    assert (again.state, again.since_us) == (
        "at_risk",
        at("2013-02-04 05:02"),
    ), "a renewal begins nothing"
