"""`headrace logs`."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from clilab import Project

from headrace.project.session import ProjectSession
from headrace.services.logs import follow
from headrace.store import Lease, Store


def test_the_newest_attempt_of_an_asset(shop: Project) -> None:
    rows = shop.json("logs", "page")
    assert [row["text"] for row in rows] == [
        "writing the page of 2025-03-03",
        "careful \\x1b[31m[bold]",
    ]
    assert set(rows[0]) >= {"node", "partition", "state", "verdict", "at", "reason"}
    assert {row["stream"] for row in rows} == {"stdout", "stderr"}


def test_a_partition_and_an_attempt(shop: Project) -> None:
    rows = shop.json("logs", "page@2025-03-01")
    assert rows[0]["text"].endswith("2025-03-01")
    assert shop.json("logs", rows[0]["attempt"]) == rows


def test_what_steers_a_terminal_is_shown(shop: Project) -> None:
    text = shop.text("logs", "page")
    assert "careful \\x1b[31m[bold]" in text
    assert "\x1b" not in text


def test_why_it_failed_is_part_of_the_log(shop: Project) -> None:
    text = shop.text("logs", "fails@2025-03-02")
    assert "about to fail" in text
    assert "at assets/fails.py:6" in text


def test_grep(shop: Project) -> None:
    assert [row["text"] for row in shop.json("logs", "page", "--grep", "^writing")] == [
        "writing the page of 2025-03-03"
    ]
    assert "no regular expression" in shop.refused("logs", "page", "--grep", "(")


def test_what_is_not_there(shop: Project, new: Project) -> None:
    assert "no attempt 9.9" in shop.refused("logs", "9.9")
    assert "did you mean `page`" in shop.refused("logs", "pag")
    assert shop.json("logs", "page@2025-03-05") == []
    assert "never attempted" in new.text("logs", "page")
    assert "no attempt" in new.refused("logs", "1.1")


def test_a_damaged_line_hides_no_other(shop: Project) -> None:
    attempt = shop.json("logs", "page")[0]["attempt"]
    epoch, n = attempt.split(".")
    path = shop.root / ".headrace/logs" / epoch / f"{n}.jsonl"
    path.write_bytes(b"\xff{broken\n" + path.read_bytes() + b'{"at_us": 1, "half')
    assert [row["text"] for row in shop.json("logs", attempt)][1:] == [
        "writing the page of 2025-03-03",
        "careful \\x1b[31m[bold]",
    ]


def test_follow_gives_lines_as_they_come_and_ends_with_the_attempt(shop: Project) -> None:
    """Would catch a follow that waits for ever, or that loses what is written while it looks."""
    attempt = shop.json("logs", "page")[0]["attempt"]
    epoch, n = map(int, attempt.split("."))
    session = ProjectSession.open(shop.root, "prod", None, "me")
    assert session.store is not None
    leading = Store.open(shop.root, session.settings, create=True)
    lease = Lease.take(leading, "test")  # what no leader runs is lost, whatever its row says
    assert lease is not None
    _set_state(shop.root, lease.epoch, n, "running", was=epoch)
    attempt, path = (
        f"{lease.epoch}.{n}",
        shop.root / ".headrace/logs" / str(lease.epoch) / f"{n}.jsonl",
    )
    path.parent.mkdir()
    path.write_bytes((shop.root / ".headrace/logs" / str(epoch) / f"{n}.jsonl").read_bytes())
    seen: list[str] = []
    first = threading.Event()

    def write() -> None:
        first.wait(20)
        with path.open("a") as file:
            file.write(
                json.dumps({"at_us": 1, "stream": "stdout", "level": "info", "text": "later"})
                + "\n"
            )
        _set_state(shop.root, lease.epoch, n, "published")

    writer = threading.Thread(target=write)
    writer.start()
    for row in follow(session, attempt, grep=None):
        seen.append(row.text)
        first.set()
    writer.join()
    session.close()
    lease.release()
    leading.close()
    assert seen[-1] == "later"
    assert len(seen) == 3


def _set_state(root: Path, epoch: int, n: int, state: str, *, was: int | None = None) -> None:
    """The state of an attempt, which may become one of another leader."""
    session = ProjectSession.open(root, "prod", None, "me")
    with Store.open(root, session.settings) as store, store.write(None) as tx:
        tx.execute(
            "update attempt set state = ?, epoch = ? where epoch = ? and n = ?",
            (state, epoch, epoch if was is None else was, n),
        )
