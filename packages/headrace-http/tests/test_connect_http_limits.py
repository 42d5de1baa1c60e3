"""A fetch that doesn't end: the bytes of one delivery, and the space on the disk."""

from __future__ import annotations

import errno
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from connect_workbench import Workbench
from http_server_lab import Reply, Server
from test_connect_http import Far

from headrace.cli.main import run
from headrace.connect.connectors import connector_of
from headrace.connect.deliveries import CannotRead, DetectedDelivery
from headrace.runtime.tasks import deliveries

CSV_LINE = b"12345678,1.25\n" * 8192
JSON_LINE = b'{"id": 12345678, "amount": 1.25},' * 4096


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with Server() as made:
        yield made


def endless(kind: str, first: bytes, rest: bytes) -> Reply:
    return Reply(200, {"Content-Type": kind}, itertools.chain([first], itertools.repeat(rest)))


def attempted(far: Far, path: str, **http: Any) -> None:
    source = far.source(path, http)
    connector_of(source).fetch(far.access(source), DetectedDelivery("api", "*", "x", -1, 0))


@pytest.mark.parametrize(
    ("answer", "http"),
    [
        (endless("text/csv", b"id,amount\n", CSV_LINE), {}),
        (endless("application/json", b"[", JSON_LINE), {}),
        (endless("application/json", b'{"items": [', JSON_LINE), {"records": "$.items"}),
    ],
)
def test_an_endless_answer_ends_with_words(
    bench: Workbench, server: Server, answer: Reply, http: dict[str, Any]
) -> None:
    """Would catch: a disk that fills up to 64 GiB; a rest of the file that stays."""
    server.answers["/x"] = answer
    with pytest.raises(CannotRead) as caught:
        attempted(Far(bench, server), "/x", bytes_max="24MiB", **http)
    assert caught.value.value.code == "delivery_too_large"
    assert "after 25,165,824 bytes" in str(caught.value) and "bytes_max" in str(caught.value)
    assert list(bench.temporary.iterdir()) == []


def test_a_fetch_leaves_space_on_the_disk(
    bench: Workbench, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a fetch that takes the last bytes, which publishing and the state need."""

    class Usage(NamedTuple):
        free: int = 100 << 20

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage())
    server.answers["/x"] = endless("text/csv", b"id,amount\n", CSV_LINE)
    with pytest.raises(OSError, match="only 100 MiB are free") as caught:
        attempted(Far(bench, server), "/x")
    assert caught.value.errno == errno.ENOSPC
    assert list(bench.temporary.iterdir()) == []


def test_the_limit_comes_from_the_history(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Would catch: a limit that no delivery sets, or that isn't told to who declares it."""
    monkeypatch.setattr(deliveries, "FETCHED_BYTES", 1000)
    monkeypatch.setattr(deliveries, "FIRST_FETCHED_BYTES", 3000)
    for path, text in {
        "headrace.toml": '[project]\nname = "shop"\n[run]\nworkers = 1\n',
        "owners.yaml": "core: {kind: team}\n",
        "sources/prices.yaml": "source: prices\nowner: core\npartition: day\nstart: 2026-02-28\n"
        f"http: {{url: '{server.url}/{{date:%Y-%m-%d}}', retries: 0}}\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    rows = b"id,amount\n" + b"1,2.50\n" * 300
    server.answers["/2026-03-01"] = Reply(200, {"Content-Type": "text/csv"}, [rows])
    tick = ("tick", "--project", str(tmp_path), "--now")
    server.answers["/2026-02-28"] = Reply(200, {"Content-Type": "text/csv"}, [rows] * 2)
    run([*tick, "2026-03-01T06:00Z"])
    run(["why", "prices@2026-02-28", "--project", str(tmp_path)])
    assert "the fetch was ended after 3,000 bytes" in capsys.readouterr().out
    run([*tick, "2026-03-02T06:00Z"])
    server.answers["/2026-03-02"] = Reply(200, {"Content-Type": "text/csv"}, [rows] * 11)
    server.answers["/2026-03-03"] = Reply(
        200, {"Content-Type": "text/csv"}, [rows, b"1,2.50\n" * 2600]
    )
    capsys.readouterr()
    run([*tick, "2026-03-04T06:00Z"])
    run(["why", "prices@2026-03-02", "--project", str(tmp_path)])
    out = capsys.readouterr().out
    assert f"the fetch was ended after {10 * len(rows):,} bytes" in out and "bytes_max" in out
    run(["deliveries", "prices", "--project", str(tmp_path), "--json"])
    states = {row["partition"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states == {
        "2026-02-28": "rejected",
        "2026-03-01": "published",
        "2026-03-02": "rejected",
        "2026-03-03": "published",
    }
