"""Titles and bodies of messages, each line of them, without a store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from small_facts import ZONE, at

from headrace.incidents.diagnosis.evidence import DISK
from headrace.incidents.messages import (
    LINE_MAX,
    MessageText,
    Recipient,
    Recipients,
    RepairOf,
    Typed,
    Words,
    clause,
    plain,
    subject,
)
from headrace.model import Project, Settings
from headrace.model.causes import HEADRACE
from headrace.model.nodes import Asset, Consumer, Owner, Place, Source, SqlBody
from headrace.slo.consumer_states import AtRisk
from headrace.store.queries.incidents import Affected, Incident, IncidentEvidence

PLACE = Place(file="owners.yaml", line=1)
NIGHT, MORNING = at("2025-01-10 04:40"), at("2025-01-10 07:00")
MINUTE, HOUR = 60_000_000, 3_600_000_000


def owner(name: str, *contact: str, **more: Any) -> Owner:
    return Owner(name=name, contact=contact, place=PLACE, **more)


OWNERS = (
    owner("vendor", "mailto:v@x.example", kind="vendor", manager="silent"),
    owner("silent", manager="team"),
    owner("team", "mailto:t@x.example", manager="team"),
    owner("readers", "mailto:r@x.example", manager="vendor"),
    owner("asked", "mailto:a@x.example", kind="vendor", tell=True, manager="nobody"),
    owner("a", manager="b"),
    owner("b", manager="a"),
)
NAMES = ("report", "board", "gone", "late1", "risky")
PROJECT = Project(
    settings=Settings(
        name="p", timezone=ZONE, notify={"mail": {}, "tickets": {"update": "x"}, "chat": {}}
    ),
    owners={item.name: item for item in OWNERS},
    sources={"flights": Source(name="flights", owner="vendor", place=PLACE)},
    assets={"delays": Asset(
            name="delays", owner="team", body=SqlBody(text="select 1", file="x.sql"), place=PLACE
        )},
    consumers={
        name: Consumer(
            name=name, owner="readers" if name == "report" else "team", reads=("delays",),
            place=PLACE,
        )
        for name in NAMES
        if name != "gone"
    },
)  # fmt: skip
TO_TEAM, TO_READERS = Recipient(OWNERS[2], ("vendor", "silent")), Recipient(OWNERS[3])


def risk(**more: Any) -> AtRisk:
    given: dict[str, Any] = {
        "interval": "2025-01-09", "due_us": MORNING, "node": "flights", "partition": "2025-01-09",
        "reason": "held", "next": "headrace why report", **more,
    }  # fmt: skip
    return AtRisk(**given)


def incident(**more: Any) -> Incident:
    given: dict[str, Any] = {
        "id": 7, "state": "open", "kind": "schema_change", "detail": "", "node": "flights",
        "partition": "2025-01-09", "columns": ("dep", "arr"), "fingerprint": "7",
        "owner": "vendor", "summary": "1 column renamed", "confidence": 0.9, "evidence": (),
        "affected": Affected(("delays",), NAMES, ("2025-01-08", "2025-01-09")),
        "began_at": NIGHT - 2 * HOUR, "opened_at": NIGHT, "updated_at": NIGHT, **more,
    }  # fmt: skip
    return Incident(**given)


def words(repair: RepairOf = lambda _: None, **more: Any) -> Words:
    return Words(PROJECT, NIGHT + 5 * HOUR, repair, **more)


def test_a_new_incident_says_where_since_when_whom_it_reaches_and_what_to_type() -> None:
    """Would catch: a line that is missing, another owner's consumers as one's own, a consumer that
    is late and will be late, or one that isn't declared any more."""
    item = incident(recurrence_of=3)
    text = words(
        lambda _: ("accept the names", ["headrace accept x"]),
        late={"late1": NIGHT - HOUR, "other": 1},
        wrong={"board": (7, NIGHT + HOUR), "report": (8, NIGHT)},
    ).opened(item, TO_READERS, {"risky": risk(), "late1": risk(interval="2025-01-08")}, again=True)
    assert text.title == "[p] INC-7 flights: 1 column renamed (again)"
    assert text.body.splitlines() == [
        "schema_change at source flights, since Fri 2025-01-10 02:40, found 2 h 00 min later",
        "columns: dep, arr",
        "partitions: 2025-01-08, 2025-01-09",
        "owner: vendor",
        "the same cause as INC-3: `headrace incident INC-7` says what was done then",
        "reaches 1 asset and 4 consumers",
        "yours: report",
        "board is wrong since Fri 2025-01-10 05:40",
        "late1 is late since Fri 2025-01-10 03:40",
        "risky will be late: 2025-01-09 is due at Fri 2025-01-10 07:00",
        "Repair: accept the names:",
        "  headrace accept x",
        "More: headrace incident INC-7",
    ]


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ({"node": "delays"}, "schema_change at asset delays, since"),
        ({"node": HEADRACE}, "schema_change at Headrace itself, since"),
        ({"node": "report"}, "schema_change at report, since"),
    ],
)
def test_a_message_says_what_its_node_is(more: dict[str, Any], first: str) -> None:
    """Would catch: a message about the source of that name where it is an asset."""
    item = incident(affected=Affected((), (), ()), columns=(), **more)
    lines = words().opened(item, TO_TEAM, {}, again=False).body.splitlines()
    assert lines[0].startswith(first)
    assert lines[1:] == [
        "owner: vendor; you are told for vendor, which gets no messages",
        "More: headrace incident INC-7",
    ]


