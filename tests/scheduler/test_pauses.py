"""Pauses and what is taken back."""

from __future__ import annotations

from driver import WHOLE, Driver, asset, reads, source

from headrace.model import Grain, PartitionSpec
from headrace.scheduler import ClockAdvanced, PartitionState, Paused, Resumed, TakenBack, Target

S = PartitionState
D = [f"2013-02-{day:02d}" for day in range(1, 29)]
MINUTE = 60_000_000


def flights(**fields: object) -> Driver:
    d = Driver(source("flights"), asset("clean", "flights"), asset("ranking", "clean"), **fields)  # type: ignore[arg-type]
    d.ask()
    return d


def test_nothing_of_a_paused_node_is_started_and_what_runs_goes_on() -> None:
    d = flights()
    d.arrive("flights", D[10], D[11])
    d.publish(d.attempt("flights", D[10]))
    running = d.attempt("clean", D[10])
    d.give(Paused(("clean",), "looking at it"))
    d.publish(running)
    assert d.work() == [("flights", D[11]), ("ranking", D[10])]
    assert d.state("clean", D[11]) is S.WAITING
    d.give(Resumed(("clean",)))
    assert d.work() == [("clean", D[11]), ("ranking", D[11])]


def test_what_was_queued_is_put_back() -> None:
    """Catches an attempt that starts a second after the pause, because it stood in the queue."""
    d = flights(slots=1)
    d.arrive("flights", D[10])
    d.work()
    d.arrive("flights", *D[11:20])
    d.give(Paused(("flights",), "the vendor asked"))
    assert len(d.work()) < 9
    assert d.core.next_event() is None
    d.give(Resumed(("flights",)))
    d.work()
    assert all(d.state("ranking", key) is S.PUBLISHED for key in D[10:20])


def test_a_pause_ends_by_itself() -> None:
    d = flights()
    d.give(Paused(("clean",), "until the afternoon", d.now + 5 * MINUTE))
    d.arrive("flights", D[10])
    assert d.work() == [("flights", D[10])]
    at = d.core.next_event()
    assert at is not None
    d.now = at - 1_000_000
    d.give(ClockAdvanced())
    assert d.work() == [("clean", D[10]), ("ranking", D[10])]


def test_the_last_word_about_a_pause_counts() -> None:
    """Catches a pause that was made longer and ends at its first time."""
    d = flights()
    first = d.now + 5 * MINUTE
    d.give(Paused(("clean",), "until noon", first))
    d.give(Paused(("clean",), "until somebody says so"))
    d.arrive("flights", D[10])
    d.work()
    d.now = first + MINUTE
    d.give(ClockAdvanced())
    assert d.work() == []
    assert d.core.next_event() is None


def test_a_person_who_names_a_paused_node_is_told_and_waits() -> None:
    d = flights()
    d.give(Paused(("clean",), "looking at it"))
    d.arrive("flights", D[10])
    d.ask(Target("clean"), retry=frozenset(["clean"]))
    assert d.work() == [("flights", D[10])]
    (first,) = d.core.waiting_for("clean", D[10])
    assert first.reason == "is paused: looking at it"


def test_what_reads_a_paused_node_goes_on_with_what_is_published() -> None:
    """Catches a pause that stops what it wasn't said of: an older publication is there, and the
    other input is new.
    """
    d = Driver(
        source("flights"),
        source("weather"),
        asset("clean", "flights"),
        asset("both", "clean", "weather"),
    )
    d.ask()
    d.arrive("flights", D[10])
    d.arrive("weather", D[10])
    d.work()
    d.give(Paused(("clean",), "looking at it"))
    d.arrive("flights", D[10], content="corrected")
    d.arrive("weather", D[10], content="corrected")
    assert ("both", D[10]) in d.work()


