"""The headline and the open items: what is said when several things are wrong at once."""

from __future__ import annotations

import random

import pytest

from headrace.slo.consumer_states import ConsumerState, ConsumerStatus
from headrace.slo.evaluation import clause
from headrace.slo.open_items import (
    ConsumerFact,
    Explained,
    IncidentFact,
    NodeQuarantine,
    OpenFacts,
    OpenKind,
    Superseded,
    Throttled,
    explained_by,
    headline,
    open_items,
)

THURSDAY = 1_360_843_200_000_000  # 2013-02-14 12:00 UTC
DAY = 86_400_000_000


def facts(*states: str, **more: object) -> OpenFacts:
    consumers = [ConsumerFact(f"c{n}", state) for n, state in enumerate(states)]
    return OpenFacts(now_us=THURSDAY, timezone="UTC", consumers=consumers, **more)  # type: ignore[arg-type]


def said(
    result: OpenFacts,
    causes: str | None = None,
    *,
    wrong_visible: bool = False,
    displayed: str = "declared",
) -> str:
    return headline(result, causes, Explained(), wrong_visible=wrong_visible, displayed=displayed)


SERVED = ("served", "served", "served")
INCIDENTS = [IncidentFact(f"INC-{n}", f"s{n}", "late_source") for n in (1, 2)]
ALSO = {
    "2 incidents": {"incidents": INCIDENTS},
    "227 held rows": {"held": {"s1": NodeQuarantine(2, 200), "s2": NodeQuarantine(1, 27)}},
    "1 held partition": {"held": {"s1": NodeQuarantine(1, 0)}},
    "1 rejected partition": {"held": {"s1": NodeQuarantine(1, 0, 1)}},
    "2 rejected rows": {"held": {"s1": NodeQuarantine(1, 2, 1)}},
    "3 quarantined partitions": {
        "held": {"s1": NodeQuarantine(2, 0, 1), "s2": NodeQuarantine(1, 0)}
    },
    "a and b fail": {"failing": ["b", "a"]},
    "1 source that can't be observed since Mon 02-11 12:00 (rates)": {
        "unobserved": {"rates": THURSDAY - 3 * DAY}
    },
    "1 source throttled since Mon 02-11 12:00 (rates; 18 of 42 intervals loaded)": {
        "throttled": [Throttled("rates", THURSDAY - 3 * DAY, 18, 42)]
    },
    "32 days of revenue are stale (2013-01-01 … 2013-02-01)": {
        "superseded": [Superseded("revenue", 32, "2013-01-01", "2013-02-01", "day", "x")]
    },
    "1 backfill waiting for approval": {"approvals": ["7"]},
    "2 plans waiting for approval": {"approvals": ["7", "A1"]},
    "3 nodes not applied": {"not_applied": 3},
    "files have errors (the applied version goes on)": {"not_applied": None},
}


@pytest.mark.parametrize("text", ALSO)
def test_whatever_is_open_is_in_the_headline(text: str) -> None:
    """Would catch: "Nothing is late or wrong" above incidents, held rows, or a source that can't be
    observed.
    """
    result = facts(*SERVED, **ALSO[text])
    assert said(result) == f"All 3 consumers are served. Also open: {text}."
    assert [item.text for item in open_items(result)] == [text]


def test_without_anything_open_the_headline_claims_nothing_more() -> None:
    """Would catch: a claim about data that nobody has looked at."""
    assert said(facts(*SERVED)) == "All 3 consumers are served."
    assert said(facts("served", "served")) == "Both consumers are served."
    assert said(facts("served")) == "The consumer is served."
    assert said(facts()) == "No consumer is declared."
    assert said(facts(), displayed="selected") == "No consumer is selected."


def test_consumers_that_miss_something() -> None:
    """Would catch: a consumer at risk that is said to be served and no more."""
    assert said(facts("served", "at_risk")) == "Both consumers are served, c1 at risk."
    assert (
        said(facts("wrong", "served", "at_risk"))
        == "1 of 3 consumers isn't served: c0 (wrong), c2 at risk."
    )


