"""What `why` says of the waits that each kind of history brings about: while one is open, and once
it is over.
"""

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
from source_packages import NEEDS_HTTP
from waiting_lab import DAYS, HEALTHY, StateFacts, at, check

from headrace.services.why import why

DAY = DAYS[HEALTHY]
MINUTE = 60.0
SOURCE, SEEN = ("source", "orders", 2), ("detection", "orders", 1)
"""Each delivery arrives two hours after its day, and is seen an hour later."""
Told = list[tuple[str, str, float]]
"""(kind, node, hours) of what took more than a minute."""


class History(NamedTuple):
    """What happens, and what is said of the wait of `subject` at five hours after the day, and at
    the end.
    """

    begin: Callable[[StateFacts], None]
    open: Told
    end: Callable[[StateFacts], None]
    over: Told
    decider: str | None = None
    """Who could have ended the last open segment with one command."""
    subject: str = f"report@{DAY}"
    incident: bool = True
    """Whether the last open segment names an incident."""


def hour(number: float) -> datetime:
    return at(DAY) + timedelta(days=1, hours=number)


def told(facts: StateFacts, subject: str, now: datetime) -> Told:
    response = why(facts.session(now), subject)
    if response.segments:
        check(response)
    return [
        (item.kind, item.node, round(item.seconds / 3600, 1))
        for item in response.segments or []
        if item.seconds > MINUTE
    ]


def delivered(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(2))


def tick(facts: StateFacts, number: float, code: int | None = 0) -> None:
    facts.headrace("tick", now=hour(number), code=code)


# What happens


def full_disk(facts: StateFacts) -> None:
    delivered(facts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "HEADRACE_FAULT", ",".join(f"file.staged:{time}=full" for time in range(1, 40))
        )
        tick(facts, 3, None)


def paused(facts: StateFacts) -> None:
    delivered(facts)
    facts.headrace("pause", "clean", "--reason", "the vendor checks it", now=hour(1))
    tick(facts, 3)


def resumed(facts: StateFacts) -> None:
    facts.headrace("resume", "clean", now=hour(9))
    tick(facts, 9)


def held(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(2), least=0)
    tick(facts, 3)


def released(facts: StateFacts) -> None:
    facts.headrace("quarantine", "accept", f"orders@{DAY}", "--reason", "a holiday", now=hour(9))
    tick(facts, 9)


def dropped(facts: StateFacts) -> None:
    held(facts)
    facts.headrace("quarantine", "drop", f"orders@{DAY}", "--reason", "the wrong file", now=hour(4))


def not_delivered(facts: StateFacts) -> None:
    tick(facts, 5)


def let_go(facts: StateFacts) -> None:
    tick(facts, 8)
    facts.headrace("waive", f"report@{DAY}", "--reason", "a holiday", now=hour(9))


def reported(facts: StateFacts) -> None:
    delivered(facts)
    tick(facts, 3)
    facts.headrace(
        "incidents", "report", "orders", "--from", DAY, "--reason", "half is missing", now=hour(4)
    )


def corrected(facts: StateFacts) -> None:
    facts.deliver(DAY, when=hour(8), least=29)
    tick(facts, 9)


def dying(facts: StateFacts) -> None:
    asset = facts.root / "assets/clean.py"
    asset.write_text(
        asset.read_text().replace(
            'raise ValueError("no such customer")', "import os; os.kill(os.getpid(), 9)"
        )
    )
    facts.headrace("apply", "--yes", now=hour(0.5))
    facts.flag.touch()
    delivered(facts)
    tick(facts, 3, None)


def retried(facts: StateFacts) -> None:
    facts.flag.unlink()
    facts.headrace("retry", "clean", now=hour(9))
    tick(facts, 9)


def taken_back(facts: StateFacts) -> None:
    delivered(facts)
    tick(facts, 3)
    facts.headrace("unpublish", f"total@{DAY}", "--reason", "wrong", now=hour(4))


def computed_again(facts: StateFacts) -> None:
    facts.headrace(
        "run", "total", "--partition", DAY, "--again", "--reason", "right now", now=hour(9)
    )
    tick(facts, 9)


def invalidated(facts: StateFacts) -> None:
    delivered(facts)
    tick(facts, 3)
    total = facts.root / "assets/total.sql"
    total.write_text(total.read_text().replace("count(*) as n", "count(*) + 0 as n"))
    facts.headrace("apply", "--yes", now=hour(4))


