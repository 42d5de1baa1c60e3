"""Who is told of what, when and how often, over a real store: judgements follow each other, and
what was told stays told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_facts import ZONE, at, declare, node

from headrace.incidents.commands import RecordedAction, actions_clause
from headrace.incidents.digest import Unserved, digests
from headrace.incidents.notifications import Deadlines, tell
from headrace.model import Grain, Project, Settings
from headrace.model.nodes import Consumer, Owner, PartitionSpec, Place, Source
from headrace.slo.consumer_states import AtRisk
from headrace.store import Store
from headrace.store.queries import incident_mutes, incidents, notifications
from headrace.store.queries.incident_handling import UNMUTED
from headrace.store.queries.incident_mutes import Mute, mute_line, mute_of
from headrace.store.queries.incidents import Affected, Happened, Incident, IncidentEvidence
from headrace.store.transaction import Transaction

PLACE = Place(file="owners.yaml", line=1)
MINUTE = 60_000_000
HOUR = 60 * MINUTE
NIGHT, MORNING = "2025-01-10T04:40", "2025-01-10T07:00"
RISK = AtRisk(
    "2025-01-09", at(MORNING), "flights", "2025-01-09", "held", "headrace why report", None, None
)


def owner(name: str, *contact: str, **more: Any) -> Owner:
    return Owner(name=name, contact=contact, place=PLACE, **more)


def project(*owners: Owner, notify: dict[str, dict[str, Any]] | None = None) -> Project:
    channels = {"mail": {"url": "file:outbox"}, **(notify or {})}
    return Project(
        settings=Settings(name="p", timezone=ZONE, notify=channels),
        owners={owner.name: owner for owner in owners},
        sources={"flights": Source(name="flights", owner="vendor", place=PLACE)},
        consumers={"report": Consumer(name="report", owner="readers", reads=("a",), place=PLACE)},
    )


VENDOR = owner("vendor", "mailto:v@x.example", kind="vendor", manager="team")
TEAM = owner("team", "mailto:t@x.example")
READERS = owner("readers", "mailto:r@x.example")


def incident(number: int = 1, **more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": number,
        "state": "open",
        "kind": "schema_change",
        "detail": "",
        "node": "flights",
        "partition": "2025-01-09",
        "columns": ("dep",),
        "fingerprint": str(number),
        "owner": "vendor",
        "summary": "1 column renamed",
        "confidence": 0.9,
        "evidence": (),
        "affected": Affected(("a",), ("report",), ("2025-01-09",)),
        "began_at": at(NIGHT),
        "opened_at": at(NIGHT),
        "updated_at": at(NIGHT),
        **more,
    }
    return Incident(**given)


class Board:
    """A store, and what is told over it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def judge(
        self,
        people: Project,
        now: int,
        *result: Incident,
        risk: bool = False,
        late: dict[str, int] | None = None,
        **more: Any,
    ) -> None:
        with self.store.write(None) as tx:
            for item in result:
                incidents.write(tx, item)
            deadlines = Deadlines({"report": RISK} if risk else {}, late or {}, **more)
            tell(tx, people, deadlines, now, lambda item: ("", [f"headrace fix {item.label}"]))

    def rows(self, columns: str = "kind, recipient, state") -> list[tuple[Any, ...]]:
        with self.store.read() as tx:
            return [tuple(row) for row in tx.execute(f"select {columns} from notice order by id")]

    def send(self, now: int) -> list[tuple[str, str]]:
        """All that is due goes out."""
        with self.store.write(None) as tx:
            batch = notifications.take(tx, now, 1_000)
            for item in batch:
                notifications.sent(tx, item.id, now, None)
        return [(item.kind, item.recipient) for item in batch]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Store.open(tmp_path, Settings(name="p"), create=True) as store:
        yield Board(store)


def over(item: Incident, now: int) -> Incident:
    return msgspec.structs.replace(
        item, state="resolved", resolved_at=now, restored_at=now, updated_at=now
    )


def test_who_reads_wrong_rows_is_named_in_the_mail_of_what_makes_them_wrong(board: Board) -> None:
    """Would catch: rows × 100 after a change of code, published with every check green, `report` ✗
    wrong on the status page, and a mail that says no more than that an incident reaches it."""
    people, item = project(VENDOR, TEAM, READERS), incident(kind="code_error", owner="team")
    other = incident(2, fingerprint="2", kind="slow_run", owner="team")
    board.judge(people, at(NIGHT), item, other, wrong_known={"report": (1, at(NIGHT))})
    bodies = {number: body.splitlines() for number, body in board.rows("incident_id, body")}
    assert [line for line in bodies[1] if line.startswith("report is ")] == [
        "report is wrong since Fri 2025-01-10 04:40"
    ]
    assert not any(line.startswith("report is ") for line in bodies[2])


