"""On a terminal: colour, a bar, and neither where they aren't wanted."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
from clilab import Project

HEADRACE = str(Path(sys.executable).with_name("headrace"))


def on_a_terminal(root: Path, *arguments: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Exit code, and all that the terminal got."""
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")},
        "TERM": "xterm",
        **env,
    }
    process = subprocess.Popen(
        [HEADRACE, *arguments],
        cwd=root,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    return process.wait(30), seen.decode().replace("\r\n", "\n")


def test_colour_is_there_and_lines_fit(shop: Project) -> None:
    code, seen = on_a_terminal(shop.root, "status", columns=70)
    assert code == 0
    assert "\x1b[31m" in seen
    plain = seen.replace("\x1b[0m", "")
    for start in ("\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[33m", "\x1b[32m"):
        plain = plain.replace(start, "")
    assert "\x1b" not in plain
    as_typed = (
        "next:",
        "  page",
        "    headrace ",
    )  # commands and paths are copied: they stay whole
    assert [
        line for line in plain.splitlines() if len(line) > 70 and not line.startswith(as_typed)
    ] == []


@pytest.mark.parametrize(
    ("arguments", "env"), [(["--no-color"], {}), ([], {"NO_COLOR": "1"}), ([], {"TERM": "dumb"})]
)
def test_no_colour_where_it_is_not_wanted(
    shop: Project, arguments: list[str], env: dict[str, str]
) -> None:
    assert "\x1b[3" not in on_a_terminal(shop.root, "status", *arguments, **env)[1]


def test_the_bar_and_the_result(new: Project) -> None:
    (new.root / "landing").mkdir()
    (new.root / "landing/orders_2025-03-01.csv").write_text(
        "id,customer,amount,day\n1,a[red],1,2025-03-01\n"
    )
    code, seen = on_a_terminal(new.root, "tick", "--now", "2025-03-02T08:00", columns=100)
    assert code == 0
    assert "run 1" in seen
    assert "Traceback" not in seen


def test_a_table_of_hostile_data_steers_nothing(shop: Project) -> None:
    (shop.root / "landing/orders_2025-03-04.csv").write_text(
        "id,customer,amount,day\n1,\x1b]0;owned\x07[red]x[/red]\u202e,1,2025-03-04\n"
    )
    assert shop.call(shop.root, "tick")[0] == 0
    for arguments in (["read", "orders_clean"], ["read", "orders_clean", "--format", "csv"]):
        seen = on_a_terminal(shop.root, *arguments, columns=120)[1]
        assert "\\x1b]0;owned\\x07[red]x[/red]\\u202e" in seen
        assert "\x07" not in seen


def test_bytes_are_not_written_to_a_terminal(shop: Project) -> None:
    code, seen = on_a_terminal(shop.root, "read", "revenue", "--format", "parquet")
    assert code == 2
    assert "--out FILE" in seen
