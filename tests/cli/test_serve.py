"""`serve` and `dev` as processes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serve_lab import FILES, ask, deliver, headrace, project, response, serving, until, write

pytestmark = pytest.mark.timeout(90)

WAITS = """import time
from pathlib import Path
from headrace import asset, Context

@asset(owner='core', partition='day', inputs=['orders'])
def waits(ctx: Context, orders):
    Path('{folder}', 'began').touch()
    while not Path('{folder}', 'go').exists():
        time.sleep(0.01)
    return orders
"""


@contextmanager
def manager(path: Path) -> Iterator[socket.socket]:
    """What systemd listens at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as result:
        result.bind(str(path))
        result.settimeout(20)
        yield result


@pytest.mark.long
def test_a_file_that_lands_is_worked_at_at_once_and_so_is_what_another_process_applies(
    tmp_path: Path,
) -> None:
    """A server that finds files only with its rounds, makes an endless run of it, or goes on with
    an old version; systemd isn't told.
    """
    root = project(tmp_path / "shop")
    with (
        manager(tmp_path / "notify") as told,
        serving(root, NOTIFY_SOCKET=str(tmp_path / "notify")) as server,
    ):
        assert told.recv(100) == b"READY=1\nSTATUS=leader"
        deliver(root, "2026-03-02")
        until(lambda: server.ran("revenue"))
        assert {
            (row["run_kind"], row["run_state"], row["node"]) for row in response(root, "runs")
        } == {
            ("serve", "succeeded", "orders"),
            ("serve", "succeeded", "revenue"),
        }
        write(
            root / "assets/orders_count.sql",
            FILES["assets/revenue.sql"].replace("sum(amount) as revenue", "count(*) as orders"),
        )
        headrace(root, "apply", "--yes")
        assert until(lambda: server.ran("orders_count"))[0]["state"] == "published"
        assert response(root, "status")["runtime"] == "running"
        assert server.get("/api/v1/status").json["runtime"] == "running"
        assert server.stop() == 0
        assert told.recv(100) == b"STOPPING=1"
    assert response(root, "status")["runtime"] == "stopped"
    assert "run 1 succeeded: 2 partitions" in server.said


@pytest.mark.long
def test_a_file_that_is_still_being_written_is_taken_when_it_is_quiet(tmp_path: Path) -> None:
    """Such a file waits for the next round, an hour later here."""
    root = project(tmp_path / "shop")
    with serving(root) as server:
        (root / "landing" / "orders_2026-03-02.csv").write_text(
            "day,amount\n2026-03-02,7\n", encoding="utf-8"
        )
        assert until(lambda: server.ran("revenue"))[0]["state"] == "published"


@pytest.mark.long
def test_what_runs_ends_before_a_server_stops_but_a_second_signal_ends_it_at_once(
    tmp_path: Path,
) -> None:
    """A stop that throws work away, one that starts more, or one that can't be forced."""
    root = project(tmp_path / "shop")
    write(root / "assets/waits.py", WAITS.format(folder=tmp_path))
    write(
        root / "assets/after.sql", FILES["assets/revenue.sql"].replace("from orders", "from waits")
    )
    deliver(root, "2026-03-02")
    with serving(root) as server:
        until((tmp_path / "began").exists)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: "stopping" in server.said)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 4
    assert response(root, "read", "waits")["rows"] == []
    (tmp_path / "began").unlink()
    with serving(root) as server:
        until((tmp_path / "began").exists)
        server.process.send_signal(signal.SIGINT)
        until(lambda: "stopping" in server.said)
        (tmp_path / "go").touch()
        assert server.process.wait(20) == 0
    assert len(response(root, "read", "waits")["rows"]) == 1
    assert response(root, "read", "after")["rows"] == []


