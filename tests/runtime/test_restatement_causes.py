"""The causes of restatements in projects whose nodes can be reached on very many paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from runlab import DAYS, Lab

from headrace.compiler.compiling import compile_project
from headrace.model.partitions import required
from headrace.services import restatements
from headrace.services.restatements import RestatementCauses, RestatementReason
from headrace.store import Transaction
from headrace.store.queries.publications import Replaced

RUNGS = 40


def replaced(node: str, at: int) -> Replaced:
    """The first day of a node, published again at that time with another row."""
    return Replaced(node, DAYS[0], 1, 2, at, 1, 1, at, corrects=False)


def test_each_partition_is_looked_at_once_however_many_paths_lead_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a status that takes twice as long for each further pair of assets, since each
    path between them and the source is followed."""
    lab = Lab(tmp_path / "p")
    lab.write(
        "sources/orders.yaml",
        "source: orders\nowner: acme\npartition: day\nfiles: 'landing/orders_{date:%Y-%m-%d}.csv'\n",
    )
    for rung in range(RUNGS):
        above = [f"a{rung - 1}", f"b{rung - 1}"] if rung else ["orders", "orders"]
        for side in "ab":
            lab.sql(
                f"{side}{rung}",
                f"select l.day from {above[0]} l join {above[1]} r using (day)",
            )
    compiled = compile_project(lab.root).compiled
    assert compiled is not None
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        assert len(calls) < 10 * RUNGS
        return required(*arguments)

    monkeypatch.setattr(restatements, "required", counted)
    rows = {name: [replaced(name, at)] for at, name in enumerate(compiled.order)}
    # no transaction: the rows tell the cause without a query
    causes = RestatementCauses(cast("Transaction", None), compiled, rows)
    group, _ = causes.groups(compiled.order[-1])[0]
    assert group == RestatementReason("restatement", ("orders",))
