"""Odd and damaged inputs, and odd results of Python assets: no sentence about them has the names
that libraries and Python have for themselves.

`SEED=…` repeats a run, or begins another one. Exempt is what asset code itself raised or wrote:
its exceptions are reported as Python names them (`OWN_ERRORS`), because its author knows them.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from odd_inputs import (
    GOOD,
    OWN_ERRORS,
    RESULTS,
    Odd,
    damaged_deliveries,
    odd_deliveries,
    options_of,
    write_project,
)

from headrace.connect.deliveries import Drift, SourceSchema, TypeDrift, UnreadableFile

sys.path.append(str(Path(__file__).parents[1] / "connect"))

from connect_workbench import Taken, Workbench

SEED = int(os.environ.get("SEED") or 1)
DAMAGED, IN_A_PROJECT, RETURNED = 36, 10, 70
NOW = ("--now", "2025-01-03T08:00+00:00")

PRIVATE = re.compile(
    r"[A-Z]\w*(?:Error|Exception|Mismatch|Warning)\b"
    r"|pyarrow|numpy|MonthDayNano|Arrow(?! table| batches)|NoneType|\bNone\b|\bNaTType\b"
    r"|Traceback|object at 0x|<class|<function|\b0x[0-9a-f]{6,}\b"
    r"|datetime\.|timedelta|Decimal\(|Timestamp\("
    r"|\b(?:int|uint|float|decimal|timestamp|date|time|string|binary)(?:8|16|32|64|128|256)\b"
    r"|timestamp\[|duration\[|halffloat|list<|struct<"
    r"|Expecting |Invalid |Extra data|Internal|Errno|codec|T(?:Protocol|Transport)\w+"
    r"|read_(?:csv|json|parquet)|Error: |__\w+__"
)
"""Names of classes, types and functions, and how libraries begin their messages."""
ALLOWED = re.compile(
    r"decimal\.Decimal|duckdb\.DuckDBPyRelation|columns=\{.*?\}"
    r"|an Arrow table, a Polars or pandas frame, a DuckDB relation,"
    r"|or return an empty Arrow table|of Arrow instead of|None where there is no value"
)
"""What advice to the author of a Python asset tells to write."""


def private(text: str) -> str | None:
    """Return the private name in a text."""
    found = PRIVATE.search(ALLOWED.sub("", text))
    return found and found[0]


def strings(document: Any) -> Iterator[str]:
    """Yield all texts of a JSON document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from strings(part)


def test_a_private_name_is_found() -> None:
    """The sweep is worth nothing if its pattern misses what it is for."""
    for text in (
        "Unsupported Internal Arrow Type e",
        "the function returned numpy.ndarray",
        "line 1: Expecting value",
        "Footer length error in file: Invalid Input",
        "MonthDayNano(months=0)",
        "ValueMismatch: column `a`",
        "has None",
    ):
        assert private(text), text
    assert (
        private("return an Arrow table, a Polars or pandas frame, a DuckDB relation, or …") is None
    )


def test_deliveries(tmp_path: Path) -> None:
    """Would catch: `Expecting value`, `TProtocolException`, `[Errno 22]`, an exception that isn't
    handled, each of a file as a first delivery and after a good one."""
    dice = random.Random(SEED)
    wrong = []
    with Workbench(tmp_path) as bench:
        pinned = {
            name: bench.take(data, name, options=options_of(name)) for name, data in GOOD.items()
        }
        for odd in (*odd_deliveries(), *damaged_deliveries(dice, DAMAGED)):
            good = pinned[odd.file]
            assert isinstance(good, Taken), good
            schemas = [None, good.schema]
            for schema in [dice.choice(schemas)] if "damaged" in odd.name else schemas:
                told = said_of(bench, odd, schema)
                if name := private(told):
                    wrong.append(f"{odd.name}: {name!r} in {told!r}")
    assert not wrong, f"SEED={SEED}: {len(wrong)} texts:\n" + "\n".join(wrong[:20])


def said_of(bench: Workbench, odd: Odd, schema: SourceSchema | None) -> str:
    outcome = bench.take(odd.data, odd.file, schema, options=options_of(odd.file))
    if isinstance(outcome, TypeDrift | UnreadableFile):
        return outcome.reason
    return outcome.detail if isinstance(outcome, Drift) else ""


def test_what_commands_say(tmp_path: Path, call: Callable[..., Any]) -> None:
    """Would catch: `returned numpy.ndarray`, `Unsupported Internal Arrow Type`, a class's name in
    what `run`, `status`, `incident`, `quarantine` or `validate` says."""
    dice = random.Random(SEED)
    root = tmp_path / "odd"
    deliveries = dice.sample([*odd_deliveries(), *damaged_deliveries(dice, DAMAGED)], IN_A_PROJECT)
    own = {f"own_{number}": result for number, result in enumerate(OWN_ERRORS)}
    results = dice.sample(RESULTS, RETURNED)
    write_project(root, deliveries, own | {f"a{n}": text for n, text in enumerate(results)})
    assert call(root, "tick", *NOW)[0] == 0
    attempts = json.loads(call(root, "runs", "--limit", "1000", "--json", *NOW)[1])
    failed = {row["node"] for row in attempts if row["state"] == "failed"}
    assert failed.issuperset(own), "exempt are only assets that raise"
    incidents = json.loads(call(root, "incidents", "--json", *NOW)[1])
    told = [
        *(text for row in attempts if row["node"] not in own for text in strings(row)),
        *(text for row in incidents if row["cause"]["node"] not in own for text in strings(row)),
        *(
            line
            for command in ("status", "quarantine", "validate")
            for line in call(root, command, *NOW)[1].splitlines()
        ),
    ]
    wrong = sorted({text for text in told if private(text)})
    assert not wrong, f"SEED={SEED}: {len(wrong)} texts:\n" + "\n".join(wrong[:20])