def test_nothing_wrong_was_published_only_if_that_is_known() -> None:
    """Would catch: that sentence while readers can see a publication that an incident names as
    wrong."""
    late = facts("late", "served", held={"s": NodeQuarantine(1, 5)})
    assert "Nothing wrong was published." in said(late)
    assert "Nothing wrong" not in said(late, wrong_visible=True)
    assert "Nothing wrong" not in said(facts("late", "wrong", held={"s": NodeQuarantine(1, 5)}))
    assert "Nothing wrong" not in said(facts("unknown", held={"s": NodeQuarantine(1, 5)}))


@pytest.mark.parametrize("named", [frozenset(), frozenset({"INC-1"})])
def test_a_node_that_fails_is_counted_with_its_incident(named: frozenset[str]) -> None:
    """Would catch: "2 other incidents, hungry fails", where one of the incidents is hungry's, and a
    consumer whose reason is an incident at a node that "fails" once more."""
    incidents = [
        IncidentFact("INC-1", "clean", "code_error", frozenset({"clean", "total"})),
        IncidentFact("INC-2", "hungry", "resource_exhausted", frozenset({"hungry"})),
        IncidentFact("INC-3", "rates", "late_source", frozenset({"rates"})),
    ]
    result = facts("wrong", incidents=incidents, failing=["clean", "total", "hungry", "odd"])
    text = headline(result, None, Explained(named), wrong_visible=True)
    others = (
        "2 other incidents (hungry fails)"
        if named
        else "3 incidents (clean, hungry and total fail)"
    )
    assert text == f"1 of 1 consumer isn't served: c0 (wrong). Also open: {others}, odd fails."
    failing = next(item for item in open_items(result) if item.kind is OpenKind.FAILING)
    assert failing.count == 4


def test_a_node_that_fails_from_damage_is_named_with_the_damage() -> None:
    """Would catch: a failing node that the headline leaves out, or gives to another incident; a
    source that can't be observed counted twice."""
    damage = IncidentFact("INC-1", "clean", "data_corrupted", frozenset({"clean", "total"}))
    other = IncidentFact("INC-2", "rates", "source_unavailable", frozenset({"rates", "total"}))
    more = {"failing": ["total", "rates"], "unobserved": {"rates": THURSDAY}}
    alone = said(facts("served", incidents=[damage], **more))
    assert "Also open: 1 incident of damaged data (total fails), 1 source" in alone
    both = said(facts("served", incidents=[damage, other], **more))
    assert "1 incident of damaged data (total fails), 1 incident, 1 source" in both


def test_what_a_cause_explains_is_not_said_twice() -> None:
    """Would catch: one renamed column told as a cause, an incident, held rows and
    failing assets.
    """
    one = IncidentFact("INC-1", "flights", "schema_change", frozenset({"flights", "clean"}))
    other = IncidentFact("INC-2", "rates", "late_source", frozenset({"rates"}))
    result = facts(
        "late",
        "late",
        incidents=[one, other],
        held={"flights": NodeQuarantine(3, 2_740), "rates": NodeQuarantine(1, 3)},
        failing=["clean"],
    )
    explained = Explained(frozenset({"INC-1"}), one.reach)
    text = headline(
        result, "1 cause holds 8 assets and 2 consumers.", explained, wrong_visible=False
    )
    assert (
        text
        == "1 cause holds 8 assets and 2 consumers. Nothing wrong was published. Also open: 1 other"
        " incident, 3 held rows."
    )
    assert {item.kind: item.count for item in open_items(result)} == {
        OpenKind.CONSUMER: 2,
        OpenKind.INCIDENT: 2,
        OpenKind.QUARANTINE: 4,
        OpenKind.FAILING: 1,
    }


def test_a_source_that_cant_be_observed_is_told_of_once() -> None:
    """Would catch: one lost database counted as "orders fails, 1 source that can't be observed
    (orders)".
    """
    result = facts(*SERVED, failing=["orders", "clean"], unobserved={"orders": THURSDAY - DAY})
    assert [item.text for item in open_items(result)] == [
        "clean fails",
        "1 source that can't be observed since Wed 02-13 12:00 (orders)",
    ]