def test_renamed_columns_are_named_once_with_both_names() -> None:
    """Would catch: "columns: dep" where the new name is known; a pair for each day; other evidence
    among the pairs."""

    def renamed(what: str, expected: str, observed: str) -> IncidentEvidence:
        return IncidentEvidence(what=what, expected=expected, observed=observed, at=0, id="e")

    item = incident(
        evidence=(
            renamed("column renamed", "dep", "departure"),
            renamed("column gone", "x", "not there"),
            renamed("column renamed", "dep", "departure"),
            renamed("column renamed", "arr", "arrival"),
        )
    )
    lines = words().opened(item, TO_TEAM, {}, again=False).body.splitlines()
    assert lines[1] == "renamed: dep → departure, arr → arrival"
    assert not any(line.startswith("columns") for line in lines)


def test_a_warning_makes_nobody_late_and_a_closed_incident_has_no_repair() -> None:
    """Would catch: consumers reported late because of a warning; a repair for what is over."""
    item = incident(state="resolved")
    late = {"report": NIGHT}
    told = words(lambda _: ("", ["headrace fix INC-7"]), late=late, warnings=(7,))
    body = told.opened(item, TO_TEAM, {"report": risk()}, again=False).body
    assert "is late" not in body
    assert "report will be late" in body
    assert "Repair" not in body
    told = words(lambda _: ("", ["headrace fix INC-7", "headrace run"]), late=late, warnings=(8,))
    body = told.opened(incident(), TO_TEAM, {"report": risk()}, again=False).body
    assert "report is late since Fri 2025-01-10 04:40" in body
    assert "will be late" not in body
    assert "Repair: headrace fix INC-7, then headrace run\n" in body


def test_at_most_five_consumers_of_each_kind_are_named() -> None:
    """Would catch: a message of a hundred lines."""
    names = tuple(f"c{number}" for number in range(7))
    declared = {
        name: Consumer(name=name, owner="team", reads=("delays",), place=PLACE) for name in names
    }
    item = incident(affected=Affected((), names, ()))
    project = Project(settings=PROJECT.settings, owners=PROJECT.owners, consumers=declared)

    def lines(given: dict[str, AtRisk], **more: Any) -> list[str]:
        told = Words(project, NIGHT, lambda _: None, **more)
        return [
            line.split(" ")[0]
            for line in told.opened(item, TO_READERS, given, again=False).body.splitlines()
            if line.startswith("c") and line[1].isdigit()
        ]

    first = list(names[:5])
    assert lines({}, late=dict.fromkeys(names, NIGHT)) == first
    assert lines({}, wrong=dict.fromkeys(names, (7, NIGHT))) == first
    assert lines(dict.fromkeys(names, risk())) == first


def test_another_cause_and_an_escalation_say_what_is_new_first() -> None:
    """Would catch: a refined cause whose message says nothing of the one before."""
    changed = words().changed(incident(), TO_TEAM, {}, "null_spike@delays")
    assert changed.title == "[p] INC-7 flights: 1 column renamed"
    assert changed.body.splitlines()[:2] == [
        "The cause is schema_change at flights, not null_spike at delays.",
        "schema_change at source flights, since Fri 2025-01-10 02:40, found 2 h 00 min later",
    ]
    late = incident(kind="missing_source")
    assert (
        words()
        .changed(late, TO_TEAM, {}, "late_source@flights")
        .body.startswith("It was late; its deadline has passed now: it is missing.\n")
    )
    back = incident(kind="late_source")
    assert (
        words()
        .changed(back, TO_TEAM, {}, "missing_source@flights")
        .body.startswith("It is late, and not missing any more: no deadline has passed.\n")
    )
    assert (
        words()
        .changed(back, TO_TEAM, {}, "missing_source@delays")
        .body.startswith("The cause is late_source at flights, not missing_source at delays.\n")
    )
    escalated = words().escalated(incident(), TO_TEAM, TO_READERS, {})
    assert escalated.title == "[p] INC-7 is open: flights: 1 column renamed"
    assert (
        escalated.body.splitlines()[0] == "It is open since Fri 2025-01-10 04:40; readers was told."
    )


