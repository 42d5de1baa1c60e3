"""Bodies that misbehave: each costs its own partition, with an error that says where; everything
else goes on.
"""

from __future__ import annotations

import time

import pytest
from runlab import DAYS, Lab, published

from headrace.responses import AttemptRow, RunResponse

SQL_CLEAN = "select order_id, cast(day as date) as day from orders"


def only(response: RunResponse, node: str) -> AttemptRow:
    return [a for a in response.attempts if a.asset == node][-1]


def with_body(lab: Lab, body: str, **declared: object) -> RunResponse:
    """One good asset beside a bad one over the same delivery."""
    lab.sql("good", SQL_CLEAN)
    lab.python("bad", body, partition="day", inputs=["orders"], **declared)
    lab.orders(DAYS[0])
    response = lab.tick()
    assert ("good", DAYS[0]) in published(response), "the good one must not suffer"
    assert ("bad", DAYS[0]) not in published(response)
    return response


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("def bad(orders):\n    raise RuntimeError('no luck')", "no luck"),
        ("def bad(orders):\n    raise SystemExit(3)", "sys.exit(3)"),
        ("def bad(orders):\n    import sys; sys.exit('bye')", "bye"),
        ("def bad(orders):\n    raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def bad(orders):\n    return 42", "a number"),
        ("def bad(orders):\n    yield {'a': 1}\n    raise ValueError('half way')", "half way"),
        ("def bad(orders):\n    import nowhere_at_all", "nowhere_at_all"),
    ],
)
def test_python_that_fails_says_where(lab: Lab, body: str, said: str) -> None:
    attempt = only(with_body(lab, body), "bad")
    assert attempt.state == "failed"
    assert attempt.error is not None
    assert said in attempt.error.message
    assert attempt.error.file == "assets/bad.py"
    assert attempt.error.kind == "deterministic"
    assert not list((lab.root / ".headrace/lake/main").glob("bad/*.parquet")), (
        "something half-made was left"
    )


@pytest.mark.parametrize(
    "body",
    [
        "def bad(orders):\n    import os; print('last words', flush=True); os._exit(9)",
        "def bad(orders):\n    import ctypes; print('last words', flush=True); ctypes.string_at(0)",
        (
            "def bad(orders):\n    import os, signal; print('last words', flush=True);"
            " os.kill(os.getpid(), signal.SIGKILL)"
        ),
    ],
)
def test_a_body_that_ends_its_worker_three_times_is_poison(lab: Lab, body: str) -> None:
    response = with_body(lab, body)
    states = [a.state for a in response.attempts if a.asset == "bad"]
    assert states == ["lost"] * 3
    ((state, failures),) = lab.rows("select state, failures from partition where node = 'bad'")
    assert (state, failures) == ("failed", 3)
    said = "".join(path.read_text() for path in (lab.root / ".headrace/logs").rglob("*.jsonl"))
    assert "last words" in said, "what it printed last is lost"


@pytest.mark.long
def test_a_body_that_never_returns_is_ended_at_its_timeout(lab: Lab) -> None:
    began = time.monotonic()
    response = with_body(lab, "def bad(orders):\n    while True: pass", timeout="1s")
    assert time.monotonic() - began < 40
    attempts = [a for a in response.attempts if a.asset == "bad"]
    assert [a.state for a in attempts] == [
        "lost",
        "lost",
    ], "a timeout is tried once more, then it is an incident"
    assert "timeout" in (attempts[0].reason or "")


def test_a_body_that_forks_leaves_no_second_worker(lab: Lab) -> None:
    lab.python(
        "forks",
        "def forks(orders):\n    import os\n    os.fork()\n    return orders",
        partition="day",
        inputs=["orders"],
    )
    lab.orders(DAYS[0])
    response = lab.tick()
    assert [(a.state, a.rows) for a in response.attempts if a.asset == "forks"] == [
        ("published", 10)
    ]


@pytest.mark.long
def test_a_body_that_prints_without_end_is_cut_and_goes_on(lab: Lab) -> None:
    body = (
        "def chatty(orders):\n    for i in range(200_000): print('x' * 100, i)\n    return orders"
    )
    lab.python("chatty", body, partition="day", inputs=["orders"])
    lab.orders(DAYS[0])
    assert ("chatty", DAYS[0]) in published(lab.tick())
    (log,) = (lab.root / ".headrace/logs").rglob("*.jsonl")
    assert log.stat().st_size < 8_000_000
    assert "dropped" in log.read_text().splitlines()[-51]


def test_sql_that_fails_says_its_line(lab: Lab) -> None:
    lab.sql("good", SQL_CLEAN)
    lab.sql(
        "bad",
        "select order_id,\n  cast(customer as integer) as n,\n  cast(day as date) as day\nfrom"
        " orders",
    )
    lab.orders(DAYS[0])
    response = lab.tick()
    attempt = only(response, "bad")
    assert attempt.error is not None
    assert attempt.error.file == "assets/bad.sql"
    assert "c0" in attempt.error.message
    assert ("good", DAYS[0]) in published(response)


@pytest.mark.long
def test_a_command_s_exit_75_is_tried_again_and_others_are_not(lab: Lab) -> None:
    lab.write("assets/later.sh", 'test -f "$HOME/later-flag-$$" || exit 75\n')
    front = "owner: core\npartition: day\ninputs: [orders]\n"
    lab.write("assets/later.yaml", f"asset: later\n{front}command: [sh, assets/later.sh]\n")
    lab.write(
        "assets/wrong.yaml", f"asset: wrong\n{front}command: [sh, -c, 'echo oh no >&2; exit 3']\n"
    )
    lab.orders(DAYS[0])
    response = lab.tick()
    assert len([a for a in response.attempts if a.asset == "later"]) > 1
    (wrong,) = [a for a in response.attempts if a.asset == "wrong"]
    assert wrong.error is not None
    assert "3" in wrong.error.message
    ((state, not_before),) = lab.rows(
        "select state, not_before from partition where node = 'later'"
    )
    assert state == "waiting"
    assert not_before is not None