HISTORIES = {
    # A full disk isn't a failure, and nobody has to decide: it is tried again, as an attempt in
    # vain is.
    "full disk": History(
        full_disk,
        [SOURCE, SEEN, ("retry", "clean", 2)],
        lambda facts: tick(facts, 9),
        [SOURCE, SEEN, ("retry", "clean", 6)],
        incident=False,
    ),
    "paused asset": History(
        paused,
        [SOURCE, SEEN, ("paused", "clean", 2)],
        resumed,
        [SOURCE, SEEN, ("paused", "clean", 6)],
        decider="core",
        incident=False,
    ),
    "held and released": History(
        held,
        [SOURCE, SEEN, ("hold", "orders", 2)],
        released,
        [SOURCE, SEEN, ("hold", "orders", 6)],
        "core",
    ),
    # Once it is dropped nobody can decide any more: it is waited for the vendor.
    "held and dropped": History(
        dropped,
        [SOURCE, SEEN, ("hold", "orders", 1), ("source", "orders", 1)],
        corrected,
        [SOURCE, SEEN, ("hold", "orders", 1), ("source", "orders", 4), ("detection", "orders", 1)],
        incident=False,
    ),
    "let go": History(not_delivered, [("source", "orders", 5)], let_go, [("source", "orders", 9)]),
    "reported by a person": History(
        reported,
        [SOURCE, SEEN, ("hold", "orders", 2)],
        corrected,
        [SOURCE, SEEN, ("hold", "orders", 5), ("detection", "orders", 1)],
    ),
    "lost worker": History(
        dying, [SOURCE, SEEN, ("hold", "clean", 2)], retried, [SOURCE, SEEN, ("hold", "clean", 6)]
    ),
    "taken back": History(
        taken_back,
        [SOURCE, SEEN, ("hold", "total", 1), ("hold", "total", 1)],
        computed_again,
        [SOURCE, SEEN, ("hold", "total", 1), ("hold", "total", 5)],
        "core",
        incident=False,
    ),
    "taken back, itself": History(
        taken_back,
        [("hold", "total", 1)],
        computed_again,
        [("hold", "total", 5)],
        "core",
        f"total@{DAY}",
        incident=False,
    ),
    # Nobody waits for what is stale and was served: it is computed again when somebody asks.
    "invalidated by apply": History(
        invalidated, [SOURCE, SEEN], computed_again, [SOURCE, SEEN], incident=False
    ),
    "invalidated, itself": History(
        invalidated, [], computed_again, [], subject=f"total@{DAY}", incident=False
    ),
}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> StateFacts:
    facts = StateFacts(tmp_path_factory.mktemp("histories") / "healthy", 1)
    facts.build()
    return facts


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", HISTORIES)
def test_a_wait_says_what_it_was_for(healthy: StateFacts, name: str) -> None:
    """Catches: time that goes to another cause, or is lost, once the wait is over; and a decision
    that nobody is named for."""
    history, facts = HISTORIES[name], healthy.copy(name.replace(" ", "_").replace(",", ""))
    history.begin(facts)
    response = why(facts.session(hour(5)), history.subject)
    assert told(facts, history.subject, hour(5)) == history.open
    last = next(
        iter(reversed([item for item in response.segments or [] if item.seconds > MINUTE])), None
    )
    if last is not None:
        assert (last.decider, last.incident is not None) == (history.decider, history.incident)
    if history.decider is not None:
        assert (history.decider, last and last.kind) in {
            (item.owner, item.kind) for item in response.shares or []
        }
    history.end(facts)
    assert told(facts, history.subject, hour(10)) == history.over
    assert why(facts.session(hour(10)), history.subject).open is False


@pytest.mark.long
def test_an_incident_that_a_waive_ends_says_so(healthy: StateFacts) -> None:
    """Would catch: "all whom it affected are served" where the file never came."""
    facts = healthy.copy("ended_by_a_waive")
    not_delivered(facts)
    let_go(facts)
    facts.headrace("waive", f"extract@{DAY}", "--reason", "a holiday", now=hour(9.5))
    result = facts.lab.headrace("incidents", "--all", "--now", hour(9.6).isoformat())
    (item,) = [one for one in result if one["affected"]["partitions"] == [DAY]]
    assert item["state"] == "resolved"
    assert re.fullmatch(
        rf"Waived by [^:]+: report@{DAY}, extract@{DAY} \(a holiday\)\.", item["ended"]
    )


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


