"""A plan's id stands for what is decided: the same decisions have the same id, and any other one
has another.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from projects import compiled, source, sql, write

from headrace.model import ProjectError
from headrace.plan import Compiled, changes
from headrace.plan.project_plan import (
    Plan,
    PlanFacts,
    decisions,
    plan_id_of,
    plan_project,
    planned_changes,
    planned_steps,
    recorded,
)
from headrace.plan.steps import PartitionRangeSummary, Promote, kind_of

FILES = {
    "sources/s.yaml": source("s"),
    "assets/a.sql": sql("select k, v, day from s", partition="{by: day, column: day}"),
    "assets/b.sql": sql("select k, sum(v) as v from a group by k"),
    "consumers.yaml": "- {consumer: report, owner: core, reads: [b], due: '05:00'}\n",
}
PUBLISHED = {
    name: PartitionRangeSummary(first="2025-01-01", last="2025-01-03", partitions=3)
    for name in ("s", "a", "report")
}

PROMOTED = Promote(
    node="b", environment="dev", range=PartitionRangeSummary(first="*", last="*", partitions=1)
)


def project(root: Path, files: dict[str, str | None] | None = None) -> Compiled:
    """The project with these files instead; None is a file that isn't there."""
    every = {**FILES, **(files or {})}
    return compiled(write(root, {path: text for path, text in every.items() if text is not None}))


def plan(
    before: Compiled | None, after: Compiled, facts: PlanFacts | None = None, **how: Any
) -> Plan:
    manifests = how.get("manifests", ({}, {}))
    given = facts or PlanFacts(published=PUBLISHED)
    return plan_project(
        how.get("environment", "prod"),
        how.get("base", 1),
        manifests,
        (before, after),
        planned_changes(before, after, changes(before, after)),
        given,
    )


@pytest.fixture
def before(tmp_path: Path) -> Compiled:
    return project(tmp_path / "before")


def kinds(result: Plan) -> list[tuple[str, str]]:
    return [(kind_of(step).value, step.node) for step in result.steps]


def test_every_step_that_apply_takes_is_in_the_plan_in_order(
    before: Compiled, tmp_path: Path
) -> None:
    after = project(
        tmp_path / "after",
        {
            "assets/a.sql": None,
            "assets/a2.sql": sql(
                "select k, v + 1 as v, day from s",
                partition="{by: day, column: day}",
                renamed_from="a",
            ),
            "assets/b.sql": sql(
                "select k, day, sum(v) as v from a2 group by k, day",
                partition="{by: day, column: day}",
            ),
            "consumers.yaml": "- {consumer: other, owner: core, reads: [b], due: '05:00'}\n",
        },
    )
    promoted = Promote(
        node="b",
        environment="dev",
        range=PartitionRangeSummary(first="2025-01-01", last="2025-01-02", partitions=2),
    )
    result = plan(
        before,
        after,
        PlanFacts(
            published=PUBLISHED,
            renamed_deliveries={"s": ("2025-01-02", "2025-01-03")},
            promoted=(promoted,),
        ),
    )
    assert kinds(result) == [
        ("declare", "a2"),
        ("declare", "b"),
        ("declare", "other"),
        ("weaken", "report"),
        ("rename", "a2"),
        ("repartition", "b"),
        ("remap", "s"),
        ("invalidate", "a2"),
        ("invalidate", "b"),
        ("retire", "report"),
        ("promote", "b"),
    ]
    by_kind = {
        row.kind: row
        for row in planned_steps(result)
        if row.node != "b" or row.kind != "invalidate"
    }
    assert (
        by_kind["invalidate"].first,
        by_kind["invalidate"].last,
        by_kind["invalidate"].partitions,
    ) == ("2025-01-01", "2025-01-03", 3)
    assert by_kind["rename"].detail == "was a" and by_kind["repartition"].detail.startswith(
        "unpartitioned → day"
    )
    assert [row.n for row in planned_steps(result)] == list(range(1, 12))
    assert recorded(result)["plan_id"] == result.plan_id and recorded(result)["steps_total"] == 11


