"""What `why` says of the waits that each kind of history brings about: while one is open, and once it is over."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from http_server_lab import Asked, Reply, Server, reply
from runlab import BEGUN
from serve_lab import until
from waiting_lab import DAYS, HEALTHY, World, at, check

from headrace.operations.why import why

DAY = DAYS[HEALTHY]
MINUTE = 60.0
SOURCE, SEEN = ("source", "orders", 2), ("detection", "orders", 1)
"""Each delivery arrives two hours after its day, and is seen an hour later."""
Told = list[tuple[str, str, float]]
"""(kind, node, hours) of what took more than a minute."""


class History(NamedTuple):
    """What happens, and what is said of the wait of `subject` at five hours after the day, and at the end."""

    begin: Callable[[World], None]
    open: Told
    end: Callable[[World], None]
    over: Told
    decider: str | None = None
    """Who could have ended the last open segment with one command."""
    subject: str = f"report@{DAY}"
    incident: bool = True
    """Whether the last open segment names an incident."""


def hour(number: float) -> datetime:
    return at(DAY) + timedelta(days=1, hours=number)


def told(world: World, subject: str, now: datetime) -> Told:
    response = why(world.session(now), subject)
    if response.segments:
        check(response)
    return [(one.kind, one.node, round(one.seconds / 3600, 1)) for one in response.segments or [] if one.seconds > MINUTE]


def delivered(world: World) -> None:
    world.deliver(DAY, when=hour(2))


def tick(world: World, number: float, code: int | None = 0) -> None:
    world.headrace("tick", now=hour(number), code=code)


# What happens


def full_disk(world: World) -> None:
    delivered(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_FAULT", ",".join(f"file.staged:{time}=full" for time in range(1, 40)))
        tick(world, 3, None)


def paused(world: World) -> None:
    delivered(world)
    world.headrace("pause", "clean", "--reason", "the vendor checks it", now=hour(1))
    tick(world, 3)


def resumed(world: World) -> None:
    world.headrace("resume", "clean", now=hour(9))
    tick(world, 9)


def held(world: World) -> None:
    world.deliver(DAY, when=hour(2), least=0)
    tick(world, 3)


def released(world: World) -> None:
    world.headrace("quarantine", "accept", f"orders@{DAY}", "--reason", "a holiday", now=hour(9))
    tick(world, 9)


def dropped(world: World) -> None:
    held(world)
    world.headrace("quarantine", "drop", f"orders@{DAY}", "--reason", "the wrong file", now=hour(4))


def not_delivered(world: World) -> None:
    tick(world, 5)


def let_go(world: World) -> None:
    tick(world, 8)
    world.headrace("waive", f"report@{DAY}", "--reason", "a holiday", now=hour(9))


def reported(world: World) -> None:
    delivered(world)
    tick(world, 3)
    world.headrace("incidents", "report", "orders", "--from", DAY, "--reason", "half is missing", now=hour(4))


def corrected(world: World) -> None:
    world.deliver(DAY, when=hour(8), least=29)
    tick(world, 9)


def dying(world: World) -> None:
    asset = world.root / "assets/clean.py"
    asset.write_text(asset.read_text().replace('raise ValueError("no such customer")', "import os; os.kill(os.getpid(), 9)"))
    world.headrace("apply", "--yes", now=hour(0.5))
    world.flag.touch()
    delivered(world)
    tick(world, 3, None)


def retried(world: World) -> None:
    world.flag.unlink()
    world.headrace("retry", "clean", now=hour(9))
    tick(world, 9)


def taken_back(world: World) -> None:
    delivered(world)
    tick(world, 3)
    world.headrace("withdraw", f"total@{DAY}", "--reason", "wrong", now=hour(4))


def computed_again(world: World) -> None:
    world.headrace("run", "total", "--partition", DAY, "--again", "--reason", "right now", now=hour(9))
    tick(world, 9)


def invalidated(world: World) -> None:
    delivered(world)
    tick(world, 3)
    total = world.root / "assets/total.sql"
    total.write_text(total.read_text().replace("count(*) as n", "count(*) + 0 as n"))
    world.headrace("apply", "--yes", now=hour(4))


HISTORIES = {
    # A full disk isn't a failure, and nobody has to decide: it is tried again, as an attempt in vain is.
    "full disk": History(
        full_disk, [SOURCE, SEEN, ("retry", "clean", 2)], lambda world: tick(world, 9),
        [SOURCE, SEEN, ("retry", "clean", 6)], incident=False,
    ),
    "paused asset": History(
        paused, [SOURCE, SEEN, ("paused", "clean", 2)], resumed, [SOURCE, SEEN, ("paused", "clean", 6)], decider="core", incident=False,
    ),
    "held and released": History(held, [SOURCE, SEEN, ("hold", "orders", 2)], released, [SOURCE, SEEN, ("hold", "orders", 6)], "core"),
    # Once it is dropped nobody can decide any more: it is waited for the vendor.
    "held and dropped": History(
        dropped, [SOURCE, SEEN, ("hold", "orders", 1), ("source", "orders", 1)], corrected,
        [SOURCE, SEEN, ("hold", "orders", 1), ("source", "orders", 4), ("detection", "orders", 1)], incident=False,
    ),
    "let go": History(not_delivered, [("source", "orders", 5)], let_go, [("source", "orders", 9)]),
    "reported by a person": History(
        reported, [SOURCE, SEEN, ("hold", "orders", 2)], corrected, [SOURCE, SEEN, ("hold", "orders", 5), ("detection", "orders", 1)],
    ),
    "lost worker": History(dying, [SOURCE, SEEN, ("hold", "clean", 2)], retried, [SOURCE, SEEN, ("hold", "clean", 6)]),
    "taken back": History(
        taken_back, [SOURCE, SEEN, ("hold", "total", 1), ("hold", "total", 1)], computed_again,
        [SOURCE, SEEN, ("hold", "total", 1), ("hold", "total", 5)], "core", incident=False,
    ),
    "taken back, itself": History(
        taken_back, [("hold", "total", 1)], computed_again, [("hold", "total", 5)], "core", f"total@{DAY}", incident=False,
    ),
    # Nobody waits for what is stale and was served: it is computed again when somebody asks.
    "invalidated by apply": History(invalidated, [SOURCE, SEEN], computed_again, [SOURCE, SEEN], incident=False),
    "invalidated, itself": History(invalidated, [], computed_again, [], subject=f"total@{DAY}", incident=False),
}  # fmt: skip


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("histories") / "healthy", 1)
    world.build()
    return world


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", HISTORIES)
def test_a_wait_says_what_it_was_for(healthy: World, name: str) -> None:
    """Catches: time that goes to another cause, or is lost, once the wait is over; and a decision that nobody is named for."""
    history, world = HISTORIES[name], healthy.copy(name.replace(" ", "_").replace(",", ""))
    history.begin(world)
    response = why(world.session(hour(5)), history.subject)
    assert told(world, history.subject, hour(5)) == history.open
    last = next(iter(reversed([one for one in response.segments or [] if one.seconds > MINUTE])), None)
    if last is not None:
        assert (last.decider, last.incident is not None) == (history.decider, history.incident)
    if history.decider is not None:
        assert (history.decider, last and last.kind) in {(one.owner, one.kind) for one in response.shares or []}
    history.end(world)
    assert told(world, history.subject, hour(10)) == history.over
    assert why(world.session(hour(10)), history.subject).open is False


def test_an_incident_that_a_waive_ends_says_so(healthy: World) -> None:
    """Would catch: "all whom it affected are served" where the file never came."""
    world = healthy.copy("ended_by_a_waive")
    not_delivered(world)
    let_go(world)
    world.headrace("waive", f"extract@{DAY}", "--reason", "a holiday", now=hour(9.5))
    found = world.lab.headrace("incidents", "--all", "--now", hour(9.6).isoformat())
    (one,) = [one for one in found if one["affected"]["partitions"] == [DAY]]
    assert one["state"] == "resolved"
    assert re.fullmatch(rf"Waived by [^:]+: report@{DAY}, extract@{DAY} \(a holiday\)\.", one["ended"])


PRICES = """\
source: prices
owner: acme
partition: day
start: '{day}'
expect: {{by: '05:00'}}
http:
  url: {url}/prices
  params: {{day: '{{date:%Y-%m-%d}}'}}
  records: $.items
  timeout: 5s
  retries: 0
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as made:
        yield made