@pytest.mark.long
def test_a_second_server_stands_by_and_takes_over(tmp_path: Path) -> None:
    """Two leaders, or none after the first was killed."""
    root = project(tmp_path / "shop")
    with serving(root) as first, serving(root, leads=False) as second:
        assert until(lambda: ask(second.port, "/readyz").json["role"] == "standby")
        assert "leads this project; standing by" in until(lambda: second.said or None)
        first.process.kill()
        until(second.leads, 10)
        deliver(root, "2026-03-02")
        until(lambda: second.ran("revenue"))
        assert second.stop() == 0


@pytest.mark.long
def test_a_replay_stands_still_until_somebody_asks(tmp_path: Path) -> None:
    """A server moves a replay on by itself: the demo would say something else each time it is
    opened."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", "2026-03-03T06:00")
    with serving(root) as server:
        deliver(root, "2026-03-02")
        assert response(root, "status")["clock"] == "replay"
        assert response(root, "read", "revenue")["rows"] == []
        assert response(root, "tick", "--now", "2026-03-03T07:00")["state"] == "succeeded"
        assert server.get("/api/v1/status").json["now"].startswith("2026-03-03T07:00")
        assert [row["run_kind"] for row in server.get("/api/v1/runs").json] == [
            "tick",
            "tick",
            "tick",
        ]
        assert server.stop() == 0


def test_a_project_with_errors_is_not_served(tmp_path: Path) -> None:
    """A server that looks as if it ran, and can't."""
    root = project(tmp_path / "shop")
    write(root / "assets/revenue.sql", "select 1")
    headrace(root, "serve", "--port", "0", code=1)


@pytest.mark.long
def test_dev_applies_what_is_saved_and_keeps_the_last_good_version(tmp_path: Path) -> None:
    """Saved work isn't seen, a mistake ends the server, or production is changed."""
    root = project(tmp_path / "shop")
    deliver(root, "2026-03-02")
    headrace(root, "tick")
    with serving(root, command="dev") as server:
        write(
            root / "assets/revenue.sql",
            FILES["assets/revenue.sql"].replace("as revenue", "+ 1 as revenue"),
        )
        assert until(lambda: server.ran("revenue"))[0]["state"] == "published"
        write(root / "assets/broken.sql", "select 1")
        until(lambda: "assets/broken.sql:1" in server.said)
        assert server.leads()
        assert server.stop(signal.SIGINT) == 0
    assert response(root, "--env", "dev", "read", "revenue")["rows"][0]["revenue"] in (11, "11")
    assert response(root, "read", "revenue")["rows"][0]["revenue"] in (10, "10")
    headrace(root, "--env", "prod", "dev", "--port", "0", code=3)


@pytest.mark.long
def test_a_webhook_runs_its_asset(tmp_path: Path) -> None:
    """A webhook is answered, and nothing happens; or what waits for one runs without."""
    root = project(tmp_path / "shop")
    write(
        root / "assets/hooked.sql",
        "/* headrace\nowner: core\ntrigger: webhook\n*/\nselect 1 as one\n",
    )
    with serving(root) as server:
        deliver(root, "2026-03-02")
        until(lambda: server.ran("revenue"))
        assert server.ran("hooked") == []
        bearer = {"Authorization": f"Bearer {server.token}"}
        for times in (1, 2):
            assert (
                ask(server.port, "/api/v1/hooks/hooked", method="POST", body=b"", **bearer).status
                == 202
            )
            assert until(lambda times=times: len(server.ran("hooked")) == times)
        assert server.stop() == 0


@pytest.mark.slow
def test_a_leader_that_was_away_finds_itself_replaced(tmp_path: Path) -> None:
    """A server that was suspended goes on as if it led, or ends."""
    root = project(tmp_path / "shop")
    with serving(root) as first, serving(root, leads=False) as second:
        first.process.send_signal(signal.SIGSTOP)
        until(second.leads, 20)
        first.process.send_signal(signal.SIGCONT)
        until(lambda: ask(first.port, "/readyz").json["role"] == "standby")
        assert "taken the lead over" in first.said
        deliver(root, "2026-03-02")
        until(lambda: second.ran("revenue"))
        assert second.stop() == 0
        until(first.leads)