def test_a_fault_of_its_own_is_not_explained_by_another_cause() -> None:
    """Would catch: an asset whose code fails, and that isn't said because a late source reaches it
    as well."""
    late = IncidentFact(
        "INC-1", "flights", "late_source", frozenset({"flights", "clean", "broken"})
    )
    code = IncidentFact("INC-2", "broken", "code_error", frozenset({"broken"}))
    result = facts("late", incidents=[late, code], failing=["broken", "clean"])
    text = headline(
        result,
        "1 cause holds 2 assets and 1 consumer.",
        explained_by(result, frozenset({"INC-1"})),
        wrong_visible=False,
    )
    assert (
        text == "1 cause holds 2 assets and 1 consumer. Also open: 1 other incident (broken fails)."
    )


def test_an_incident_that_is_the_reason_for_a_consumer_is_not_also_open() -> None:
    """Would catch: "Also open: 1 incident" below the line that gives this incident as
    the reason.
    """
    item = IncidentFact("INC-1", "takings", "reported")
    other = IncidentFact("INC-2", "rates", "late_source")
    named = Explained(frozenset({"INC-1"}))
    alone = headline(facts("wrong", incidents=[item]), None, named, wrong_visible=True)
    assert alone == "1 of 1 consumer isn't served: c0 (wrong)."
    both = headline(facts("wrong", incidents=[item, other]), None, named, wrong_visible=True)
    assert both == "1 of 1 consumer isn't served: c0 (wrong). Also open: 1 other incident."


def test_any_mixture_names_each_kind_once_and_never_that_all_is_well() -> None:
    """Would catch: an item that hides another, or a headline that says less than `open`."""
    seed = random.randrange(2**32)  # `random` begins where the test and the code say
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(500):
        states = chance.choices(
            ("served", "late", "wrong", "never", "unknown", "at_risk"), k=chance.randint(0, 5)
        )
        more: dict[str, object] = {}
        for one in chance.sample(list(ALSO.values()), chance.randint(0, 6)):
            more |= one
        result = facts(*states, **more)
        items, text = open_items(result), said(result)
        assert len({item.kind for item in items}) == len(items)
        assert all(item.text in text for item in items if item.kind is not OpenKind.CONSUMER), text
        assert ("Also open" in text) == any(item.kind is not OpenKind.CONSUMER for item in items)
        missed = [state for state in states if state not in ("served", "at_risk")]
        assert ("served." in text or "served," in text) or missed or not states
        assert all(item.command.startswith("headrace ") or item.command == "x" for item in items)


def test_a_wrong_consumer_is_named_beside_those_that_wait() -> None:
    """Would catch: "1 cause holds 2 consumers" above a third one that shows wrong data."""
    causes = "1 cause holds 2 consumers."
    assert said(facts("late", "never", "served"), causes) == causes
    assert said(facts("late", "never", "wrong"), causes).startswith(
        "3 of 3 consumers aren't served: c0 (late), c1 (never) and c2 (wrong)."
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (ConsumerState.NEVER, "c has never been served"),
        (ConsumerState.LATE, "c is late"),
        (ConsumerState.AT_RISK, "c is at risk"),
    ],
)
def test_a_state_is_a_clause(state: ConsumerState, told: str) -> None:
    """Would catch: "for another cause c is never"."""
    result = ConsumerStatus("c", "core", state, (state,), None, None, None, (), (), "", None)
    assert clause(result) == told


def test_stale_nodes_beyond_the_named_are_counted() -> None:
    """Would catch: partitions of six nodes, told as those of four."""
    stale = [Superseded(f"n{number}", 2, "a", "b", "day", "x") for number in range(6)]
    (item,) = open_items(OpenFacts(now_us=0, timezone="UTC", consumers=[], superseded=stale))
    assert item.count == 12
    assert item.text.endswith("2 days of n3 and of 2 more are stale")