def test_each_is_told_once_and_again_when_it_is_another_cause_or_over(board: Board) -> None:
    """Catches: a vendor who is written to, a message with each judgement, a refined cause that
    nobody hears of, an end that nobody is told of, and an incident that opens and closes all night
    with two messages each time."""
    people, item, now = project(VENDOR, TEAM, READERS), incident(), at(NIGHT)
    for minute in range(5):
        board.judge(people, now + minute * MINUTE, item)
    assert board.send(now + 5 * MINUTE) == [("opened", "team"), ("opened", "readers")]
    item = msgspec.structs.replace(item, kind="type_change")
    board.judge(people, now + 6 * MINUTE, item)
    board.judge(people, now + 7 * MINUTE, item)
    assert board.send(now + 8 * MINUTE) == [("changed", "team"), ("changed", "readers")]
    ended = over(item, now + 9 * MINUTE)
    board.judge(people, now + 9 * MINUTE, ended)
    board.judge(people, now + 10 * MINUTE)
    assert board.send(now + 11 * MINUTE) == [("resolved", "team"), ("resolved", "readers")]
    board.judge(people, now + 12 * MINUTE, item)
    assert board.send(now + 13 * MINUTE) == []
    board.judge(people, now + 2 * HOUR)
    assert board.send(now + 2 * HOUR) == [("opened", "team"), ("opened", "readers")]
    assert board.rows("title")[-1][0].endswith("(again)")
    board.judge(people, now + 3 * HOUR, ended)
    assert board.send(now + 3 * HOUR) == [("resolved", "team"), ("resolved", "readers")]


def test_a_late_file_that_is_missing_now_is_told_as_the_same(board: Board) -> None:
    """Would catch: "it is another cause" of a file that still isn't there, and a mail that doesn't
    say that a consumer is late now."""
    people, now = project(VENDOR, TEAM, READERS), at(NIGHT)
    item = incident(kind="late_source")
    board.judge(people, now, item, risk=True)
    board.send(now)
    item = msgspec.structs.replace(item, kind="missing_source")
    board.judge(people, now + HOUR, item, late={"report": now})
    assert board.send(now + HOUR) == [("changed", "team"), ("changed", "readers")]
    body = board.rows("body")[-1][0].splitlines()
    assert body[0] == "It was late; its deadline has passed now: it is missing."
    assert any(line.startswith("report is late since ") for line in body)


def test_what_is_over_before_it_was_sent_is_not_told(board: Board) -> None:
    """Catches: people woken by what is no more; an end told to whom the beginning wasn't."""
    night = owner("team", "mailto:t@x.example", quiet="22:00-07:00")
    people, now = project(VENDOR, night), at(NIGHT)
    board.judge(people, now, incident())
    board.judge(people, now + MINUTE, msgspec.structs.replace(incident(), kind="type_change"))
    assert board.rows("kind, said, state") == [("opened", "type_change@flights", "waiting")]
    board.judge(people, now + HOUR, over(incident(), now + HOUR))
    assert board.rows() == [("opened", "team", "dropped"), ("resolved", "team", "dropped")]
    assert board.send(at("2025-01-10T12:00")) == []


def test_quiet_hours_hold_until_a_deadline_is_at_risk(board: Board) -> None:
    """Catches: a message in the night that can wait, and one that can't wait held until the morning
    after.
    """
    night = owner("team", "mailto:t@x.example", quiet="22:00-07:00")
    people, now = project(VENDOR, night, READERS), at(NIGHT)
    board.judge(people, now, incident())
    assert board.send(now) == [("opened", "readers")]
    board.judge(people, now + MINUTE)
    assert board.send(now + MINUTE) == []
    assert board.rows("not_before")[0] == (at(MORNING),)
    board.judge(people, now + 2 * MINUTE, risk=True)
    assert board.send(now + 2 * MINUTE) == [("opened", "team")]


def test_managers_are_told_when_it_takes_too_long_or_a_deadline_is_missed(board: Board) -> None:
    """Catches: an escalation at once, none at all, one with each judgement, or one to whom is told
    anyway; managers in a circle."""
    team = owner("team", "mailto:t@x.example", manager="boss", escalate="2h")
    boss = owner("boss", "mailto:b@x.example", manager="team")
    people, now = project(VENDOR, team, boss), at(NIGHT)
    board.judge(people, now, incident())
    board.judge(people, now + HOUR)
    assert board.send(now + HOUR) == [("opened", "team")]
    board.judge(people, now + 2 * HOUR - 1)
    assert board.send(now + 2 * HOUR - 1) == []
    board.judge(people, now + 2 * HOUR)
    assert board.send(now + 2 * HOUR) == [("escalated", "boss")]
    board.judge(people, now + 3 * HOUR, late={"report": at(MORNING)})
    assert board.send(now + 3 * HOUR) == []
    second = incident(
        2, node="others", affected=Affected((), ("report",)), opened_at=now + 3 * HOUR
    )
    board.judge(people, now + 3 * HOUR, second, late={"report": at(MORNING)})
    assert board.send(now + 3 * HOUR) == [("opened", "team"), ("escalated", "boss")]


