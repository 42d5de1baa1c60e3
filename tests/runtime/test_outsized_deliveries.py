"""Deliveries that take more memory than an attempt may use: whether the file is to blame, or the
machine.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from runlab import DAYS, SETTINGS, Lab, published

from headrace.runtime import graph

pytestmark = [pytest.mark.usefixtures("cold_fork_servers"), pytest.mark.long]
MEMORY_MB = 250
"""What an attempt may use: less than reading a large file takes here."""
LARGE_ROWS = 4_000
_HUNGRY = """
import sys, time
if 'headrace.runtime.fork_server' in ' '.join(sys.orig_argv):
    from headrace.connect import ingest
    opens = ingest.open_readable
    def hungry(kept, *given, **named):
        if kept.stat().st_size > 250_000:
            time.sleep(60)
        elif kept.stat().st_size > 100_000:
            eaten = b'x' * (400 << 20)
            time.sleep(1.5)
        return opens(kept, *given, **named)
    ingest.open_readable = hungry
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A project whose workers take 400 MB for each file of more than 100 kB, and a minute for each
    of more than 250 kB.
    """
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_HUNGRY)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    )
    made = Lab(tmp_path / "p")
    allow(made, MEMORY_MB)
    return made


def allow(lab: Lab, memory_mb: int) -> None:
    lab.write("headrace.toml", f'{SETTINGS}memory_max = "{memory_mb}MB"\n')


def deliver(lab: Lab, day: str, rows: int) -> int:
    """A file of so many orders; its size in bytes."""
    lab.deliver(
        day, [f"{day[-2:]}{number:07},customer-{number:012},1.50,{day}" for number in range(rows)]
    )
    return (lab.root / f"landing/orders_{day}.csv").stat().st_size


def only_incident(lab: Lab) -> dict[str, Any]:
    (item,) = lab.headrace("incidents")
    result: dict[str, Any] = lab.headrace("incident", item["id"])
    return result


def test_a_file_far_above_its_usual_size_is_poison_and_a_smaller_one_ends_it(lab: Lab) -> None:
    """Would catch: a file 400 times its usual size that is called a lack of memory, is in no
    quarantine, and is to be tried again, which fails again."""
    usual = max(deliver(lab, day, 10 + number) for number, day in enumerate(DAYS[:5]))
    lab.tick()
    size = deliver(lab, DAYS[5], LARGE_ROWS)
    done = lab.tick()
    assert [(attempt.state, attempt.partitions) for attempt in done.attempts][-1] == (
        "rejected",
        [DAYS[5]],
    )
    (waits,) = lab.headrace("quarantine")
    assert waits["partition"] == DAYS[5] and waits["decide"] == [
        f"headrace quarantine drop orders@{DAYS[5]} --reason TEXT"
    ]
    incident = only_incident(lab)
    assert (incident["cause"]["kind"], incident["cause"]["node"], incident["owner"]) == (
        "poison_delivery",
        "orders",
        "acme",
    )
    times = f"{size // usual:,} times"
    assert times in incident["cause"]["summary"] and "memory" in incident["cause"]["summary"]
    (evidence,) = incident["cause"]["evidence"]
    assert (
        f"at most {usual:,} bytes" in evidence["expected"]
        and "5 deliveries" in evidence["expected"]
    )
    assert times in evidence["observed"] and "memory" in evidence["observed"]
    said = json.dumps([waits, incident])
    assert "headrace retry" not in said and "yield batches" not in said
    assert incident["repair"]["first"].startswith("ask acme for the file")
    assert "is kept, and not read any more" in incident["timeline"][0]["what"]
    assert lab.tick().attempts == []
    deliver(lab, DAYS[5], 12)
    assert published(lab.tick()) == [("orders", DAYS[5])]
    assert lab.headrace("incidents") == [] and lab.headrace("quarantine") == []


def test_a_first_file_that_fails_alone_is_poison_without_a_word_of_usual_sizes(lab: Lab) -> None:
    """Would catch: a first delivery that is compared with sizes that nobody knows."""
    deliver(lab, DAYS[0], LARGE_ROWS)
    lab.tick()
    incident = only_incident(lab)
    assert incident["cause"]["kind"] == "poison_delivery"
    (evidence,) = incident["cause"]["evidence"]
    said = json.dumps([incident["cause"], incident["repair"]])
    assert (
        "usual" not in said
        and "times the size" not in said
        and evidence["observed"].startswith("192 kB; it used ")
    )
    assert len(lab.headrace("quarantine")) == 1


def test_a_file_of_its_usual_size_is_a_lack_of_memory(lab: Lab) -> None:
    """Would catch: a file that is blamed for the memory that somebody took away from
    the attempts.
    """
    allow(lab, 2000)
    deliver(lab, DAYS[0], LARGE_ROWS)
    assert published(lab.tick()) == [("orders", DAYS[0])]
    allow(lab, MEMORY_MB)
    deliver(lab, DAYS[1], LARGE_ROWS)
    lab.headrace("apply", "--yes", code=None)
    lab.tick()
    incident = only_incident(lab)
    assert incident["cause"]["kind"] == "resource_exhausted"
    said = json.dumps(incident)
    assert "yield batches" not in said and "Possible solutions" not in said
    assert (
        incident["repair"]["first"] == "raise `memory_max` of [run], or ask acme for smaller files"
    )
    assert incident["repair"]["command"] == f"headrace retry orders@{DAYS[1]}"
    assert lab.headrace("quarantine") == []


def test_several_large_files_at_first_are_a_lack_of_memory(lab: Lab) -> None:
    """Would catch: a source whose files are all large and whose owner is blamed for the first of
    them.
    """
    for day in DAYS[:2]:
        deliver(lab, day, LARGE_ROWS)
    lab.tick()
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == ["resource_exhausted"]


def test_a_rejected_file_is_read_again_when_somebody_asks(lab: Lab) -> None:
    """Would catch: a file that stays rejected though the attempts may use enough memory by now."""
    for day in DAYS[:2]:
        deliver(lab, day, 10)
    lab.tick()
    deliver(lab, DAYS[2], LARGE_ROWS)
    lab.tick()
    allow(lab, 2000)
    lab.headrace("apply", "--yes", code=None)
    lab.headrace("retry", f"orders@{DAYS[2]}", "--reason", "more memory", code=None)
    assert not [
        item for item in lab.headrace("incidents") if item["cause"]["kind"] == "poison_delivery"
    ]
    assert f"orders@{DAYS[2]}" not in json.dumps(
        [item for item in lab.headrace("quarantine") if item["state"] == "rejected"]
    )


def test_a_rejected_file_that_came_again_is_no_more_in_quarantine(lab: Lab) -> None:
    """Would catch: the file before in the list, with "ask for another file" though it came, where
    the new one failed."""
    allow(lab, 2000)
    deliver(lab, DAYS[0], LARGE_ROWS)
    lab.tick()
    allow(lab, MEMORY_MB)
    (lab.root / f"landing/orders_{DAYS[1]}.csv").write_bytes(b"\x00\x01\xff" * 100)
    lab.headrace("apply", "--yes", code=None)
    lab.tick()
    assert [item["partition"] for item in lab.headrace("quarantine")] == [DAYS[1]]
    assert "1 rejected partition" in lab.headrace("status")["headline"]
    deliver(lab, DAYS[1], LARGE_ROWS)
    lab.tick()
    assert [item["cause"]["kind"] for item in lab.headrace("incidents")] == ["resource_exhausted"]
    assert lab.headrace("quarantine") == [] == lab.headrace("quarantine", f"orders@{DAYS[1]}")
    assert "rejected" not in lab.headrace("status")["headline"]
    assert "quarantine" not in json.dumps(lab.headrace("incidents"))


def test_a_file_far_above_its_usual_size_that_takes_too_long_is_poison(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a lost worker, of a file that takes more than an hour to be read."""
    for day in DAYS[:2]:
        deliver(lab, day, 10)
    lab.tick()
    monkeypatch.setattr(graph, "SOURCE_TIMEOUT", "6s")
    deliver(lab, DAYS[2], LARGE_ROWS * 3 // 2)
    done = lab.tick()
    assert [attempt.state for attempt in done.attempts] == ["lost", "rejected"]
    incident = only_incident(lab)
    assert incident["cause"]["kind"] == "poison_delivery"
    assert incident["cause"]["summary"].endswith(
        " times the size of any before, takes more time than an attempt may take"
    )
    assert len(lab.headrace("quarantine")) == 1