@pytest.mark.timeout(300)
def test_a_throttled_source_is_the_vendors_and_says_so(healthy: World, server: Server) -> None:
    """Catches: a vendor's 429 that reads as if nothing had been asked for."""
    world, patient = healthy.copy("throttled"), ["1800"]

    def answer(asked: Asked) -> Reply:
        if patient:
            return reply("{}", status=429, Retry_After=patient[0])
        return reply(json.dumps({"items": [{"id": 1, "day": asked.one("day"), "price": 1.5}]}))

    server.answers["/prices"] = answer
    world.lab.write("sources/prices.yaml", PRICES.format(day=DAY, url=server.url))
    world.lab.sql("priced", "select cast(day as date) as day, price from prices")
    world.lab.write("consumers.yaml", "- {consumer: report, owner: desk, reads: [priced], due: '07:00'}\n")
    world.headrace("apply", "--yes", now=hour(1))
    tick(world, 3, None)
    assert told(world, f"prices@{DAY}", hour(5)) == [("source", "prices", 3), ("source", "prices", 2)]
    note = (why(world.session(hour(5)), f"prices@{DAY}").segments or [])[-1].note
    assert note.startswith("couldn't be read: ") and "429" in note
    patient.clear()
    for folder in (world.root / ".headrace").rglob("rates"):  # as if the time had passed that the server asked for
        shutil.rmtree(folder)
    tick(world, 9, None)
    assert told(world, f"prices@{DAY}", hour(10)) == [("source", "prices", 3), ("source", "prices", 6)]