def test_deadlines_that_will_be_missed_are_told_before(board: Board) -> None:
    """Catches: a risk that nobody hears of before it is late, one told twice, or told again beside
    the incident that is its cause."""
    people, now = project(VENDOR, TEAM, READERS), at(NIGHT)
    board.judge(people, now, risk=True)
    board.judge(people, now + MINUTE, risk=True)
    assert board.send(now + MINUTE) == [("at_risk", "readers"), ("at_risk", "team")]
    board.judge(people, at(MORNING), late={"report": at(MORNING)})
    board.judge(people, at(MORNING) + MINUTE, late={"report": at(MORNING)})
    assert board.send(at(MORNING) + MINUTE) == [("late", "readers")]
    board.judge(people, at(MORNING) + HOUR, incident(), late={"report": at(MORNING)})
    assert board.send(at(MORNING) + HOUR) == [("opened", "team"), ("opened", "readers")]


def test_withdrawn_rows_are_told_with_their_cause(board: Board) -> None:
    """Catches "no cause is known yet" of what somebody withdrew, and readers of what was made of it
    who hear nothing.
    """
    people, now, said = (
        project(VENDOR, TEAM, READERS),
        at(MORNING),
        "a@2025-01-09, withdrawn: cents (by ann)",
    )
    root = "a@2025-01-09 was withdrawn: cents (by ann)"
    for minute in range(2):
        board.judge(people, now + minute * MINUTE, late={"report": now}, withdrawn={"report": said})
    board.judge(people, now + HOUR, wrong={"report": (now, root)})
    assert board.rows("kind, recipient") == [("late", "readers"), ("wrong", "readers")]
    late, wrong = (body.splitlines() for (body,) in board.rows("body"))
    assert (
        late[0]
        == "It is late since Fri 2025-01-10 07:00; it waits for a@2025-01-09, withdrawn: cents (by"
        " ann)."
    )
    assert wrong[0] == f"It is wrong since Fri 2025-01-10 07:00: {root}."


def test_a_shared_channel_is_written_to_once_and_tickets_are_of_causes(board: Board) -> None:
    """Catches: a ticket for each owner of one cause, a ticket for a deadline, a contact that isn't
    declared and is never heard of.
    """
    tickets = {"tickets": {"url": "${T}", "update": {"url": "${T}/{reference}"}}}
    people = project(
        VENDOR, owner("team", "tickets", "gone"), owner("readers", "tickets"), notify=tickets
    )
    board.judge(people, at(NIGHT), incident())
    board.judge(people, at(NIGHT) + MINUTE, risk=True)
    board.judge(people, at(NIGHT) + 2 * MINUTE, over(incident(), at(NIGHT) + 2 * MINUTE), risk=True)
    assert board.rows("kind, recipient, channel, error") == [
        ("opened", "team", "tickets", "it was over before this was sent"),
        ("opened", "team", "gone", "there is no [notify.gone]"),
        ("resolved", "team", "tickets", "it was over before this was sent"),
        ("resolved", "team", "gone", "it was over before this was sent"),
        ("at_risk", "readers", "tickets", "only causes become tickets"),
        ("at_risk", "team", "tickets", "only causes become tickets"),
        ("at_risk", "team", "gone", "there is no [notify.gone]"),
    ]


def test_a_flood_is_told_as_one(board: Board) -> None:
    """Catches: hundreds of messages in a night, and causes beyond the first that come one by one
    later."""
    people = project(VENDOR, TEAM)
    many = [incident(number, node=f"n{number}") for number in range(1, 61)]
    board.judge(people, at(NIGHT), *many)
    board.judge(people, at(NIGHT) + MINUTE)
    board.judge(people, at(NIGHT) + 2 * HOUR)
    sent = board.send(at(NIGHT) + 2 * HOUR)
    assert len(sent) == 21
    assert [row for row in board.rows("subject") if row[0].startswith("more/")] == [
        (f"more/{at(NIGHT) // HOUR}",)
    ]


