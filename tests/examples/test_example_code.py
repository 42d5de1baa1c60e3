"""The examples of Python assets, command assets and macros do what their READMEs say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from example_lab import Example, published

NOW = "2026-03-03T06:00:00+01:00"
DAYS = ["2026-03-01", "2026-03-02"]


def started(name: str, folder: Path) -> Example:
    example = Example(name, folder)
    assert example.json("validate")["problems"] == []
    example.environment["PATH"] = f"{Path(sys.executable).parent}:{example.environment['PATH']}"
    return example


def changed(example: Example, path: str, was: str, now: str) -> list[tuple[str, list[str]]]:
    """What `plan` says of an edit: each changed asset with the files through which it changed."""
    file = example.root / path
    text = file.read_text()
    assert was in text
    file.write_text(text.replace(was, now))
    return [
        (item["node"], [code["path"] for code in item["code"]])
        for item in example.json("plan")["changes"]
    ]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_python_asset(tmp_path: Path) -> None:
    """Would catch: declared types lost, a log that is empty, a helper whose change nobody sees,
    tests that can't run."""
    example = started("python-asset", tmp_path)
    document = example.tick(NOW)
    assert [item for item in published(document) if item[0] == "order_values"] == [
        ("order_values", day) for day in DAYS
    ]
    rows = sorted(
        (row["customer"], row["orders"], row["euros"]) for row in example.rows("order_values")
    )
    assert rows == [("Ada", 2, "15.50"), ("Ben", 1, "18.40"), ("Cleo", 1, "92.00")]
    log = [line["text"] for line in example.json("logs", "order_values@2026-03-02")]
    assert "order 5 is worth less than 2 euros" in log
    assert "progress 100% 1 customers on 2026-03-02" in log
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=example.root,
        env=example.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert changed(example, "lib/money.py", "0.92", "0.93") == [("order_values", ["lib/money.py"])]


@pytest.mark.timeout(300)
def test_command_asset(tmp_path: Path) -> None:
    """Would catch: a context that the script can't read, events that aren't in the log, a settings
    file that isn't applied.
    """
    example = started("command-asset", tmp_path)
    example.tick(NOW)
    rows = sorted(
        (row["currency"], row["orders"], row["euros"]) for row in example.rows("order_totals")
    )
    assert rows == [("EUR", 1, 1.25), ("EUR", 2, 15.5), ("USD", 1, 18.4), ("USD", 1, 92.0)]
    log = [line["text"] for line in example.json("logs", "order_totals@2026-03-02")]
    assert "computed order_totals 2026-03-02" in log
    assert "metric currencies 2" in log
    assert changed(example, "jobs/rates.json", "0.92", "0.93") == [
        ("order_totals", ["jobs/rates.json"])
    ]


@pytest.mark.timeout(300)
def test_macros(tmp_path: Path) -> None:
    """Would catch: a macro that a check doesn't know, or one whose change nobody sees."""
    example = started("macros", tmp_path)
    example.tick(NOW)
    rows = sorted(
        (row["order_id"], row["euros"], row["size"]) for row in example.rows("order_values")
    )
    assert rows == [
        (1, "10.00", "large"),
        (2, "18.40", "large"),
        (3, "5.50", "small"),
        (4, "92.00", "large"),
        (5, "1.25", "small"),
    ]
    assert [item for item, _ in changed(example, "macros/money.sql", "0.92", "0.93")] == [
        "order_values"
    ]