def test_what_was_found_at_once_is_said_so_as_by_the_command() -> None:
    """Would catch: "found 0 s later" in a mail beside "found at once" of `headrace incident`."""
    item = incident(began_at=NIGHT, opened_at=NIGHT)
    (began, *_) = words().opened(item, TO_READERS, {}, again=False).body.splitlines()
    assert began.endswith(", found at once")
    ended = msgspec.structs.replace(item, state="resolved", resolved_at=NIGHT + HOUR)
    assert "\nFound at once.\n" in words().resolved(ended, "Somebody ran it.").body


def test_the_message_of_an_end_says_when_it_was_over_and_when_it_was_seen() -> None:
    """Would catch: an hour too late an end; "shown as open until" for a few minutes."""
    item = incident(state="resolved", restored_at=NIGHT + HOUR, resolved_at=NIGHT + 2 * HOUR)
    assert words().resolved(item, "Somebody ran it.") == MessageText(
        "[p] INC-7 resolved: flights: 1 column renamed",
        "Somebody ran it.\n"
        "Found 2 h 00 min after it began.\n"
        "Over at Fri 2025-01-10 05:40, 3 h 00 min after it began.\n"
        "It was shown as open until Fri 2025-01-10 06:40.\n"
        "What was done: headrace incident INC-7",
    )
    soon = incident(resolved_at=NIGHT + 2 * HOUR - 1, restored_at=NIGHT + HOUR)
    assert "shown as open" not in words().resolved(soon, "x").body
    known = words().resolved(incident(resolved_at=NIGHT + 2 * HOUR), "x").body
    assert "Over at Fri 2025-01-10 06:40, 4 h 00 min after" in known
    assert (
        "Over at Fri 2025-01-10 09:40, 7 h 00 min after" in words().resolved(incident(), "x").body
    )


def test_messages_about_deadlines_say_what_is_waited_for() -> None:
    """Would catch: `flights@*`, a forecast of None, or a withdrawal that nobody mentions."""
    text = words().at_risk("report", risk())
    assert text.title == "[p] report will be late, due Fri 2025-01-10 07:00"
    assert text.body.splitlines() == [
        "2025-01-09 is due at Fri 2025-01-10 07:00; nothing says when it will be there.",
        "It waits for flights@2025-01-09.",
        "Why: headrace why report",
    ]
    known = risk(partition="*", predicted_us=MORNING + 20 * MINUTE, withdrawn="wrong (by ann)")
    assert words().at_risk("report", known).body.splitlines()[:2] == [
        "2025-01-09 is due at Fri 2025-01-10 07:00; expected at Fri 2025-01-10 07:20, 20 min late.",
        "It waits for flights, withdrawn: wrong (by ann).",
    ]
    assert words().late("report", NIGHT, "flights") == MessageText(
        "[p] report is late since Fri 2025-01-10 04:40",
        "It is late since Fri 2025-01-10 04:40; it waits for flights.\nWhy: headrace why report",
    )
    assert "; no cause is known yet.\n" in words().late("report", NIGHT, "").body
    assert words().wrong("report", NIGHT, "rows × 100") == MessageText(
        "[p] report is wrong since Fri 2025-01-10 04:40",
        "It is wrong since Fri 2025-01-10 04:40: rows × 100.\nWhy: headrace why report",
    )
    assert words().more(9).body.startswith("More than 9 messages in an hour:")
    assert words().page("a", ["b", "c"]) == MessageText("[p] a", "b\nc")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "flights: 1 column renamed"),
        ({"kind": "code_error", "summary": "ValueError: 'x'"},
         "flights@2025-01-08 and 1 more: code error, ValueError"),
        ({"kind": "code_error", "summary": "ValueError", "affected": Affected((), (), ("d",))},
         "flights@d: code error"),
        ({"kind": "code_error", "summary": "ValueError: 1", "affected": Affected((), (), ())},
         "flights: code error, ValueError"),
        ({"kind": "access_denied", "summary": "Denied: ann", "affected": Affected((), (), ())},
         "flights: access denied"),
        ({"kind": "code_error", "summary": "3 nodes: KeyError: 'x'",
          "affected": Affected((), (), ())}, "flights: code error in 3 nodes, KeyError"),
        ({"kind": "code_error", "summary": "2 partitions, a to b, first: KeyError: 'x'",
          "affected": Affected((), (), ())}, "flights: code error, KeyError"),
        ({"kind": "code_error", "summary": "ModuleNotFoundError: No module named 'sci'",
          "affected": Affected((), (), ())}, "flights: code error, No module named 'sci'"),
        ({"kind": "code_error", "summary": "ModuleNotFoundError: No module named 'sci.x'",
          "affected": Affected((), (), ())}, "flights: code error, No module named 'sci.x'"),
        ({"kind": "reported", "summary": "bad; the exception of ann has lapsed",
          "affected": Affected((), (), ())}, "flights: reported; the exception of ann has lapsed"),
        ({"kind": "resource_exhausted", "summary": "the disk is full", "detail": DISK,
          "affected": Affected((), (), ())}, "flights: the disk is full"),
        ({"kind": "reported", "summary": "withdrawn: bad rows",
          "affected": Affected((), (), ())}, "flights: withdrawn: bad rows"),
    ],
)  # fmt: skip
def test_no_message_quotes_an_errors_text(more: dict[str, Any], said: str) -> None:
    """Would catch: a cell's value in a mail's title, and titles that are all the same."""
    assert subject(incident(**more)) == said
    assert said.endswith(clause(incident(**more)))