@pytest.mark.parametrize(
    "kind", ["code_error", "unknown", "reported", "configuration_error", "destination_unavailable"]
)
def test_messages_hold_no_values_and_no_hidden_characters(board: Board, kind: str) -> None:
    """Catches: a cell's value that an error quotes, or a person wrote, in a mail; a column's name
    that begins a new line or turns it."""
    item = incident(
        kind=kind,
        summary="ValueError: no amount 4711 of Mr Canary",
        columns=("x\r\nBcc: all@x.example\u202e",),
    )
    board.judge(project(VENDOR, TEAM), at(NIGHT), item)
    ((title, body),) = board.rows("title, body")
    assert "4711" not in title + body
    assert "Canary" not in title + body
    assert not {"\r", "\u202e"} & set(title + body)
    assert "\nBcc" not in body
    assert "headrace incident INC-1" in body
    assert ("ValueError" in title) == (kind in ("code_error", "unknown", "configuration_error"))


def test_a_message_says_what_was_renamed_to_what(board: Board) -> None:
    """Would catch: two columns renamed, at three in the morning, and neither name of
    the new ones."""
    pairs = (
        ("arr_delay", "arrival_delay"),
        ("dep_delay", "departure_delay"),
        ("arr_delay", "arrival_delay"),
    )
    said = tuple(
        IncidentEvidence(what="column renamed", expected=old, observed=new, at=0, id=f"fact:{n}")
        for n, (old, new) in enumerate(pairs)
    )
    board.judge(
        project(VENDOR, TEAM),
        at(NIGHT),
        incident(columns=("arr_delay", "dep_delay"), evidence=said),
    )
    ((body,),) = board.rows("body")
    assert "renamed: arr_delay → arrival_delay, dep_delay → departure_delay\n" in body


def test_a_message_names_the_package_that_many_nodes_lack(board: Board) -> None:
    """Would catch: a title that says code error and nothing else, of what one command
    puts right.
    """
    board.judge(
        project(VENDOR, TEAM),
        at(NIGHT),
        incident(
            kind="code_error", summary="200 nodes: ModuleNotFoundError: No module named 'scipy'"
        ),
    )
    ((title,),) = board.rows("title")
    assert title.endswith("code error in 200 nodes, No module named 'scipy'")


def test_faults_of_our_own_are_told_to_those_whom_they_affect(board: Board) -> None:
    """Catches: an incident of Headrace itself, which is in no owners.yaml, that nobody hears of;
    and people who can't be told.
    """
    own = incident(owner="headrace", node="headrace", kind="runtime_down")
    board.judge(project(VENDOR, READERS), at(NIGHT), own)
    assert board.rows() == [("opened", "readers", "waiting")]
    board.judge(project(VENDOR), at(NIGHT), incident(2))
    assert len(board.rows()) == 1


def test_what_nobody_looked_through_is_told_although_it_is_over_when_it_is_found(
    board: Board,
) -> None:
    """Would catch: deadlines missed over a weekend that nobody is told of, told of with each
    judgement after it, and not told of the second time."""
    people, now = project(VENDOR, READERS), at(NIGHT)
    own = incident(owner="headrace", node="headrace", kind="runtime_down", opened_at=now)
    for minute in range(3):
        board.judge(people, now + minute * MINUTE, over(own, now))
    assert board.rows() == [("resolved", "readers", "waiting")]
    assert board.send(now) == [("resolved", "readers")]
    board.judge(people, now + 24 * HOUR, over(own, now + 24 * HOUR))
    board.judge(people, now + 25 * HOUR)
    assert board.send(now + 25 * HOUR) == [("resolved", "readers")]
    board.judge(people, now + 26 * HOUR, over(incident(2), now + 26 * HOUR))
    assert board.send(now + 26 * HOUR) == []


def mute(board: Board, now: int, until: int | None = None) -> None:
    with board.store.write(None) as tx:
        act, line = mute_line(until, "then", "the vendor is at it: really")
        incidents.happened(tx, 1, [Happened(now, line, "ana", act)])
        notifications.forget_waiting(tx, 1)


def test_nobody_is_told_of_a_muted_incident_until_its_mute_is_over(board: Board) -> None:
    """Would catch: a message that waited for the morning, a warning, an escalation or another cause
    of a muted incident; and nothing, or each of them, after the mute."""
    team = owner("team", "mailto:t@x.example", quiet="22:00-05:00", manager="boss", escalate="2h")
    people = project(VENDOR, team, owner("boss", "mailto:b@x.example"), READERS)
    item, now, until = incident(), at(NIGHT), at(NIGHT) + 3 * HOUR
    board.judge(people, now, item)
    assert board.send(now) == [("opened", "readers")]
    mute(board, now + MINUTE, until)
    item = msgspec.structs.replace(item, kind="type_change")
    for hours in (1, 2, 3):
        at_us = now + hours * HOUR - MINUTE
        board.judge(people, at_us, item, risk=True, late={"report": now} if hours > 1 else None)
        assert board.send(at_us) == []
    for minutes in range(2):
        board.judge(people, until + minutes * MINUTE, item)
    assert board.send(until + MINUTE) == [
        ("opened", "team"), ("changed", "readers"), ("escalated", "boss"),
    ]  # fmt: skip


