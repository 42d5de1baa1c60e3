"""Goodput: rows that are sound and still published, over rows that were delivered or staged."""

from __future__ import annotations

import pytest

from headrace.slo.goodput import Goodput, GoodputAttempt, GoodputPublication, by_node

SECOND = 1_000_000


def only(*attempts: GoodputAttempt) -> Goodput:
    [result] = by_node(attempts)
    assert sum(result.places.values()) == result.staged
    return result


def attempt(
    n: int,
    state: str,
    rows: int,
    *made: GoodputPublication,
    delivery: int | None = None,
    seconds: int = 0,
    decided: str = "",
    before: bool = False,
) -> GoodputAttempt:
    work = {"run": seconds * SECOND, "audit": SECOND * seconds // 4}
    return GoodputAttempt(
        "flights", f"1.{n}", state, n, rows, made, delivery, work, decided, before
    )


def made(
    rows: int,
    *,
    at: int = 0,
    ended: int | None = None,
    identical: bool = False,
    wrong: bool = False,
) -> GoodputPublication:
    return GoodputPublication("2013-02-11", rows, identical, ended, wrong, rows * 8, at)


def test_held_rows_were_delivered() -> None:
    """Would catch: 100.0 % while 2,740 delivered rows are held, because a delivery whose schema
    drifted was never staged.
    """
    result = only(
        attempt(1, "published", 260, made(260), delivery=1), attempt(2, "held", 2740, delivery=2)
    )
    assert (result.delivered, result.good, result.places["held"]) == (3000, 260, 2740)


def test_only_held_rows_are_data() -> None:
    """Would catch: "no data" for a window in which everything that was delivered is held."""
    result = only(attempt(2, "held", 2740, delivery=2))
    assert (result.delivered, result.good) == (2740, 0)


def test_what_was_held_and_is_repaired_was_delivered_once() -> None:
    """Would catch: 50 % after a repair that published every row, because the delivery was ingested
    twice."""
    result = only(
        attempt(2, "held", 2740, delivery=2), attempt(3, "published", 2740, made(2740), delivery=2)
    )
    assert (result.delivered, result.good, result.reworked, result.staged) == (
        2740,
        2740,
        2740,
        5480,
    )


@pytest.mark.parametrize(("deliveries", "delivered"), [((1, 2), 5), ((None, None), 10)])
def test_what_comes_again_unchanged_takes_nothing_from_what_was_good(
    deliveries: tuple[int | None, ...], delivered: int
) -> None:
    """Would catch: 54 % of sound rows after files were touched or delivered twice, their rows
    counted as superseded and as identical; a vendor delivered them once, an asset staged them twice.
    """
    result = only(
        attempt(1, "published", 5, made(5, at=1, ended=2), delivery=deliveries[0]),
        attempt(2, "published", 5, made(5, at=2, identical=True), delivery=deliveries[1]),
    )
    assert (result.delivered, result.good) == (delivered, 5)
    assert (result.places["superseded"], result.places["identical"]) == (0, 5)


def test_what_was_published_before_the_window_is_not_delivered_in_it() -> None:
    """Would catch: 0.0 % of a copied project, whose files are all looked at again."""
    result = only(attempt(1, "published", 5, made(5, at=1, identical=True), delivery=1))
    assert (result.delivered, result.good) == (0, 0)


def test_a_sound_delivery_that_is_ingested_again_is_as_good_as_before() -> None:
    """Would catch: 90 % of ten sound deliveries, one of which was ingested again with the same
    result; its rows counted as delivered twice and as good not once."""
    others = [attempt(n, "published", 1, made(1, at=n), delivery=n) for n in range(1, 10)]
    first = attempt(10, "published", 1, made(1, at=10, ended=11), delivery=10)
    again = attempt(11, "published", 1, made(1, at=11, ended=12, identical=True), delivery=10)
    third = attempt(12, "published", 1, made(1, at=12, identical=True), delivery=10)
    result = only(*others, first, again, third)
    assert (result.delivered, result.good, result.places["identical"], result.staged) == (
        10,
        10,
        2,
        12,
    )
    assert result.good_bytes == 80


def test_what_another_delivery_replaced_is_not_good_though_it_was_ingested_twice() -> None:
    """Would catch: rows that count as good although a restatement has replaced them since."""
    result = only(
        attempt(1, "published", 5, made(5, at=1, ended=2), delivery=1),
        attempt(2, "published", 5, made(5, at=2, ended=3, identical=True), delivery=1),
        attempt(3, "published", 6, made(6, at=3), delivery=2),
    )
    assert (result.delivered, result.good, result.places["superseded"]) == (11, 6, 5)


def test_what_a_wrong_one_replaced_is_not_good() -> None:
    result = only(
        attempt(1, "published", 5, made(5, at=1, ended=2), delivery=1),
        attempt(2, "published", 5, made(5, at=2, identical=True, wrong=True), delivery=1),
    )
    assert (result.delivered, result.good, result.places["wrong"]) == (5, 0, 5)


def test_what_was_delivered_before_the_window_isnt_delivered_in_it() -> None:
    """Would catch: 79 % of an hour in which everything that came is sound, because a delivery of
    last month was ingested again with the same result."""
    again = attempt(9, "published", 720, made(720, identical=True), delivery=1, before=True)
    result = only(attempt(3, "published", 100, made(100), delivery=2), again)
    assert (result.delivered, result.good, result.places["identical"]) == (100, 100, 720)
    assert only(again).delivered == 0


def test_what_was_held_before_the_window_and_is_repaired_in_it_is_good() -> None:
    """Would catch: more good rows than were delivered."""
    repaired = attempt(9, "published", 720, made(720), delivery=1, before=True)
    assert (only(repaired).delivered, only(repaired).good) == (720, 720)


@pytest.mark.parametrize(
    ("decided", "place"),
    [
        ("", "held"),
        ("held", "held"),
        ("superseded", "superseded"),
        ("dropped", "rejected"),
        ("released", "retry"),
    ],
)
def test_rows_are_held_as_long_as_somebody_can_decide(decided: str, place: str) -> None:
    """Would catch: held rows in goodput while nothing waits in quarantine, because the vendor
    delivered again, or somebody dropped them."""
    result = only(attempt(2, "held", 2740, delivery=2, decided=decided))
    assert (result.delivered, result.places[place]) == (2740, 2740)


@pytest.mark.parametrize("rows", [0, 1000])
def test_a_held_delivery_whose_next_attempt_fails_is_still_held(rows: int) -> None:
    """Would catch: no row delivered and none held, while a thousand wait for somebody to decide."""
    failed = attempt(3, "failed", rows, delivery=2)
    result = only(attempt(2, "held", 1000, delivery=2), failed)
    assert (result.delivered, result.places["held"], result.places["retry"]) == (1000, 1000, rows)


def test_what_was_held_and_is_accepted_is_good() -> None:
    """Would catch: rows that count as held for ever, because an accepted attempt stays
    a held one."""
    result = only(attempt(2, "held", 100, made(100), delivery=2))
    assert (result.delivered, result.good, result.places["held"]) == (100, 100, 0)


def test_rows_and_bytes_per_second_are_of_all_the_work() -> None:
    """Would catch: a rate that leaves out the work that was wasted, and a segment that isn't the
    slowest.
    """
    result = only(
        attempt(1, "published", 100, made(100), seconds=4),
        attempt(2, "failed", 50, seconds=4),
        attempt(3, "published", 30, made(30, ended=9)),
    )
    assert result.seconds == 10.0
    assert (result.rows_per_second, result.bytes_per_second, result.slowest) == (10.0, 80.0, "run")
    assert (result.delivered, result.reworked) == (180, 80)


def test_without_measured_work_there_is_no_rate() -> None:
    result = only(attempt(1, "published", 0, made(0)))
    assert (result.rows_per_second, result.bytes_per_second, result.slowest, result.delivered) == (
        None,
        None,
        None,
        0,
    )