def test_a_line_has_no_control_characters_and_is_cut_unless_it_is_typed() -> None:
    """Would catch: a column's name that breaks a mail's lines; a command cut in the middle."""
    assert plain("a\nb\tc\u202ed\u200be") == "a b c d e"
    assert plain("x" * (LINE_MAX + 1)) == "x" * LINE_MAX
    long = "y" * (LINE_MAX + 9)
    assert words().page("t", [long, Typed(f"{long}\n")]).body == f"{'y' * LINE_MAX}\n{long} "
    told = words(lambda _: ("repair it", [long])).opened(incident(), TO_TEAM, {}, again=False)
    assert f"\nRepair: repair it:\n  {long}\n" in told.body
    told = words(lambda _: ("wait", [])).opened(incident(), TO_TEAM, {}, again=False)
    assert "\nRepair: wait\n" in told.body


def test_who_is_told_in_whose_place() -> None:
    """Would catch: a vendor who is written to, a manager who hears nothing for an owner without
    contacts, and an endless chain of managers."""
    people = Recipients(PROJECT)
    assert people.anybody
    assert not Recipients(Project(settings=PROJECT.settings)).anybody
    tried = msgspec.structs.replace(PROJECT.settings, environment="ci")
    assert not Recipients(msgspec.structs.replace(PROJECT, settings=tried)).anybody
    assert people.of("vendor") == TO_TEAM
    assert people.of("asked") == Recipient(OWNERS[4])
    assert people.of("a") is None
    assert people.of("nobody") is None
    assert people.above(TO_TEAM) is None
    assert people.above(TO_READERS) == TO_TEAM
    assert people.above(Recipient(OWNERS[4])) is None
    # told as what is named first, in the order of the names
    assert people.concerned(["readers", "vendor", "a", "team"]) == [TO_READERS, TO_TEAM]
    assert people.concerned(["team", "readers", "vendor"]) == [Recipient(OWNERS[2]), TO_READERS]


def test_a_contact_needs_its_channel() -> None:
    """Would catch: a message that is queued for a channel nobody declared."""
    people, without = Recipients(PROJECT), Recipients(Project(settings=Settings(name="p")))
    assert people.wrong("mailto:x@x.example", cause=False) is None
    assert (
        without.wrong("mailto:x@x.example", cause=True)
        == "there is no [notify.mail] to send mail through"
    )
    assert people.wrong("tickets", cause=False) == "only causes become tickets"
    assert people.wrong("tickets", cause=True) is None
    assert people.wrong("chat", cause=False) is None
    assert people.wrong("https://x.example", cause=False) is None
    assert people.wrong("gone", cause=True) == "there is no [notify.gone]"


def test_quiet_hours_and_escalations_are_times_of_the_project() -> None:
    """Would catch: an urgent message that waits for the morning."""
    sleeper = Recipient(owner("s", "x", quiet="22:00-07:00", escalate="2h"))
    assert sleeper.not_before(NIGHT, ZONE, urgent=True) == NIGHT
    assert sleeper.not_before(NIGHT, ZONE, urgent=False) == MORNING
    assert TO_TEAM.not_before(NIGHT, ZONE, urgent=False) == NIGHT
    assert sleeper.escalates_at(NIGHT, ZONE) == NIGHT + 2 * HOUR
    assert TO_TEAM.escalates_at(NIGHT, ZONE) is None
