"""The failed attempt behind an incident: its code as it ran, its log, and what changed before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from door_lab import Opened, opened
from serve_lab import FILES, ask, deliver, headrace, project, response, write

from headrace_ui.services.failed_attempts import LOG_MAX, TRACEBACK_HEAD, traceback_start

HEAD = """from headrace import asset
from lib.rates import rate

@asset(owner='core', partition='day', inputs=['orders'])
def breaks(ctx, orders):
"""
GOOD = HEAD + "    return orders\n"
BAD = (
    HEAD
    + "    for n in range(100):\n        print(f'row {n} \\x1b[31mred\\x1b[0m \\u202e <b>')\n"
    + "    try:\n        rate({})\n    except KeyError as error:\n"
    + "        raise ValueError('no such <script> \\u202e thing') from error\n"
)
NOW = "2025-03-03T08:00"


class Failures(NamedTuple):
    root: Path
    door: Opened
    tokens: dict[str, str]

    def incident(self, node: str) -> str:
        rows = self.door.get("/api/v1/incidents?all=true").json
        return next(row["id"] for row in rows if row["cause"]["node"] == node)

    def failure(self, node: str) -> Any:
        return self.door.get(f"/api/v1/incidents/{self.incident(node)}/failure").json["failed"]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failures]:
    """A Python asset that worked on the first day and fails since its change, SQL that fails, and
    a command that prints nothing.
    """
    root = project(tmp_path_factory.mktemp("failures") / "shop")
    write(root / "lib/rates.py", "def rate(rates):\n    return 1\n")
    write(root / "assets/breaks.py", GOOD)
    write(
        root / "assets/wrong.sql",
        FILES["assets/revenue.sql"].replace("sum(amount)", "sum(cast('x' as int))"),
    )
    write(
        root / "assets/silent.yaml",
        "- {asset: silent, owner: core, partition: day, inputs: [orders], command: ['false']}\n",
    )
    write(root / "access.yaml", _admin(root))
    write(
        root / "consumers.yaml",
        "- {consumer: report, owner: core, reads: [breaks, wrong, silent], max_age: 30h}\n",
    )
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", "2025-03-02T08:00")
    write(root / "lib/rates.py", "def rate(rates):\n    return rates['EUR']\n")
    write(root / "assets/breaks.py", BAD)
    deliver(root, "2025-03-02")
    headrace(root, "apply", "--yes")
    headrace(root, "tick", "--now", NOW)
    scopes = {"viewer": "viewer", "elsewhere": "viewer:env=dev"}
    tokens = {
        name: str(response(root, "token", "create", name, "--scope", scope)["token"])
        for name, scope in scopes.items()
    }
    with opened(root) as door:
        yield Failures(root, door, tokens)


def _admin(root: Path) -> str:
    return f"- {{role: admin, to: ['{response(root, 'access', 'whoami')['who']}']}}\n"


def test_failed_python_is_answered_with_its_code_its_traceback_and_what_changed(
    failures: Failures,
) -> None:
    """Would catch: an engineer who has to look up the attempt, its log and the older version."""
    failed = failures.failure("breaks")
    assert failed["partitions"] == ["2025-03-02"] and not failed["withheld"]
    code = failed["code"]
    assert code["file"] == "assets/breaks.py" and code["applied"] == "same"
    assert "raise ValueError" in code["lines"][code["line"] - code["first"]]
    texts = [line["text"] for line in failed["traceback"]]
    assert texts[0] == TRACEBACK_HEAD and texts[-1].startswith("ValueError: no such <script>")
    assert any("KeyError: 'EUR'" in text for text in texts), texts
    assert '  File "lib/rates.py", line 2, in rate' in texts, texts
    assert len(failed["log"]) == LOG_MAX and failed["log"][-1]["text"].startswith("row 99")
    assert failed["log_lines"] == 100 + len(texts)
    assert failed["inputs"] == [
        {
            "node": "orders",
            "partitions": ["2025-03-02"],
            "total": 1,
            "missing": [],
            "changed": None,
        }
    ]
    assert (failed["good"]["partition"], failed["good"]["same"]) == ("2025-03-01", False)
    changes = failed["changes"]
    assert [file["path"] for file in changes["files"]] == ["assets/breaks.py", "lib/rates.py"]
    assert "+    return rates['EUR']" in changes["files"][1]["diff"].split("\n")
    assert failed["commands"][0] == "headrace try breaks@2025-03-02"


def test_failed_sql_has_its_line_and_a_silent_command_no_log(failures: Failures) -> None:
    """Would catch: a page that fails, or that claims a log, where an attempt wrote none."""
    wrong, silent = failures.failure("wrong"), failures.failure("silent")
    assert "cast('x' as int)" in wrong["code"]["lines"][wrong["code"]["line"] - 1]
    assert (wrong["log"], wrong["traceback"], wrong["log_lines"]) == ([], [], 0)
    assert wrong["good"] is None and wrong["changes"] is None
    assert silent["code"]["file"] == "assets/silent.yaml" and silent["log_lines"] == 0


def test_roles_get_what_the_incident_and_the_log_give_them(failures: Failures) -> None:
    """Would catch: a log, or an incident of somebody else's node, through another address."""
    number = failures.incident("breaks")
    path = f"/api/v1/incidents/{number}/failure"

    def get(who: str) -> Any:
        return ask(failures.door.port, path, Authorization=f"Bearer {failures.tokens[who]}")

    assert get("viewer").json["failed"]["traceback"]
    refused = get("elsewhere")
    assert refused.status == 403 and b"breaks" not in refused.body
    assert failures.door.get("/api/v1/incidents/INC-999/failure").status == 404
    assert failures.door.get("/api/v1/incidents/x/failure").status == 404


