"""The causes of restatements where several paths lead from a node to its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from runlab import DAYS, Lab

from headrace.compiler.compiling import compile_project
from headrace.model.partitions import required
from headrace.plan import Compiled
from headrace.standing import restatements
from headrace.standing.restatements import RestatementCauses, RestatementReason
from headrace.store import Transaction
from headrace.store.queries.publications import Replaced

RUNGS = 40
BEFORE, DAY = DAYS[:2]
SOURCE = (
    "source: orders\nowner: acme\npartition: day\nfiles: 'landing/orders_{date:%Y-%m-%d}.csv'\n"
)
FRONT = "partition: {by: day, column: day}"
NO_QUERY = cast("Transaction", None)  # the rows tell the cause


def replaced(node: str, at: int, day: str = DAY, **facts: bool) -> Replaced:
    """A day of a node, published again at that time with another row."""
    return Replaced(node, day, 1, 2, at, 1, 1, at, **{"corrects": False, **facts})


def compiled(lab: Lab) -> Compiled:
    result = compile_project(lab.root).compiled
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("inputs", "cause"),
    [(("two_days", "one_day"), "correction"), (("one_day", "two_days"), "again")],
)
def test_of_several_deliveries_of_one_source_that_of_the_last_input_counts(
    tmp_path: Path, inputs: tuple[str, str], cause: str
) -> None:
    """Would catch: a correction told of as a restatement because inputs are visited in another
    order."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE)
    lab.sql("one_day", "select day from orders")
    lab.sql("two_days", "select day from orders", f"{FRONT}\ninputs: {{orders: {{lookback: 1d}}}}")
    lab.sql("top", f"select l.day from {inputs[0]} l join {inputs[1]} r using (day)")
    rows = {
        "orders": [
            replaced("orders", 1, BEFORE, reread=True),
            replaced("orders", 2, corrects=True),
        ],
        **{name: [replaced(name, 3)] for name in ("one_day", "two_days")},
        "top": [replaced("top", 4)],
    }
    [(reason, _)] = RestatementCauses(NO_QUERY, compiled(lab), rows).groups("top")
    assert reason == RestatementReason(cause, ("orders",))


def test_each_partition_is_looked_at_once_however_many_paths_lead_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a status that takes twice as long for each further pair of assets, since each
    path between them and the source is followed."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE)
    for rung in range(RUNGS):
        left, right = (f"a{rung - 1}", f"b{rung - 1}") if rung else ("orders", "orders")
        for side in "ab":
            lab.sql(f"{side}{rung}", f"select l.day from {left} l join {right} r using (day)")
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        assert len(calls) < 10 * RUNGS
        return required(*arguments)

    monkeypatch.setattr(restatements, "required", counted)
    project = compiled(lab)
    rows = {name: [replaced(name, at)] for at, name in enumerate(project.order)}
    [(reason, _)] = RestatementCauses(NO_QUERY, project, rows).groups(project.order[-1])
    assert reason == RestatementReason("restatement", ("orders",))


@pytest.mark.parametrize(
    ("delivered", "began"), [(2, 1), (4, 3), (2, 3)], ids=["during", "unread", "before"]
)
def test_a_delivery_that_changed_nothing_here_is_no_cause(
    tmp_path: Path, delivered: int, began: int
) -> None:
    """Would catch: "because orders delivered a correction", of days whose own code changed, since
    another day of the source was corrected, or this one before the replaced rows were computed."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/orders.yaml", SOURCE)
    lab.sql("clean", "select day from orders")
    lab.sql("top", "select day from clean")
    rows = {
        "orders": [replaced("orders", delivered, BEFORE if began != 3 else DAY, corrects=True)],
        "top": [msgspec.structs.replace(replaced("top", 5), at_before=began, version=2)],
    }
    causes = RestatementCauses(NO_QUERY, compiled(lab), rows)
    causes._fingerprints = {(1, "top"): "as it was", (2, "top"): "edited"}
    [(reason, _)] = causes.groups("top")
    assert reason == RestatementReason("code")