SLOW = """\
def slow(ctx: Context, clean):
    import pathlib, time
    while pathlib.Path({flag!r}).exists():
        time.sleep(0.02)
    return clean"""


@pytest.mark.timeout(300)
def test_an_open_wait_for_a_pool_is_queued(healthy: World) -> None:
    """Catches: a wait for room in a pool that is the schedule's, and so Headrace's own, until it is over."""
    world = healthy.copy("pool")
    flag = world.root / "slow"
    settings = world.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[pools]\nwarehouse = 1\n")
    world.lab.python(
        "slow", SLOW.format(flag=str(flag)), partition={"by": "day", "column": "day"}, inputs=["clean"], pool="warehouse", priority=5,
    )  # fmt: skip
    total = world.root / "assets/total.sql"
    total.write_text(total.read_text().replace("owner: core", "owner: core\npool: warehouse"))
    world.lab.write("consumers.yaml", "- {consumer: report, owner: desk, reads: [total, slow], due: '07:00'}\n")
    world.headrace("apply", "--yes", now=hour(1))
    delivered(world)
    flag.touch()
    command = world.lab.command("tick", "--now", hour(3).isoformat())
    BEGUN.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, text=True))
    until(lambda: world.lab.rows("select 1 from attempt where node = 'slow' and state = 'running'"))
    until(lambda: world.lab.rows("select 1 from partition where node = 'clean' and partition = ? and state = 'published'", DAY))
    waits = why(world.session(hour(5)), f"total@{DAY}")
    assert [row.kind for row in waits.waiting_for] == ["pool"]
    assert told(world, f"total@{DAY}", hour(5)) == [SOURCE, SEEN, ("queue", "total", 2)]
    assert (waits.segments or [])[-1].note == "waits for pool warehouse: 1 of 1 taken by slow"
    assert waits.overhead_seconds == pytest.approx(3600, abs=MINUTE)
    flag.unlink()
    assert BEGUN[-1].wait(60) == 0
    over = why(world.session(hour(5)), f"total@{DAY}")
    assert over.open is False and "queue" in {one.kind for one in over.segments or [] if one.node == "total"}
