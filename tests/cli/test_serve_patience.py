"""A running server waits for a full disk and for a server that asks for a pause: it says so, counts
no failure, and goes on by itself.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_server_lab import Asked, Reply, reply
from http_server_lab import Server as HttpServer
from serve_lab import FILES, Server, deliver, project, response, serving, until, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DAYS = [(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=n)).isoformat() for n in (3, 2, 1)]
SECONDS = 90.0
SETTINGS = FILES["headrace.toml"].replace('look_every = "1h"', 'look_every = "2s"')
ROOM_BYTES = 4_000_000
"""Left on the disk: enough for the state, not for the delivery."""
SOURCE = """source: orders
owner: core
partition: day
start: "{start}"
http:
  url: {url}/orders
  params: {{day: "{{date:%Y-%m-%d}}"}}
  records: $.items
  timeout: 5s
  retries: 0
"""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "none", str(folder)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def large(root: Path, day: str) -> None:
    """A delivery that doesn't fit: random digits, which can't be compressed below what is left."""
    draw = random.Random(7)
    path = root / "landing" / f"orders_{day}.csv"
    rows = "".join(f"{day},{draw.random() * 1e9}\n" for _ in range(200_000))
    path.with_suffix(".tmp").write_text(f"day,amount\n{rows}")
    os.utime(path.with_suffix(".tmp"), (time.time() - 60,) * 2)
    path.with_suffix(".tmp").rename(path)


def runs(server: Server) -> list[Any]:
    result: list[Any] = server.get("/api/v1/runs").json
    return result


def skipped(server: Server) -> list[Any]:
    return [row for row in runs(server) if row["state"] == "skipped"]


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """Catches: a wait that is counted and shown as failed runs; a consumer whose reason is that
    nothing came, when it came and didn't fit; a repair that is called automatic where somebody must
    make room; a server that doesn't go on by itself."""
    root = project(tmp_path / "shop")
    write(root / "headrace.toml", SETTINGS)
    write(
        root / "consumers.yaml",
        "- {consumer: report, owner: core, reads: [revenue], due: '00:00', since:"
        f" '{DAYS[0]}'}}\n",
    )
    with small_disk(root / ".headrace") as disk, serving(root) as server:
        deliver(root, DAYS[1])
        until(lambda: server.ran("revenue"), SECONDS)
        free = os.statvfs(disk)
        (disk / "ballast").write_bytes(b"\0" * (free.f_bavail * free.f_frsize - ROOM_BYTES))
        large(root, DAYS[2])

        def exhausted() -> Any:
            result = server.get("/api/v1/incidents").json
            return next(
                (item for item in result if item["cause"]["kind"] == "resource_exhausted"), None
            )

        incident = until(exhausted, SECONDS)
        assert (incident["cause"]["detail"], incident["cause"]["summary"]) == (
            "no space",
            "no space left on the disk",
        )
        assert str(disk) in incident["cause"]["evidence"][0]["observed"]
        assert incident["repair"]["automatic"] is False
        assert incident["repair"]["first"] == "make room on the disk that the evidence names"
        (consumer,) = response(root, "status")["consumers"]
        assert consumer["incident"] == incident["id"]
        assert "failed" not in {row["state"] for row in runs(server)}
        until(
            lambda: len(skipped(server)) > 1, SECONDS
        )  # it is tried again and again, and that is one run
        assert {row["run_state"] for row in skipped(server)} == {"running"}
        assert len({row["run_id"] for row in skipped(server)}) == 1
        assert response(root, "status")["classic_uptime"] == "100.0"

        (disk / "ballast").unlink()
        until(
            lambda: len([row for row in server.ran("revenue") if row["state"] == "published"]) == 2,
            SECONDS,
        )
        until(
            lambda: (
                not [
                    item
                    for item in server.get("/api/v1/incidents").json
                    if item["state"] != "resolved"
                ]
            ),
            SECONDS,
        )
        assert response(root, "status")["consumers"][0]["state"] == "served"
        assert len({row["run_id"] for row in skipped(server)}) == 1
        assert {row["run_state"] for row in skipped(server)} == {"succeeded"}
        assert server.stop() == 0


def test_a_server_that_asks_for_a_pause_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a wait that is shown as failed runs; an incident that says nothing was delivered
    where nobody was allowed to ask."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pausing = [True]

    def answer(asked: Asked) -> Reply:
        if pausing and asked.one("day") == DAYS[2]:
            return reply("{}", status=429, Retry_After="40")  # above 30 s no worker waits for it
        return reply(json.dumps({"items": [{"day": asked.one("day"), "amount": 1.5}]}))

    root = project(tmp_path / "shop")
    write(root / "headrace.toml", SETTINGS)
    with HttpServer() as http:
        http.answers["/orders"] = answer
        write(root / "sources/orders.yaml", SOURCE.format(start=DAYS[0], url=http.url))
        with serving(root, NO_PROXY="127.0.0.1") as server:

            def throttled() -> Any:
                return [
                    item
                    for item in server.get("/api/v1/status").json["open"]
                    if item["kind"] == "source_throttled"
                ]

            (item,) = until(throttled, SECONDS)
            assert item["nodes"] == ["orders"]
            pausing.clear()
            for one in server.get("/api/v1/incidents").json:
                assert one["cause"]["summary"].endswith(": the server asked for a pause"), one
            assert {row["run_state"] for row in runs(server)} <= {
                "succeeded",
                "nothing_due",
                "running",
            }
            until(lambda: response(root, "status")["consumers"][0]["state"] == "served", SECONDS)
            assert throttled() == []
            until(
                lambda: {row["state"] for row in runs(server)} <= {"published", "skipped"}, SECONDS
            )
            assert server.stop() == 0
