"""Code that can't work in any partition fails once; the other partitions say so without
an attempt.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from clilab import Project

DAYS = [f"2025-03-{day:02}" for day in range(1, 13)]
LATER = "2025-03-20T06:00+01:00"
BROKEN = "select day, upper(id + 1) as name from orders\n"


def partitions(project: Project, node: str) -> list[tuple[str, str, str]]:
    with sqlite3.connect(project.root / ".headrace/state.db") as connection:
        return connection.execute(
            "select partition, state, reason from partition where node = ? order by partition",
            (node,),
        ).fetchall()


def failed_attempts(response: object) -> list[dict[str, object]]:
    assert isinstance(response, dict)
    return [
        row for row in response["attempts"] if row["asset"] == "broken" and row["state"] == "failed"
    ]


@pytest.mark.long
@pytest.mark.parametrize("batch", ["off", "auto"])
def test_it_fails_once_and_the_others_say_like_which(new: Project, batch: str) -> None:
    head = (
        "/* headrace\nowner: core\npartition: {by: day, column: day}\nbatch:"
        f" {'false' if batch == 'off' else 'auto'}\n*/\n"
    )
    (new.root / "headrace.toml").write_text(
        '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n'
    )
    (new.root / "assets/broken.sql").write_text(head + BROKEN)
    (new.root / "assets/fails.py").unlink()
    days(new, 0, 12)
    response = new.json("tick", "--now", LATER)
    attempts = failed_attempts(response)
    assert 1 <= len(attempts) <= 2, "the one worker may have the next one in hand already"
    result = partitions(new, "broken")
    assert [state for _, state, _ in result] == ["failed"] * len(DAYS)
    alike = [reason for _, _, reason in result if reason.startswith("fails like 2025-03-")]
    # A batch fails as a whole. How many days have arrived when it is made is a matter of time.
    tried = {key for attempt in attempts for key in attempt["partitions"]}
    assert len(alike) == len(DAYS) - len(tried)
    assert all("upper(BIGINT)" in reason for _, _, reason in result)
    assert failed_attempts(new.json("tick", "--now", "2025-03-20T07:00+01:00")) == []
    repairs = [row for row in new.json("status")["repairs"] if row["node"] == "broken"]
    assert len({row["incident"] for row in repairs}) == 1, (
        "what wasn't tried is put down to what it fails like"
    )

    (new.root / "assets/broken.sql").write_text(
        head + "select day, upper(customer) as name from orders\n"
    )
    new.json("apply", "--yes", "--now", "2025-03-20T08:00+01:00")
    new.json("tick", "--now", "2025-03-20T08:10+01:00")
    assert [state for _, state, _ in partitions(new, "broken")] == ["published"] * len(DAYS)


def days(project: Project, first: int, last: int) -> None:
    (project.root / "landing").mkdir(exist_ok=True)
    for day in DAYS[first:last]:
        (project.root / f"landing/orders_{day}.csv").write_text(
            f"id,customer,amount,day\n1,Ada,1.00,{day}\n"
        )


def python(before: str, inside: str) -> str:
    return (
        f"{before}from headrace import asset\n\n"
        "@asset(owner='core', partition='day', inputs=['orders'])\n"
        f"def broken(orders):\n    {inside}\n"
    )


def command(words: str) -> str:
    return f"asset: broken\nowner: core\npartition: day\ninputs: [orders]\ncommand: {words}\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("broken.py", python("import no_such_package\n", "return orders"), "No module named"),
        ("broken.py", python("", "import no_such_package; return orders"), "No module named"),
        ("broken.py", python("LIMIT = {}['limit']\n", "return orders"), "KeyError"),
        ("broken.yaml", command("[TOOLS/score.py, x]"), "there is no `TOOLS/score.py`"),
        (
            "broken.yaml",
            command("[python3, TOOLS/score.py]"),
            "there is no script `TOOLS/score.py`",
        ),
    ],
    ids=["package", "package inside", "at import", "program", "script"],
)
def test_python_and_commands_fail_once_and_a_restart_spends_no_attempt(
    new: Project, tmp_path: Path, file: str, text: str, reason: str
) -> None:
    program = tmp_path / "score.py"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    text, reason = (item.replace("TOOLS", str(tmp_path)) for item in (text, reason))
    (new.root / "headrace.toml").write_text(
        '[project]\nname = "shop"\ntimezone = "Europe/Berlin"\n[run]\nworkers = 1\n'
    )
    (new.root / "assets/fails.py").unlink()
    (new.root / "assets" / file).write_text(text)
    new.json("apply", "--yes", "--now", LATER)
    program.unlink()
    days(new, 0, 8)
    first = failed_attempts(new.json("tick", "--now", LATER))
    assert 1 <= len(first) <= 2, "the one worker may have the next one in hand already"
    result = partitions(new, "broken")
    assert [state for _, state, _ in result] == ["failed"] * 8
    assert all(reason in text for _, _, text in result), result
    alike = [text for _, _, text in result if text.startswith("fails like 2025-03-")]
    assert len(alike) == 8 - len(first)

    days(new, 8, 12)  # each command is a leader of its own
    assert failed_attempts(new.json("tick", "--now", "2025-03-20T06:30+01:00")) == []
    assert [state for _, state, _ in partitions(new, "broken")] == ["failed"] * 12
