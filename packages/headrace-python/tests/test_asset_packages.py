"""Assets with packages of their own: two versions of one library, and what may be wrong with them.

All wheels are made here (`small_wheels.py`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from runlab import Lab, built_once
from small_wheels import write_wheel

from headrace.extension import requirements_digest

HERE = ["--no-index", "--find-links wheels"]
ONE = [*HERE, "tiny<2"]
FUNCTION = """def first(ctx: Context, orders):
    import tiny
    ctx.log(f"tiny {tiny.VERSION}")
    return [{"day": row["day"], "version": tiny.VERSION, "amount": row["amount"]}
            for row in orders.to_pylist()]
"""
COMMAND = """asset: second
owner: core
partition: {by: day, column: day}
inputs: [orders]
command: [python, jobs/second.py]
requirements: ["--no-index", "--find-links wheels", needy]
"""
SCRIPT = """import json, os
import needy
with open(os.environ["HEADRACE_CONTEXT"]) as file:
    context = json.load(file)
with open(os.path.join(context["output_directory"], "rows.csv"), "w") as file:
    file.write(f"day,version\\n{context['partition']},{needy.tiny.VERSION}\\n")
"""
DAY = "2025-01-01"


def locked(root: Path) -> Lab:
    """A function with tiny 1.0 and a command with tiny 2.0, locked and published."""
    lab = Lab(root)
    for version in ("1.0", "2.0"):
        write_wheel(root / "wheels", "tiny", version, f"VERSION = {version}\n")
    write_wheel(root / "wheels", "needy", "1.0", "import tiny\n", ["tiny>=1"])
    (root / "jobs").mkdir()
    lab.write("jobs/second.py", SCRIPT)
    lab.write("assets/second.yaml", COMMAND)
    lab.python("first", FUNCTION, partition={"by": "day", "column": "day"}, requirements=ONE)
    lab.orders(DAY, 2)
    lab.headrace("lock")
    lab.run()
    return lab


locked = built_once(locked)


def _rows(lab: Lab, name: str) -> list[Any]:
    return lab.headrace("read", name, "--format", "json")["rows"]


def _failure(lab: Lab, name: str, **how: Any) -> dict[str, Any]:
    errors = [each.error for each in lab.run(name, **how).attempts if each.asset == name]
    assert errors[-1] is not None
    return {"kind": errors[-1].kind, "message": errors[-1].message, "hint": errors[-1].hint}


def test_two_assets_run_with_two_versions_of_a_library(locked: Lab) -> None:
    """Would catch: one environment for all, a value that changes on the way through a process, an
    attempt that doesn't record what it ran with, and the wait for packages booked to the asset.
    """
    assert [row["version"] for row in _rows(locked, "second")] == [2.0]
    assert [(row["version"], row["amount"]) for row in _rows(locked, "first")] == [(1.0, 1.5)] * 2
    runs = locked.headrace("runs", "1")
    code = {each["node"]: each["code"] for each in runs if each["code"]}
    packages = {
        name: {each["name"]: each["version"] for each in row["packages"]}
        for name, row in code.items()
    }
    assert packages == {"first": {"tiny": "1.0"}, "second": {"needy": "1.0"}}
    notes = [each["note"] for each in locked.headrace("why", f"first@{DAY}")["segments"]]
    assert "waited for the environment of its packages" in notes
    logged = [each["text"] for each in locked.headrace("logs", f"first@{DAY}")]
    assert "tiny 1.0" in logged
    assert any(text.startswith("made the environment (1 package) in ") for text in logged)


def test_tests_of_assets_run_with_the_packages_of_the_lock(locked: Lab) -> None:
    """Would catch: a test that passes, or fails, with other packages than an attempt has."""
    environments = locked.root / ".headrace/environments"
    before = sorted(environments.iterdir())
    (locked.root / "tests").mkdir()
    given = "{order_id: 1, customer: c, amount: 1.5, day: 2025-01-01}"
    locked.write(
        "tests/one.yaml",
        f"- {{test: one, asset: first, partition: 2025-01-01, given: {{orders: [{given}]}},"
        " expect: [{version: 1.0, amount: 1.5}]}\n",
    )
    tests = locked.headrace("test", "first")  # which exits with 0
    assert [each["test"] for each in tests] == ["one"]
    assert sorted(environments.iterdir()) == before


def test_another_version_of_a_package_is_another_version_of_the_asset(locked: Lab) -> None:
    """Would catch: a new version that recomputes nothing, or everything, or that isn't named."""
    locked.python(
        "first",
        FUNCTION,
        partition={"by": "day", "column": "day"},
        requirements=[*HERE, "tiny"],
    )
    problems = locked.headrace("validate", code=1)["problems"]
    assert [each["code"] for each in problems] == ["requirements_not_locked"]
    kept = locked.headrace("lock", "first")["locks"]
    assert [(row["state"], row["changes"]) for row in kept] == [("locked", [])]  # 1.0 still fits
    assert [each["change"] for each in locked.headrace("plan")["changes"]] == ["metadata"]
    rows = locked.headrace("lock", "--upgrade")["locks"]
    assert [(row["state"], row["changes"]) for row in rows] == [
        ("locked", ["tiny 1.0 → 2.0"]),
        ("unchanged", []),
    ]
    changes = [each for each in locked.headrace("plan")["changes"] if each["change"] == "body"]
    assert [(each["node"], each["partitions_stale"]) for each in changes] == [("first", 1)]
    assert {"path": "tiny", "change": "changed", "via": "requirements, 1.0 → 2.0"} in changes[0][
        "code"
    ]
    locked.headrace("apply", "--yes")
    locked.run()
    assert [row["version"] for row in _rows(locked, "first")] == [2.0, 2.0]