def test_pausing_what_there_isnt_is_nothing() -> None:
    d = flights()
    d.give(Paused(("nobody",), ""))
    d.give(Resumed(("nobody", "clean")))
    d.give(TakenBack("nobody", "x", ""))
    d.give(TakenBack("clean", D[10], ""))
    assert d.core.idle()


# Taken back


def test_what_is_taken_back_makes_what_read_it_stale_and_wait() -> None:
    d = flights()
    d.arrive("flights", D[10])
    d.work()
    d.give(TakenBack("clean", D[10], "wrong currency"))
    assert d.work() == []
    assert [d.state(node, D[10]) for node in ("flights", "clean", "ranking")] == [
        S.PUBLISHED,
        S.WITHDRAWN,
        S.WAITING,
    ]
    assert {(mark.node, mark.state, mark.stale) for mark in d.marks[-2:]} == {
        ("clean", S.WITHDRAWN, False),
        ("ranking", S.WAITING, True),
    }
    assert next(mark.reason for mark in d.marks if mark.node == "clean") == "wrong currency"


def test_it_is_made_again_only_for_a_reason() -> None:
    """Catches a withdrawal that the next pass undoes with the same rows."""
    d = flights()
    d.arrive("flights", D[10])
    d.work()
    d.give(TakenBack("clean", D[10], "wrong currency"))
    d.ask()
    assert d.work() == []
    d.arrive("flights", D[10], content="corrected")
    assert d.work() == [("flights", D[10]), ("clean", D[10]), ("ranking", D[10])]
    d.give(TakenBack("clean", D[10], "again"))
    d.ask(Target("clean"), retry=frozenset(["clean"]))
    assert ("clean", D[10]) in d.work()


def test_the_same_content_again_is_news_after_a_withdrawal() -> None:
    """Catches a dependent that waits for ever, because what came back was the same as what it had
    read.
    """
    d = flights()
    d.arrive("flights", D[10])
    d.work()
    d.give(TakenBack("flights", D[10], "by mistake"))
    assert d.state("clean", D[10]) is S.WAITING
    d.shown.pop(("flights", D[10]))
    d.arrive("flights", D[10])
    assert d.work() == [("flights", D[10]), ("clean", D[10])]


def test_an_attempt_that_runs_goes_on() -> None:
    d = flights()
    d.arrive("flights", D[10])
    d.work()
    d.arrive("flights", D[10], content="corrected")
    running = d.attempt("flights", D[10])
    d.give(TakenBack("flights", D[10], "the first one was wrong"))
    assert d.state("clean", D[10]) is S.WAITING
    d.publish(running)
    assert d.work() == [("clean", D[10])]


def test_a_gather_is_made_again_without_it() -> None:
    d = Driver(source("flights"), asset("all", "flights", partition=WHOLE))
    d.ask()
    d.arrive("flights", D[10], D[11])
    d.work()
    d.give(TakenBack("flights", D[10], "a test file"))
    assert d.work() == [("all", "*")]


def test_a_reference_that_is_gone_is_waited_for() -> None:
    d = Driver(source("flights"), source("planes", WHOLE), asset("clean", "flights", "planes"))
    d.ask()
    d.arrive("planes", "*")
    d.arrive("flights", D[10])
    d.work()
    d.give(TakenBack("planes", "*", "the wrong list"))
    d.arrive("flights", D[11])
    assert d.work() == [("flights", D[11])]
    assert d.state("clean", D[11]) is S.WAITING


def test_what_looks_back_waits_for_all_its_days() -> None:
    month = PartitionSpec(grain=Grain.MONTH)
    d = Driver(
        source("flights"),
        asset("week", reads("flights", lookback="2d")),
        asset("months", "flights", partition=month),
    )
    d.ask()
    d.arrive("flights", *D[:10])
    d.work()
    d.give(TakenBack("flights", D[5], "wrong"))
    waiting = [key for key in D[:10] if d.state("week", key) is S.WAITING]
    assert waiting == D[5:8]
    assert d.work() == []
