"""Which partitions of a reader change with partitions of its input, and whom a change reaches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from projects import compiled, contract, of, python, source, sql, write

from headrace.compiler.compiling import compile_project
from headrace.compiler.lineage import compile_lineage
from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place
from headrace.model.partitions import WHOLE
from headrace.plan import ChangeKind, changes
from headrace.plan.compiled import NodeChange
from headrace.plan.impact import impacts
from headrace.plan.partition_ranges import (
    NO_PARTITIONS,
    Extent,
    NodeInput,
    downstream_partitions,
    extent_of,
    extent_of_keys,
    key_of,
    ranges,
)
from headrace.scheduler import GraphNode

DAY, MONTH = {"grain": Grain.DAY}, {"grain": Grain.MONTH}
REGION: dict[str, Any] = {"key": "region"}
LISTED: dict[str, Any] = {"key": "other", "values": ("x", "y")}


def node(name: str, spec: dict[str, Any]) -> GraphNode:
    partition = PartitionSpec(**spec)
    return GraphNode(name=name, is_source=False, partition=partition, timezone="UTC", inputs=())


def keys(item: GraphNode, extent: Extent) -> set[str]:
    timed = {
        key_of(item, number) + (f"/{data}" if data else "")
        for data, edges in extent.runs.items()
        for first, last in ranges(edges)
        for number in range(first, last + 1)
    }
    return timed | set(extent.named)


@pytest.mark.parametrize(
    ("out", "into", "how", "chosen", "known", "expected"),
    [
        (DAY, DAY, {}, {"2024-02-10"}, set(), {"2024-02-10"}),
        (DAY, DAY, {"lookback": "2d"}, {"2024-02-10"}, set(),
         {"2024-02-10", "2024-02-11", "2024-02-12"}),
        (DAY, DAY, {"mode": InputMode.PREVIOUS}, {"2024-02-10"}, set(), {"2024-02-11"}),
        (MONTH, DAY, {}, {"2024-02-10", "2024-03-31"}, set(), {"2024-02", "2024-03"}),
        (DAY, MONTH, {}, {"2024-02"}, set(), {"2024-02-29", *(f"2024-03-{day:02}" for day in range(1, 31))}),
        ({}, DAY, {}, {"2024-02-10"}, set(), {WHOLE}),
        (DAY, DAY, {"mode": InputMode.ALL}, {"2024-02-10"}, {"2024-02-10"}, set()),
        (DAY, {}, {}, {WHOLE}, {"2024-02-10"}, set()),
        (REGION, REGION, {}, {"EMEA"}, {"EMEA", "NA"}, {"EMEA"}),
        (REGION, {**REGION, **DAY}, {}, {"2024-02-10/EMEA"}, {"EMEA", "NA"}, {"EMEA"}),
        (REGION, DAY, {}, {"2024-02-10"}, {"EMEA", "NA"}, {"EMEA", "NA"}),
        (LISTED, DAY, {}, {"2024-02-10"}, {"x"}, {"x", "y"}),
        ({**REGION, **DAY}, {**REGION, **DAY}, {}, {"2024-02-10/EMEA"}, {"2024-02-10/NA"},
         {"2024-02-10/EMEA"}),
        (DAY, {**REGION, **DAY}, {}, {"2024-02-10/EMEA"}, set(), {"2024-02-10"}),
        ({**REGION, **DAY}, DAY, {}, {"2024-02-10"}, {"2024-02-01/EMEA", "2024-02-01/NA"},
         {"2024-02-10/EMEA", "2024-02-10/NA"}),
        ({**LISTED, **DAY}, DAY, {}, {"2024-02-10"}, set(), {"2024-02-10/x", "2024-02-10/y"}),
        (DAY, DAY, {}, set(), {"2024-02-10"}, set()),
        (LISTED, {}, {}, {WHOLE}, set(), {"x", "y"}),
        (LISTED, {}, {"optional": True}, {WHOLE}, set(), set()),
        (LISTED, {}, {"mode": InputMode.ALL}, {WHOLE}, set(), set()),
        (REGION, {}, {}, {WHOLE}, {"EMEA"}, set()),
        ({**LISTED, **DAY}, {}, {}, {WHOLE}, set(), set()),
    ],
)  # fmt: skip
def test_partitions_that_read_a_changed_one(
    out: dict[str, Any],
    into: dict[str, Any],
    how: dict[str, Any],
    chosen: set[str],
    known: set[str],
    expected: set[str],
) -> None:
    """Catches a key whose neighbours are computed again, and one that keeps rows of a corrected day."""
    reader, read = node("out", out), node("in", into)
    spec = InputSpec(node="in", place=Place(file="a"), **how)
    chosen_extent, known_extent = extent_of_keys(read, chosen), extent_of_keys(reader, known)
    edge = NodeInput(output=reader, spec=spec, input=read)
    assert keys(reader, downstream_partitions(edge, chosen_extent, known_extent)) == expected


@pytest.mark.parametrize(("mode", "later"), [(InputMode.REQUIRED, 0), (InputMode.PREVIOUS, 1)])
def test_deliveries_are_followed_one_by_one(mode: InputMode, later: int) -> None:
    reader, read = node("out", {"by_delivery": True}), node("in", {"by_delivery": True})
    spec = InputSpec(node="in", place=Place(file="a"), mode=mode)
    edge = NodeInput(output=reader, spec=spec, input=read)
    result = downstream_partitions(edge, extent_of({"": (3, 5)}), NO_PARTITIONS)
    assert result.runs == {"": (3 + later, 5 + later)}


FILES = {
    "sources/s.yaml": source("s"),
    "contracts/s.odcs.yaml": contract("s", k="integer|integer", v="number|double"),
    "assets/a.sql": sql("select k, v from s", partition="day"),
    "assets/b.sql": sql("select k from a", partition="day"),
    "assets/p.py": python("p", "a"),
    "consumers.yaml": "- {consumer: one, owner: core, reads: [b], due: '05:00'}\n"
    "- {consumer: two, owner: core, reads: [p, a], due: '05:00'}\n",
}


def reached(
    root: Path, path: str, text: str
) -> dict[str, tuple[bool, tuple[str, ...], tuple[str, ...]]]:
    before = compiled(write(root / "before", FILES))
    after = compiled(write(root / "after", {**FILES, path: text}))
    results = impacts(before, after, changes(before, after), compile_lineage(after))
    return {
        f"{item.change.node} {item.change.change}": (item.breaking, item.assets, item.consumers)
        for item in results
    }


def test_checks_and_promises_concern_the_consumers(tmp_path: Path) -> None:
    """Catches a check that holds data which a consumer waits for, told as nobody's concern."""
    checked = sql("select k, v from s", partition="day", checks="[{not_null: [v]}]")
    assert reached(tmp_path / "1", "assets/a.sql", checked) == {
        "a checks": (False, (), ("one", "two"))
    }
    late = FILES["consumers.yaml"].replace("[b], due: '05:00'", "[b], due: '06:00'")
    assert reached(tmp_path / "2", "consumers.yaml", late) == {"one promise": (False, (), ("one",))}