def test_the_end_of_a_muted_incident_is_told_to_whom_it_was_told_before(board: Board) -> None:
    """Would catch: a ticket that stays open, and an end told to whom the beginning wasn't."""
    item, now = incident(), at(NIGHT)
    board.judge(project(VENDOR, READERS), now, item)
    assert board.send(now) == [("opened", "readers")]
    mute(board, now + MINUTE)
    people = project(VENDOR, TEAM, READERS)
    board.judge(people, now + HOUR, item)
    board.judge(people, now + 2 * HOUR, over(item, now + 2 * HOUR))
    assert board.send(now + 2 * HOUR) == [("resolved", "readers")]


def test_a_mute_ends_when_its_incident_is_opened_again(board: Board) -> None:
    """Would catch: a mute for good, whose recurrence nobody hears of; messages about the end of an
    outage that was muted, or none about one that was unmuted before."""
    people, item, now = project(VENDOR, TEAM), incident(), at(NIGHT)
    board.judge(people, now, item)
    mute(board, now + MINUTE)
    assert board.rows() == []
    ended = over(item, now + HOUR)
    for minutes in range(2):
        board.judge(people, now + HOUR + minutes * MINUTE, ended)
    assert board.rows() == []
    with board.store.write(None) as tx:
        line = Happened(now + 2 * HOUR, "opened again: the same has come back", "headrace")
        incidents.happened(tx, 1, [line])
    board.judge(people, now + 2 * HOUR, item)
    assert board.send(now + 2 * HOUR) == [("opened", "team")]


@pytest.mark.parametrize("unmuted", [False, True])
def test_an_outage_that_is_muted_to_its_end_is_told_to_nobody(board: Board, unmuted: bool) -> None:
    """Would catch: a mail about deadlines that were missed during a muted outage."""
    people, now = project(VENDOR, READERS), at(NIGHT)
    own = incident(owner="headrace", node="headrace", kind="runtime_down", opened_at=now)
    board.judge(people, now, own)
    mute(board, now)
    if unmuted:
        with board.store.write(None) as tx:
            incidents.happened(tx, 1, [Happened(now, UNMUTED, "ana", UNMUTED)])
    board.judge(people, now + HOUR, over(own, now + HOUR))
    assert board.rows("kind, recipient") == ([("resolved", "readers")] if unmuted else [])


def test_a_message_that_is_being_sent_stays(board: Board) -> None:
    """Would catch: a message sent a second time after the mute, a retry during the mute, and an end
    of which nobody hears who got a retry that was under way."""
    people, now = project(VENDOR, TEAM, READERS), at(NIGHT)
    board.judge(people, now, incident())
    with board.store.write(None) as tx:
        for message in notifications.take(tx, now, 2):
            notifications.again(tx, message.id, now + MINUTE, "no answer")
        delivered, failed = notifications.take(tx, now + MINUTE, 2)
    mute(board, now + MINUTE)
    with board.store.write(None) as tx:
        notifications.sent(tx, delivered.id, now + MINUTE, None)
        notifications.again(tx, failed.id, now + 2 * MINUTE, "no answer")
    assert board.send(now + 2 * MINUTE) == []
    assert board.rows("recipient") == [(delivered.recipient,)]
    board.judge(people, now + HOUR, over(incident(), now + HOUR))
    assert board.send(now + HOUR) == [("resolved", delivered.recipient)]


def test_a_first_try_that_fails_during_a_mute_is_sent_after_it(board: Board) -> None:
    """Would catch: a message tried for hours although its incident is muted, the sending process
    started over and over for it, and a recipient who never hears of the incident."""
    people, now = project(VENDOR, TEAM), at(NIGHT)
    board.judge(people, now, incident())
    with board.store.write(None) as tx:
        (message,) = notifications.take(tx, now, 1)
    mute(board, now, now + HOUR)
    with board.store.write(None) as tx:
        notifications.again(tx, message.id, now + MINUTE, "no answer")
    assert board.send(now + MINUTE) == []
    with board.store.read() as tx:
        assert notifications.next_at(tx) is None
    board.judge(people, now + HOUR)
    assert board.send(now + HOUR) == [("opened", "team")]