def test_withheld_logs_stay_withheld(failures: Failures) -> None:
    """Would catch: printed values of a classified column in the traceback of an incident."""
    write(
        failures.root / "access.yaml",
        f"{_admin(failures.root)}- {{forbid: read, to: [token:viewer], column: orders.amount}}\n",
    )
    headrace(failures.root, "apply", "--yes")
    number = failures.incident("breaks")
    answer = ask(
        failures.door.port,
        f"/api/v1/incidents/{number}/failure",
        Authorization=f"Bearer {failures.tokens['viewer']}",
    )
    failed = answer.json["failed"]
    assert failed["withheld"] and failed["log_lines"] > 100
    assert (failed["log"], failed["traceback"]) == ([], [])
    assert b"row 99" not in answer.body and b"KeyError: " not in answer.body


def test_the_code_is_that_of_the_attempt_after_its_file_is_renamed_and_its_log_gone(
    failures: Failures,
) -> None:
    """Would catch: today's file beside yesterday's line number; a page that fails without a log."""
    failed = failures.failure("breaks")
    (failures.root / "assets/breaks.py").rename(failures.root / "assets/moved.py")
    epoch, _, n = failed["attempt"].partition(".")
    (failures.root / f".headrace/logs/{epoch}/{n}.jsonl").unlink()
    headrace(failures.root, "apply", "--yes")
    after = failures.failure("breaks")
    assert after["code"] == failed["code"] | {"applied": "gone", "now_in": "assets/moved.py"}
    assert (after["log"], after["traceback"], after["log_lines"]) == ([], [], 0)


def test_an_asset_that_is_gone_still_has_its_failure(failures: Failures) -> None:
    """Would catch: the evidence of an incident that ends with its asset."""
    number = failures.incident("wrong")
    (failures.root / "assets/wrong.sql").unlink()
    write(
        failures.root / "consumers.yaml",
        "- {consumer: report, owner: core, reads: [breaks, silent], max_age: 30h}\n",
    )
    headrace(failures.root, "apply", "--yes")
    failed = failures.door.get(f"/api/v1/incidents/{number}/failure").json["failed"]
    assert failed["code"]["applied"] == "gone" and failed["code"]["now_in"] is None
    assert failed["commands"] == [f"headrace logs {failed['attempt']}"]


@pytest.mark.parametrize(
    ("texts", "start"),
    [
        ([], 0),
        (["a", "b"], 2),
        (["a", TRACEBACK_HEAD, "  x", "E"], 1),
        ([TRACEBACK_HEAD, "E", "went on", TRACEBACK_HEAD, "F"], 3),
        (["a", f"  + Exception Group {TRACEBACK_HEAD}", "  | E"], 1),
        (
            [
                f"  + Exception Group {TRACEBACK_HEAD}",
                "  | E",
                f"    | {TRACEBACK_HEAD}",
                "    | F",
            ],
            0,
        ),
    ],
)
def test_the_last_traceback_is_found(texts: list[str], start: int) -> None:
    """Would catch: an exception that was logged and caught, shown as the one that ended it."""
    assert traceback_start(texts) == start, json.dumps(texts)