def test_what_is_removed_breaks_its_readers_that_stay(tmp_path: Path) -> None:
    consumers = FILES["consumers.yaml"].replace("[p, a]", "[a]")
    files = {**FILES, "consumers.yaml": consumers}
    before = compiled(write(tmp_path / "before", FILES))
    after = compiled(
        write(tmp_path / "after", {k: v for k, v in files.items() if k != "assets/p.py"})
    )
    results = impacts(before, after, changes(before, after), compile_lineage(after))
    removed = next(item for item in results if item.change.change is ChangeKind.REMOVED)
    assert (removed.change.node, removed.breaking, removed.consumers) == ("p", True, ("two",))
    unknown = NodeChange(node="never", change=ChangeKind.REMOVED)
    (alone,) = impacts(before, after, [unknown], compile_lineage(after))
    assert (alone.breaking, alone.consumers) == (False, ())


def test_a_check_that_waits_for_its_own_node_is_refused(tmp_path: Path) -> None:
    """Catches an asset whose check reads what is computed from it: neither could ever begin."""
    check = "[{sql: {name: n, query: 'select * from $self where k not in (select k from b)'}}]"
    checked = sql("select k, v from s", partition="day", checks=check)
    result = compile_project(write(tmp_path, {**FILES, "assets/a.sql": checked}))
    (problem,) = of(result.problems, "cycle")
    assert problem.message == "a check of `a` reads `b`, which waits for `a`: a → b → a"
    assert problem.hint == "put the check on `b`, or let it read what `b` is computed from"


def test_a_conversion_that_isnt_an_expression_is_refused(tmp_path: Path) -> None:
    """Catches a contract whose conversion fails with the first delivery."""
    converts = (
        "        customProperties:\n          - property: headrace.convert\n"
        "            value: [{from: 2024-01-01, expression: EXPRESSION}]\n"
    )
    contracts = FILES["contracts/s.odcs.yaml"] + converts
    for expression, expected in (("v / 100", []), ("sum(v)", ["contract_invalid"])):
        files = {**FILES, "contracts/s.odcs.yaml": contracts.replace("EXPRESSION", expression)}
        problems = compile_project(write(tmp_path / expression[:1], files)).problems
        assert [problem.code for problem in problems] == expected