def test_what_cannot_be_locked_keeps_its_lock_and_the_others_are_locked(locked: Lab) -> None:
    """Would catch: one unknown package that hides all others, and a lock that is lost."""
    before = (locked.root / "requirements/first.lock").read_bytes()
    locked.python("first", FUNCTION, requirements=[*HERE, "tiny==9"])
    locked.write("assets/second.yaml", COMMAND.replace("needy]", "needy, tiny]"))
    rows = locked.headrace("lock", code=1)["locks"]
    assert [row["state"] for row in rows] == ["failed", "locked"]
    assert "there is no version of tiny==9" in rows[0]["message"]
    assert rows[0]["hint"] == "change the versions that `requirements` asks for"
    assert (locked.root / "requirements/first.lock").read_bytes() == before


def test_a_lock_edited_by_hand_fails_its_asset_only(locked: Lab) -> None:
    """Would catch: other bytes than were locked, installed; and an asset that fails beside it."""
    path = locked.root / "requirements/first.lock"
    path.write_text(path.read_text().replace("tiny==1.0", "tiny==2.0"), encoding="utf-8")
    (locked.root / "jobs/second.py").write_text(SCRIPT + "# changed\n", encoding="utf-8")
    locked.headrace("apply", "--yes")
    failure = _failure(locked, "first")
    assert "Hash mismatch for `tiny==2.0`" in failure["message"]
    assert failure["kind"] == "deterministic"
    assert "headrace lock" in failure["hint"]
    assert [row["version"] for row in _rows(locked, "second")] == [2.0]
    path.write_text(path.read_text().split("tiny", 1)[0] + "tiny==1.0\n", encoding="utf-8")
    locked.headrace("apply", "--yes")
    failure = _failure(locked, "first", again=True, reason="the lock is the one of before")
    assert "must have a hash" in failure["message"]


def test_an_index_that_is_away_is_tried_again_and_its_secret_is_told_nobody(
    locked: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a failure that never passes, and a token in the lock, an error or the log."""
    monkeypatch.setenv("TOKEN", "s3cr3t-token")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = "--index-url https://ci:${TOKEN}@127.0.0.1:9/simple"
    path = locked.root / "requirements/first.lock"
    locked.python(
        "first",
        FUNCTION,
        partition={"by": "day", "column": "day"},
        secrets=["TOKEN"],
        environment={"UV_HTTP_RETRIES": "0"},
        attempts_max=1,
        requirements=[index, "tiny<2"],
    )
    rows = locked.headrace("lock", code=1)["locks"]
    assert "error sending request" in rows[0]["message"]
    problem = locked.headrace("validate", code=1)["problems"][0]["message"]
    assert "requirements/first.lock was made for others" in problem
    digest = requirements_digest([index, "tiny<2"], lambda path: path)
    lines = [line for line in path.read_text().splitlines() if "--" not in line[:2]]
    lines[1] = f"# for: {digest}"
    path.write_text("\n".join([*lines[:2], index, *lines[2:]]) + "\n", encoding="utf-8")
    locked.headrace("apply", "--yes")
    failure = _failure(locked, "first")
    assert failure["kind"] == "transient"
    assert "s3cr3t" not in json.dumps([rows, failure])
    kept = [file for file in (locked.root / ".headrace").rglob("*") if file.is_file()]
    assert not [file for file in kept if b"s3cr3t" in file.read_bytes()]


def test_addresses_with_secrets_are_refused(locked: Lab) -> None:
    """Would catch: a password in a declaration, or copied from an included file into a lock."""
    secret = ["--index-url https://ci:hunter2@example.com/simple", "tiny"]
    locked.python("first", FUNCTION, requirements=secret)
    problems = locked.headrace("validate", code=1)["problems"]
    assert [each["code"] for each in problems] == ["literal_secret"]
    locked.write("more.txt", "\n".join(secret))
    locked.python("first", FUNCTION, requirements=["-r more.txt"])
    rows = locked.headrace("lock", "first", code=1)["locks"]
    assert rows[0]["message"] == "more.txt has an address with a secret in it"


def test_functions_fail_with_their_place_and_reach_only_what_is_theirs(locked: Lab) -> None:
    """Would catch: a traceback that ends in Headrace, an undeclared package that is found by luck,
    and code that writes into an environment that others use.
    """
    home = next((locked.root / ".headrace/environments").glob("*/headrace-made")).parent
    bodies = {
        "ValueError: no rate": "    raise ValueError('no rate')",
        "ModuleNotFoundError: No module named 'holidays'": "    import holidays",
        "PermissionError": f"    open({str(home / 'mine')!r}, 'w')",
    }
    for message, line in bodies.items():
        locked.python("first", f"def first(ctx: Context):\n{line}\n", requirements=ONE)
        locked.headrace("lock", "first")
        locked.headrace("apply", "--yes")
        attempt = locked.run("first").attempts[-1]
        assert attempt.error is not None
        assert message in attempt.error.message
        assert (attempt.error.file, attempt.error.line) == ("assets/first.py", 5)


def test_environments_that_nobody_uses_are_removed_and_made_again(locked: Lab) -> None:
    """Would catch: environments that stay for ever, and an asset that can't run after the sweep."""
    folder = locked.root / ".headrace/environments"
    past = 1_600_000_000.0  # before the replayed clock
    for home in folder.iterdir():
        os.utime(home, (past, past))
    locked.headrace("db", "gc")
    assert not list(folder.glob("*"))
    (half,) = [folder / "half"]
    half.mkdir(parents=True)
    locked.run("first", again=True, reason="a test")
    assert [row["version"] for row in _rows(locked, "first")] == [1.0, 1.0]
    assert half.is_dir()
