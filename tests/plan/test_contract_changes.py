"""What a new version of a contract changes for its readers, and what it must say about that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from projects import compiled, contract, of, source, sql, write

from headrace.compiler.compiling import compile_project
from headrace.model import CheckSpec, Contract, ContractColumn, Place, Severity
from headrace.model.nodes import ServiceLevel
from headrace.plan.contracts import (
    VersionLevel,
    contract_breaks,
    contract_changes,
    level_of,
    next_version,
    not_as_promised,
    types_match,
    version_level_moved,
)

PLACE = Place(file="c")
A = ContractColumn(name="a", type="INTEGER", required=True)
B = ContractColumn(name="b", type="VARCHAR")


def version(*columns: ContractColumn, number: str = "1.2.3", **more: Any) -> Contract:
    return Contract(name="c", version=number, status="active", columns=columns, place=PLACE, **more)


def with_(column: ContractColumn, **fields: Any) -> ContractColumn:
    return msgspec.structs.replace(column, **fields)


UNIQUE, KEY = with_(B, unique=True), with_(B, primary_key=True)
MAJOR, MINOR, PATCH = VersionLevel.MAJOR, VersionLevel.MINOR, VersionLevel.PATCH


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        ((A, B), (A, B), []),
        ((A, B), (B, A), []),
        ((A, B), (A,), [("dropped", "b", MAJOR)]),
        ((A,), (A, B), [("added", "b", MINOR)]),
        ((A,), (with_(A, type="BIGINT"),), [("type", "a", MINOR)]),
        ((A,), (with_(A, type="SMALLINT"),), [("type", "a", MAJOR)]),
        ((A,), (with_(A, type=None),), [("type", "a", MAJOR)]),
        ((with_(B, type=None),), (B,), []),
        ((A,), (with_(A, required=False),), [("nullability", "a", MAJOR)]),
        ((A,), (with_(A, required=False, primary_key=True),), [("stricter", "a", MINOR)]),
        ((KEY,), (with_(B, required=True),), [("keys", "b", MAJOR), ("stricter", "b", MINOR)]),
        ((KEY,), (with_(B, unique=True),), [("nullability", "b", MAJOR), ("keys", "b", MAJOR),
                                            ("stricter", "b", MINOR)]),
        ((UNIQUE,), (B,), [("keys", "b", MAJOR)]),
        ((B,), (UNIQUE,), [("stricter", "b", MINOR)]),
        ((B,), (KEY,), [("stricter", "b", MINOR)]),
        ((B,), (with_(B, required=True),), [("stricter", "b", MINOR)]),
        ((B,), (with_(B, names=({"name": "bee", "from": "2020"},)),), [("names", "b", PATCH)]),
        ((B,), (with_(B, conversions=({"expression": "upper(b)"},)),), [("names", "b", PATCH)]),
        ((B,), (with_(B, classification="personal"),), [("classification", "b", MINOR)]),
    ],
)  # fmt: skip
def test_a_column_that_promises_less_takes_a_major_version(
    was: tuple[ContractColumn, ...],
    now: tuple[ContractColumn, ...],
    expected: list[tuple[str, str, VersionLevel]],
) -> None:
    """Catches: a promise that is taken back as if nothing was; an addition that needs a new major version."""
    changes = contract_changes(version(*was), version(*now))
    assert [(item.kind, item.column, item.level) for item in changes] == expected
    assert level_of(changes) is max((level for _, _, level in expected), default=VersionLevel.NONE)


def _rule(name: str, **more: Any) -> CheckSpec:
    return CheckSpec(kind="not_null", name=name, place=PLACE, **more)


@pytest.mark.parametrize(
    ("was", "now", "level", "said"),
    [
        ({"checks": (_rule("n"),)}, {}, MAJOR, "the rule n is gone"),
        ({}, {"checks": (_rule("n"),)}, MINOR, "the rule n is new"),
        ({"checks": (_rule("n"),)}, {"checks": (_rule("n", arguments={"columns": ["a"]}),)}, MINOR,
         "the rule n changed"),
        ({"checks": (_rule("n"),)}, {"checks": (_rule("n", severity=Severity.WARNING),)}, MINOR,
         "the rule n changed"),
        ({"service": (ServiceLevel(property="latency", value="5", unit="h"),)}, {}, MAJOR,
         "latency is not promised, was 5 h"),
        ({}, {"service": (ServiceLevel(property="retention", value="3"),)}, MINOR,
         "retention is 3, was not promised"),
        ({"service": (ServiceLevel(property="latency", value="5", unit="h"),)},
         {"service": (ServiceLevel(property="latency", value="6", unit="h"),)}, MINOR,
         "latency is 6 h, was 5 h"),
    ],
)  # fmt: skip
def test_rules_and_service_levels_are_promises_too(
    was: dict[str, Any], now: dict[str, Any], level: VersionLevel, said: str
) -> None:
    """Catches a rule or a service level that disappears with a new patch version."""
    changes = contract_changes(version(A, **was), version(A, **now))
    assert [(item.column, item.level, item.said) for item in changes] == [("", level, said)]


@pytest.mark.parametrize(
    ("was", "now", "level"),
    [
        ("1.9.0", "1.10.0", MINOR),
        ("1.9.0", "1.9.1", PATCH),
        ("1.9.0", "1.8.7", VersionLevel.NONE),
        ("2.0.1", "1.9.9", VersionLevel.NONE),
        ("1.2.3", "1.2.3", VersionLevel.NONE),
        ("2", "10", MAJOR),
        ("v1", "1.0.0", VersionLevel.NONE),
        (" 1.2 ", "1.2.0-beta", VersionLevel.NONE),
        ("spring", "summer", MAJOR),
        ("spring", "spring", VersionLevel.NONE),
        ("spring", "1.0.0", MAJOR),
    ],
)
def test_which_part_of_a_version_moved(was: str, now: str, level: VersionLevel) -> None:
    """Catches: 1.10 that counts as less than 1.9; a version that goes back and counts as new."""
    assert version_level_moved(was, now) is level


@pytest.mark.parametrize(
    ("was", "level", "now"),
    [
        ("1.9.4", MINOR, "1.10.0"),
        ("1.9.4", MAJOR, "2.0.0"),
        ("1.9.4", PATCH, "1.9.5"),
        ("v3", PATCH, "3.0.1"),
        ("1.9.4", VersionLevel.NONE, "1.9.4"),
        ("spring", MAJOR, "spring"),
    ],
)
def test_the_next_version(was: str, level: VersionLevel, now: str) -> None:
    assert next_version(was, level) == now


@pytest.mark.parametrize(
    ("promised", "given", "matches"),
    [
        ("INTEGER", "bigint", True),
        ("UINTEGER", "TINYINT", True),
        ("DECIMAL(10, 2)", "DOUBLE", True),
        ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", True),
        ("VARCHAR", "UNKNOWN", True),
        ("VARCHAR", "NULL", True),
        ("VARCHAR", "varchar", True),
        ("INTEGER", "DOUBLE", False),
        ("DATE", "TIMESTAMP", False),
        ("VARCHAR", "INTEGER", False),
    ],
)
def test_types_of_one_family_match(promised: str, given: str, matches: bool) -> None:
    """Catches a contract that is called broken because DuckDB sums integers as HUGEINT, and a text
    that passes for a number."""
    assert types_match(promised, given) is matches


TOTALS = {
    "sources/s.yaml": source("s"),
    "contracts/s.odcs.yaml": contract("s", day="date|date", n="integer|integer"),
    "assets/totals.sql": sql("select day, sum(n) as total, 1 as part from s group by day", contract="t"),
    "assets/other.sql": sql("select day, total from totals"),
    "contracts/t.odcs.yaml": contract("t", day="date|date", total="integer|bigint", part="integer|integer"),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [totals], due: '07:00'}\n",
}  # fmt: skip


def test_an_asset_gives_what_its_contract_promises(tmp_path: Path) -> None:
    """Catches a promised column that the body lost, or gives with another type, found by the reader."""
    assert of(compile_project(write(tmp_path / "same", TOTALS)).problems, "contract_broken") == []
    fewer = TOTALS["assets/totals.sql"].replace("sum(n) as total, 1 as part", "'x' as TOTAL")
    result = compile_project(write(tmp_path / "less", {**TOTALS, "assets/totals.sql": fewer}))
    assert [item.message for item in of(result.problems, "contract_broken")] == [
        "the contract of `totals` promises `part`, which its code doesn't return",
        "the contract of `totals` promises `total` as BIGINT, its code returns VARCHAR",
    ]


def test_what_isnt_known_before_a_run_breaks_no_contract(tmp_path: Path) -> None:
    project = compiled(write(tmp_path, TOTALS)).project
    asset = project.assets["totals"]
    assert list(not_as_promised(asset, None, None, project)) == []
    assert list(not_as_promised(asset, None, ("day", "total", "part"), project)) == []
    assert list(not_as_promised(project.assets["other"], (), (), project)) == []


@dataclass
class Users:
    """Who uses columns, and what was asked."""

    consumers: list[str]
    asked: list[tuple[str, list[str]]]

    def __call__(self, node: str, columns: list[str]) -> tuple[list[str], list[str]]:
        self.asked.append((node, columns))
        return [], self.consumers


@pytest.mark.parametrize(
    ("number", "breaks", "consumers", "said", "hint"),
    [
        ("1.0.1", "", ["report"],
         "the contract of `totals` takes back what 1.0.0 promised (part is gone), and breaks report",
         "write version: 2.0.0, and customProperties: [{property: headrace.breaks, value: [report]}]"),
        ("1.1.0", "", [], "the contract of `totals` takes back what 1.0.0 promised (part is gone)",
         "write version: 2.0.0"),
        ("2.0.0", "", ["report"], "the contract of `totals` 2.0.0 breaks report without naming them (part is gone)",
         "customProperties: [{property: headrace.breaks, value: [report]}]"),
        ("2.0.0", "board", ["report", "board"],
         "the contract of `totals` 2.0.0 breaks report without naming them (part is gone)",
         "customProperties: [{property: headrace.breaks, value: [board, report]}]"),
        ("2.0.0", "", [], None, None),
        ("2.0.0", "report", ["report"], None, None),
    ],
)  # fmt: skip
def test_a_break_takes_a_major_version_that_names_its_consumers(
    tmp_path: Path,
    number: str,
    breaks: str,
    consumers: list[str],
    said: str | None,
    hint: str | None,
) -> None:
    """Catches a column that readers rely on and that goes with a patch version, and a new major
    version that breaks consumers nobody thought of."""
    old = compiled(write(tmp_path / "old", TOTALS)).project
    text = contract("t", day="date|date", total="integer|bigint").replace("1.0.0", number)
    if breaks:
        text += f"customProperties:\n  - property: headrace.breaks\n    value: [{breaks}]\n"
    new = compiled(write(tmp_path / "new", {**TOTALS, "contracts/t.odcs.yaml": text})).project
    users = Users(consumers, [])
    found = contract_breaks(old, new, users)
    expected = [] if said is None else [("totals", said, hint, "contracts/t.odcs.yaml")]
    assert [(item.asset, item.said, item.hint, item.file) for item in found] == expected
    assert users.asked == [("totals", ["part"])]


def test_a_contract_that_only_promises_more_breaks_nothing(tmp_path: Path) -> None:
    old = compiled(write(tmp_path / "old", TOTALS)).project
    more = TOTALS["contracts/t.odcs.yaml"] + "        required: true\n"
    new = compiled(write(tmp_path / "new", {**TOTALS, "contracts/t.odcs.yaml": more})).project
    users = Users(["report"], [])
    assert contract_breaks(old, new, users) == []
    assert contract_breaks(None, new, users) == []
    assert users.asked == []