def test_only_incidents_that_were_muted_are_asked_for_their_mute(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a query for each incident, with each evaluation and each `status`."""
    asked = list[int]()

    def recorded(tx: Transaction, number: int, at: int) -> Mute | None:
        asked.append(number)
        return mute_of(tx, number, at)

    monkeypatch.setattr(incident_mutes, "mute_of", recorded)
    items = [incident(number, fingerprint=f"{number}") for number in (1, 2, 3)]
    with board.store.write(None) as tx:
        for item in items:
            incidents.write(tx, item)
        assert incident_mutes.mutes(tx, items, at(NIGHT)) == {}
    mute(board, at(NIGHT))
    with board.store.read() as tx:
        assert list(incident_mutes.mutes(tx, items, at(NIGHT))) == [1]
        assert incident_mutes.mutes(tx, items[1:], at(NIGHT)) == {}
    assert asked == [1]


def test_what_is_known_of_a_mute(board: Board) -> None:
    """Would catch: a reason that is cut, a mute that holds at its end, one of another incident, and
    one that was replaced."""
    now = at(NIGHT)
    with board.store.write(None) as tx:
        incidents.write(tx, incident())
        assert mute_of(tx, 1, now) is None
    mute(board, now, now + HOUR)
    with board.store.read() as tx:
        known = Mute(now, now + HOUR, "ana", "the vendor is at it: really")
        assert mute_of(tx, 1, now + HOUR - 1) == known
        assert mute_of(tx, 1, now + HOUR) is None
        assert mute_of(tx, 1, now - 1) is None
        assert mute_of(tx, 2, now) is None
    mute(board, now + MINUTE)
    with board.store.read() as tx:
        assert mute_of(tx, 1, now + 100 * HOUR) == known._replace(since=now + MINUTE, until=None)


def test_a_digest_marks_what_is_muted(board: Board) -> None:
    """Would catch: a digest that leaves a muted incident out, or that doesn't say why nobody wrote
    about it."""
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    promises = declare([node("flights", Grain.DAY, source=True)])
    with board.store.write(None) as tx:
        incidents.write(tx, incident())
    mute(board, at("2025-01-10T05:00"))
    bodies = []
    for day in ("2025-01-10", "2025-01-11"):
        with board.store.write(None) as tx:
            now = at(f"{day}T08:00")
            queued = list(digests(tx, people, promises, Unserved(), now))
            notifications.put(tx, queued, now)
        bodies += [item.body.splitlines() for item in queued]
    assert bodies == [
        ["new: INC-1 flights: 1 column renamed (muted)"],
        ["open still: INC-1 (muted)"],
    ]


def test_the_digest_says_what_changed_and_nothing_else(board: Board) -> None:
    """Catches: a digest on a day without a change, two of one day, one before its time, a drop that
    every Saturday has told as one that needs a reason, a drop that needs one told as usual, and
    others' incidents in it."""
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    grained = msgspec.structs.replace(
        people.sources["flights"], partition=PartitionSpec(grain=Grain.DAY)
    )
    people = msgspec.structs.replace(people, sources={"flights": grained})
    declared_promises = declare(
        [node("flights", Grain.DAY, source=True), node("a", Grain.DAY, "flights")]
    )

    def digest(now: str) -> list[str]:
        with board.store.write(None) as tx:
            result = list(digests(tx, people, declared_promises, Unserved(), at(now)))
            notifications.put(tx, result, at(now))
        return [item.body for item in result if item.state == "waiting"]

    def rows(day: str, count: int) -> None:
        with board.store.write(None) as tx:
            tx.execute(
                "insert into publication (node, partition, epoch, n, snapshot, published_at, rows,"
                " bytes, verdict, version) values ('flights', ?, 1, 1, 1, ?, ?, 0, 'fresh', 1)",
                (day, at(day) + 86_400_000_000, count),
            )

    day = date(2025, 1, 1)
    while day < date(2025, 2, 1):
        rows(day.isoformat(), 690 if day.weekday() == 5 else 1_000)
        day += timedelta(days=1)
    assert digest("2025-02-01T07:59") == []
    rows("2025-02-01", 690)
    assert digest("2025-02-02T08:00") == [
        (
            "flights: 31% fewer rows on 2025-02-01 than the day before (1,000 → 690, attempts 1.1"
            " and 1.1): Saturday, as the last 4 Saturdays (690)"
        ),
    ]
    assert digest("2025-02-02T09:00") == []
    rows("2025-02-02", 700)
    assert digest("2025-02-03T08:30") == []
    rows("2025-02-03", 400)
    with board.store.write(None) as tx:
        incidents.write(tx, incident(opened_at=at("2025-02-03T22:00")))
        incidents.write(
            tx,
            incident(
                2,
                node="others",
                owner="team",
                affected=Affected(),
                opened_at=at("2025-02-03T22:00"),
            ),
        )
        incidents.write(
            tx,
            over(incident(3, node="weather", opened_at=at("2025-01-20")), at("2025-02-03T12:00")),
        )
    (said,) = digest("2025-02-04T08:00")
    assert said.splitlines() == [
        "new: INC-1 flights: 1 column renamed",
        "over: INC-3 weather: 1 column renamed. Mon 2025-02-03 12:00: Nothing of it is left.",
        (
            "flights: 43% fewer rows on 2025-02-03 than the day before (700 → 400, attempts 1.1 and"
            " 1.1); the last 4 Mondays have 1,000 as a rule, this one 400"
        ),
    ]


def test_exactly_one_digest_has_what_is_new(board: Board) -> None:
    """Catches: a digest that is made at 08:30 with what came after 08:00, which the next one tells
    again; a day of 23 hours.
    """
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    declared_promises = declare(
        [node("flights", Grain.DAY, source=True), node("a", Grain.DAY, "flights")]
    )

    def digest(now: str, late: dict[str, int]) -> list[str]:
        with board.store.write(None) as tx:
            result = list(digests(tx, people, declared_promises, Unserved(late), at(now)))
            notifications.put(tx, result, at(now))
        return [
            line for item in result if item.state == "waiting" for line in item.body.splitlines()
        ]

    with board.store.write(None) as tx:
        incidents.write(tx, incident(opened_at=at("2025-02-04T08:10")))
    late = {"report": at("2025-02-04T08:20")}
    assert digest("2025-02-04T08:30", late) == []
    told = digest("2025-02-05T08:30", late)
    assert told[:2] == [
        "new: INC-1 flights: 1 column renamed",
        "late since Tue 2025-02-04 08:20: report (headrace why report)",
    ]
    assert not any(
        line.startswith(("new:", "late since")) for line in digest("2025-02-06T08:00", late)
    )


def test_a_digest_names_who_was_never_served(board: Board) -> None:
    """Would catch: a consumer that has had nothing since its first deadline, and is in
    no digest.
    """
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    declared_promises = declare(
        [node("flights", Grain.DAY, source=True), node("a", Grain.DAY, "flights")]
    )

    def digest(now: str) -> list[str]:
        never = Unserved(never={"report": at("2025-02-04T07:00")})
        with board.store.write(None) as tx:
            result = list(digests(tx, people, declared_promises, never, at(now)))
            notifications.put(tx, result, at(now))
        return [
            line for item in result if item.state == "waiting" for line in item.body.splitlines()
        ]

    assert digest("2025-02-04T08:30") == [
        "never served, due since Tue 2025-02-04 07:00: report (headrace why report)"
    ]
    assert digest("2025-02-05T08:30") == [], "it is said once"


def test_a_digest_is_about_all_days_since_the_one_before(board: Board) -> None:
    """Catches: news of a day on which nothing ran that no digest has; "late since 06:00" of
    yesterday; a vendor's incident that isn't in the digest of whoever is told for it."""
    people = project(
        VENDOR,
        owner("readers", "mailto:r@x.example", digest="08:00"),
        owner("acme", kind="vendor", manager="readers"),
    )
    declared_promises = declare(
        [node("flights", Grain.DAY, source=True), node("a", Grain.DAY, "flights")]
    )

    def digest(now: str, late: dict[str, int]) -> list[str]:
        with board.store.write(None) as tx:
            result = list(digests(tx, people, declared_promises, Unserved(late), at(now)))
            notifications.put(tx, result, at(now))
        return [
            line for item in result if item.state == "waiting" for line in item.body.splitlines()
        ]

    digest("2025-02-04T06:00", {})
    with board.store.write(None) as tx:
        incidents.write(tx, incident(opened_at=at("2025-02-04T06:00")))
        incidents.write(
            tx,
            incident(
                2,
                node="others",
                owner="acme",
                affected=Affected(),
                opened_at=at("2025-02-04T06:00"),
            ),
        )
    late = {"report": at("2025-02-04T06:00")}
    told = digest("2025-02-06T09:00", late)
    assert [line[:10] for line in told if line.startswith("new:")] == ["new: INC-1", "new: INC-2"]
    assert "late since Tue 2025-02-04 06:00: report (headrace why report)" in told
    assert not any(
        line.startswith(("new:", "late since")) for line in digest("2025-02-07T08:00", late)
    )


def test_what_was_over_after_a_digest_was_due_is_new_in_it(board: Board) -> None:
    """Catches: "nothing has changed" of a day on which an incident was opened, because it was over
    when the digest was made.
    """
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    declared_promises = declare([node("flights", Grain.DAY, source=True)])
    with board.store.write(None) as tx:
        opened = incident(opened_at=at("2025-02-04T07:00"))
        incidents.write(tx, over(opened, at("2025-02-04T08:10")))
        told = list(digests(tx, people, declared_promises, Unserved(), at("2025-02-04T08:20")))
        notifications.put(tx, told, at("2025-02-04T08:20"))
        next_day = list(digests(tx, people, declared_promises, Unserved(), at("2025-02-05T08:20")))
    assert [item.body for item in told] == ["new: INC-1 flights: 1 column renamed"]
    assert [item.body for item in next_day] == [
        "over: INC-1 flights: 1 column renamed. Tue 2025-02-04 08:10: Nothing of it is left."
    ]


def test_the_first_digest_says_since_when_nothing_is_to_be_reported(board: Board) -> None:
    """Catches: a digest of a day on which there was no project, and "nothing has changed" of one
    that has no day before.
    """
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    declared_promises = declare([node("flights", Grain.DAY, source=True)])
    with board.store.write(None) as tx:
        applied = at("2025-02-03T12:00")
        tx.execute(
            "insert into version (id, hash, manifest, compiled, applied_at, actor) values (1, 'h',"
            " '{}', ?, ?, 't')",
            (b"", applied),
        )

        def digest(now: str) -> list[str | None]:
            result = list(digests(tx, people, declared_promises, Unserved(), at(now)))
            notifications.put(tx, result, at(now))
            return [item.error for item in result]

        assert digest("2025-02-03T13:00") == []
        first = "nothing to report since the project was applied, Mon 2025-02-03 12:00"
        assert digest("2025-02-04T08:00") == [first]
        assert digest("2025-02-05T08:00") == ["nothing has changed"]


def test_a_digest_is_about_what_was_known_when_it_was_due(board: Board) -> None:
    """Would catch: the end of an incident that no digest has, since it was opened again before the
    digest was made; an incident that was opened again called new; what an incident turned out to be
    later in the digest of the day before."""
    people = project(VENDOR, owner("readers", "mailto:r@x.example", digest="08:00"))
    declared_promises = declare([node("flights", Grain.DAY, source=True)])

    def digest(now: str) -> list[str]:
        with board.store.write(None) as tx:
            result = list(digests(tx, people, declared_promises, Unserved(), at(now)))
            notifications.put(tx, result, at(now))
        return [
            line for item in result if item.state == "waiting" for line in item.body.splitlines()
        ]

    def write(when: str, line: str, **changed: object) -> None:
        item = incident(opened_at=at("2025-02-03T22:00"), updated_at=at(when))
        with board.store.write(None) as tx:
            incidents.write(tx, msgspec.structs.replace(item, **changed))  # type: ignore[arg-type]
            incidents.happened(tx, 1, [incidents.Happened(at(when), line, "headrace")])

    write("2025-02-03T22:00", "opened: schema_change at flights, 1 column renamed")
    assert digest("2025-02-04T08:00") == ["new: INC-1 flights: 1 column renamed"]
    over_at = at("2025-02-04T20:00")
    ended = {"state": "resolved", "restored_at": over_at, "resolved_at": over_at}
    write("2025-02-04T20:00", "resolved: names accepted by ann: flights", **ended)
    write("2025-02-05T08:10", "opened again: the same has come back", summary="2 columns renamed")
    at_end = "Tue 2025-02-04 20:00"
    expected = [f"over: INC-1 flights: 1 column renamed. {at_end}: Names accepted by ann: flights."]
    assert digest("2025-02-05T09:00") == expected
    assert digest("2025-02-06T08:00") == ["open again: INC-1 flights: 2 columns renamed"]
    assert digest("2025-02-07T08:00") == ["open still: INC-1"]


def did(seq: int, text: str, *places: tuple[str, str], **more: str) -> RecordedAction:
    return RecordedAction(seq=seq, at=seq, action="x", did=text, actor="ann", places=places, **more)


def test_what_people_did_is_one_clause() -> None:
    """Catches an incident that lists the same command a hundred times, or leaves out what was done
    last."""
    dropped = did(1, "dropped", ("orders", "2025-01-09"), reason="a test file")
    again = did(
        2, "dropped", ("orders", "2025-01-10"), ("orders", "2025-01-09"), reason="a test file"
    )
    paused = did(3, "paused", ("orders", "*"), extra="until noon")
    repaired = did(4, "repaired", ("7", ""))
    both = "dropped by ann: orders@2025-01-09, orders@2025-01-10 (a test file)"
    assert actions_clause([dropped], 3) == "dropped by ann: orders@2025-01-09 (a test file)"
    assert actions_clause([dropped, again], 3) == both
    assert (
        actions_clause([dropped, paused, again], 3) == f"{both}; paused by ann until noon: orders"
    )
    assert actions_clause([dropped, paused, repaired], 2) == (
        "paused by ann until noon: orders; repaired by ann; 1 more before"
    )
    many = did(5, "waived", *((f"n{number}", "") for number in range(9)))
    assert actions_clause([many], 1) == "waived by ann: n0, n1, n2 and 6 more"
    assert actions_clause([], 1) == ""