@pytest.mark.long
@NEEDS_HTTP
@pytest.mark.timeout(300)
def test_a_throttled_source_is_the_vendors_and_says_so(healthy: StateFacts, server: Server) -> None:
    """Catches: a vendor's 429 that reads as if nothing had been asked for."""
    facts, patient = healthy.copy("throttled"), ["1800"]

    def answer(asked: Asked) -> Reply:
        if patient:
            return reply("{}", status=429, Retry_After=patient[0])
        return reply(json.dumps({"items": [{"id": 1, "day": asked.one("day"), "price": 1.5}]}))

    server.answers["/prices"] = answer
    facts.lab.write("sources/prices.yaml", PRICES.format(day=DAY, url=server.url))
    facts.lab.sql("priced", "select cast(day as date) as day, price from prices")
    facts.lab.write(
        "consumers.yaml", "- {consumer: report, owner: desk, reads: [priced], due: '07:00'}\n"
    )
    facts.headrace("apply", "--yes", now=hour(1))
    tick(facts, 3, None)
    assert told(facts, f"prices@{DAY}", hour(5)) == [
        ("source", "prices", 3),
        ("source", "prices", 2),
    ]
    note = (why(facts.session(hour(5)), f"prices@{DAY}").segments or [])[-1].note
    assert note.startswith("couldn't be read: ") and "429" in note
    patient.clear()
    for folder in (facts.root / ".headrace").rglob(
        "rates"
    ):  # as if the time had passed that the server asked for
        shutil.rmtree(folder)
    tick(facts, 9, None)
    assert told(facts, f"prices@{DAY}", hour(10)) == [
        ("source", "prices", 3),
        ("source", "prices", 6),
    ]


SLOW = """\
def slow(ctx: Context, clean):
    import pathlib, time
    while pathlib.Path({flag!r}).exists():
        time.sleep(0.02)
    return clean"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_an_open_wait_for_a_pool_is_queued(healthy: StateFacts) -> None:
    """Catches: a wait for room in a pool that is the schedule's, and so Headrace's own, until it is
    over."""
    facts = healthy.copy("pool")
    flag = facts.root / "slow"
    settings = facts.root / "headrace.toml"
    settings.write_text(settings.read_text() + "[pools]\nwarehouse = 1\n")
    facts.lab.python(
        "slow",
        SLOW.format(flag=str(flag)),
        partition={"by": "day", "column": "day"},
        inputs=["clean"],
        pool="warehouse",
        priority=5,
    )
    total = facts.root / "assets/total.sql"
    total.write_text(total.read_text().replace("owner: core", "owner: core\npool: warehouse"))
    facts.lab.write(
        "consumers.yaml", "- {consumer: report, owner: desk, reads: [total, slow], due: '07:00'}\n"
    )
    facts.headrace("apply", "--yes", now=hour(1))
    delivered(facts)
    flag.touch()
    command = facts.lab.command("tick", "--now", hour(3).isoformat())
    BEGUN.append(
        subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
    )
    until(lambda: facts.lab.rows("select 1 from attempt where node = 'slow' and state = 'running'"))
    until(
        lambda: facts.lab.rows(
            "select 1 from partition where node = 'clean' and partition = ? and state ="
            " 'published'",
            DAY,
        )
    )
    waits = why(facts.session(hour(5)), f"total@{DAY}")
    assert [row.kind for row in waits.waiting_for] == ["pool"]
    assert told(facts, f"total@{DAY}", hour(5)) == [SOURCE, SEEN, ("queue", "total", 2)]
    assert (waits.segments or [])[-1].note == "waits for pool warehouse: 1 of 1 taken by slow"
    assert waits.overhead_seconds == pytest.approx(3600, abs=MINUTE)
    flag.unlink()
    assert BEGUN[-1].wait(60) == 0
    over = why(facts.session(hour(5)), f"total@{DAY}")
    assert over.open is False and "queue" in {
        item.kind for item in over.segments or [] if item.node == "total"
    }