def test_the_id_is_a_hash_of_canonical_json(before: Compiled) -> None:
    result = plan(
        None, before, PlanFacts(), base=None, manifests=({}, {"é.sql": "00", "a.sql": "11"})
    )
    text = json.dumps(decisions(result), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert result.plan_id == f"p-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    assert sorted(decisions(result)) == ["base_version", "environment", "files", "steps"]


def test_names_are_ordered_as_rfc_8785_says_and_text_is_kept_whole() -> None:
    """By UTF-16: U+FB33 comes after a character beyond the basic plane. Long and odd text is
    neither cut nor cleaned."""
    text = '{"\U0001f600":2,"\ufb33":1}'
    assert (
        plan_id_of({"\ufb33": 1, "\U0001f600": 2})
        == f"p-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    )
    assert plan_id_of({"x": "a" * 5000 + "b"}) != plan_id_of({"x": "a" * 5000 + "c"})
    assert plan_id_of({"files": {"e\u0301.py": "1", "\u00e9.py": "2"}}) != plan_id_of(
        {"files": {"e\u0301.py": "2", "\u00e9.py": "1"}}
    )
    assert plan_id_of({"x": "\udcff"}) != plan_id_of({"x": "\udcfe"})


def changed(tmp_path: Path) -> Compiled:
    return project(
        tmp_path / "after",
        {
            "assets/a.sql": sql(
                "select k, v * 2 as v, day from s", partition="{by: day, column: day}"
            )
        },
    )


def test_what_grows_by_itself_is_no_decision(before: Compiled, tmp_path: Path) -> None:
    after = changed(tmp_path)
    grown = PlanFacts(
        published={
            **PUBLISHED,
            "a": PartitionRangeSummary(first="2025-01-01", last="2025-01-09", partitions=9),
        }
    )
    assert plan(before, after).plan_id == plan(before, after, grown).plan_id
    assert planned_steps(plan(before, after)) != planned_steps(plan(before, after, grown))


@pytest.mark.parametrize(
    "other",
    [
        {"environment": "dev"},
        {"base": 2},
        {"manifests": ({}, {"assets/a.sql": "2"})},
        {
            "facts": PlanFacts(
                published={
                    "a": PartitionRangeSummary(
                        first="2024-01-01", last="2025-01-03", partitions=369
                    )
                }
            )
        },
        {"facts": PlanFacts(published=PUBLISHED, renamed_deliveries={"s": ("2025-01-02",)})},
        {"facts": PlanFacts(published=PUBLISHED, promoted=(PROMOTED,))},
    ],
)
def test_another_decision_is_another_plan(
    before: Compiled, tmp_path: Path, other: dict[str, Any]
) -> None:
    after = changed(tmp_path)
    wanted = {"manifests": ({}, {"assets/a.sql": "1"})}
    assert (
        plan(before, after, **wanted).plan_id != plan(before, after, **{**wanted, **other}).plan_id
    )


def test_another_consumer_or_node_is_another_plan(before: Compiled, tmp_path: Path) -> None:
    after = changed(tmp_path)
    more = msgspec.structs.replace(
        after,
        project=msgspec.structs.replace(
            after.project,
            consumers={
                **after.project.consumers,
                "second": msgspec.structs.replace(after.project.consumers["report"], name="second"),
            },
        ),
    )
    assert plan(before, after).plan_id != plan(before, more).plan_id
    invalidated = next(step for step in plan(before, more).steps if kind_of(step) == "invalidate")
    assert decisions(plan(before, more))["steps"][-1]["consumers"] == ["report", "second"]
    assert invalidated.node == "a"


def test_a_module_of_which_no_node_says_anything_is_a_step(before: Compiled) -> None:
    result = plan(
        before,
        before,
        manifests=({"helpers.py": "1", "gone.py": "1"}, {"helpers.py": "2", "new.sh": "3"}),
    )
    assert [(step.node, step.detail) for step in result.steps] == [
        ("gone.py", "code removed"),
        ("helpers.py", "code changed"),
        ("new.sh", "code added"),
    ]
    assert (
        plan(before, before, manifests=({"assets/a.sql": "1"}, {"assets/a.sql": "2"})).steps == ()
    )


def test_a_name_that_nothing_had_is_refused_before_anybody_agrees(
    before: Compiled, tmp_path: Path
) -> None:
    after = project(
        tmp_path / "after", {"assets/new.sql": sql("select * from b", renamed_from="nobody")}
    )
    with pytest.raises(ProjectError, match="no asset is called so"):
        plan(before, after)
