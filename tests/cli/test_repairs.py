"""Every failure, hold and rejection names the commands that repair it, wherever it is told of; and
they do.
"""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
from clilab import NOW, Project

from headrace.model.nodes import Project as Declared
from headrace.project.session import ProjectSession
from headrace.repairs.repairs import BrokenPartition, repairs
from headrace.responses import ErrorRow


def of(result: list[dict[str, Any]], node: str) -> dict[str, Any]:
    (row,) = [row for row in result if row["node"] == node]
    return row


def test_each_page_names_the_repair(shop: Project) -> None:
    """Would catch: a page that tells of a failure and leaves its repair to be guessed."""
    failed = [row["repair"] for row in shop.json("runs", "1", "--failed") if row["node"] == "fails"]
    assert {row["commands"][1] for row in failed} == {
        "headrace backfill fails --from 2025-03-01 --to 2025-03-03 --reason 'repair of run 1'"
    }
    assert failed[0]["first"].startswith("correct assets/fails.py:6")
    rejected = of(shop.json("status")["repairs"], "orders_clean")
    assert rejected["partitions"] == ["2025-03-04"]
    assert of(shop.json("status")["repairs"], "orders")["commands"] == [
        "headrace contract accept orders@2025-03-05",
        "headrace tick",
    ]
    (waiting,) = shop.json("quarantine", "orders_clean@2025-03-04")
    assert waiting["repair"]["commands"][1].startswith(
        "headrace backfill orders_clean --from 2025-03-04 --to 2025-03-04"
    )
    why = [
        row["repair"]
        for row in shop.json("why", "fails@2025-03-01")["waiting_for"]
        if row["repair"]
    ]
    assert why[0]["commands"][0] == "headrace apply"
    assert {row["node"]: row["incident"] for row in shop.json("status")["repairs"]} == {
        row["cause"]["node"]: row["id"] for row in shop.json("incidents")
    }
    for page in (["runs", "1"], ["quarantine", "orders_clean@2025-03-04"]):
        assert "\n    headrace backfill " in shop.text(*page)
    told = shop.text("why", "fails@2025-03-01")
    assert "headrace backfill" not in told and "headrace incident INC-" in told, (
        "one cause, one command"
    )
    text = shop.text("status")
    assert "headrace backfill" not in text, "one cause, one command"
    assert "3 open: headrace incidents" in text


def test_what_was_repaired_names_no_repair(shop: Project) -> None:
    """Would catch: a repair that is offered again and again; and commands that don't repair."""
    text = (shop.root / "assets/fails.py").read_text()
    (shop.root / "assets/fails.py").write_text(
        text.replace(
            "    raise ValueError('no such thing as ' + ctx.partition)\n", "    return revenue\n"
        )
    )
    before = shop.json("runs", "1", "--failed")[0]["repair"]
    for command in before["commands"]:
        words = shlex.split(command)[1:]
        code, _, err = shop.call(shop.root, *words, "--yes", "--json", "--now", NOW)
        assert code == 0, err
    assert [row["repair"] for row in shop.json("runs", "1", "--failed")] == [None] * 3
    assert all(row["node"] != "fails" for row in shop.json("status")["repairs"])


def test_an_apply_says_that_the_next_pass_computes_what_failed(shop: Project) -> None:
    """Would catch: "to recompute what the change made stale" of days that nobody has ever read, and
    that the next pass computes without being asked."""
    path = shop.root / "assets/fails.py"
    path.write_text(
        path.read_text().replace(
            "    raise ValueError('no such thing as ' + ctx.partition)\n", "    return revenue\n"
        )
    )
    text = shop.text("apply", "--yes", "--now", NOW)
    assert (
        "  the next pass computes what failed under the code as it was; to compute it at once:\n   "
        " headrace backfill fails" in text
    )
    assert "made stale" not in text
    made = shop.json("tick", "--now", NOW)["published"]
    assert [item["partition"] for item in made if item["asset"] == "fails"] == [
        "2025-03-01",
        "2025-03-02",
        "2025-03-03",
    ]


def test_what_a_check_stopped_is_tried_again_with_other_checks(shop: Project) -> None:
    """Would catch: a rejected partition that stays so once the check that failed is corrected, with
    nothing due and no incident; "readers will never see it", of one that the next pass publishes."""
    path = shop.root / "assets/orders_clean.sql"
    before = path.read_text()
    path.write_text(before.replace("unique: [id]", "unique: [id, amount, customer]"))
    (step,) = [item for item in shop.json("plan")["steps"] if item["kind"] == "remap"]
    assert (step["node"], step["from"]) == ("orders_clean", "2025-03-04")
    assert "what was held, rejected or failed is tried again" in shop.text("plan")
    shop.text("apply", "--yes", "--now", NOW)
    assert "orders_clean" in {row["cause"]["node"] for row in shop.json("incidents")}
    (rejected,) = shop.json("tick", "--now", NOW)["rejected"]
    assert (rejected["asset"], rejected["partition"]) == ("orders_clean", "2025-03-04")
    path.write_text(before.replace("checks:\n  - unique: [id]\n", ""))
    shop.text("apply", "--yes", "--now", NOW)
    drop = ("quarantine", "drop", "orders_clean@2025-03-04", "--reason", "no")
    assert "is tried again by the next pass" in shop.refused(*drop, code=3)
    made = shop.json("tick", "--now", NOW)["published"]
    assert ("orders_clean", "2025-03-04") in {(row["asset"], row["partition"]) for row in made}


def test_what_a_check_stopped_is_tried_again_with_another_macro(shop: Project) -> None:
    """Catches: a macro that only a check calls, and a repair of it that changes nothing."""
    path, macros = shop.root / "assets/orders_clean.sql", shop.root / "macros/twice.sql"
    check = """  - sql: {name: few, query: "select * from $self where is_twice(id)"}"""
    macros.parent.mkdir()
    macros.write_text("create macro is_twice(x) as x is not null;\n")
    path.write_text(path.read_text().replace("  - unique: [id]", check))
    shop.text("apply", "--yes", "--now", NOW)
    (rejected,) = shop.json("tick", "--now", NOW)["rejected"]
    assert rejected["asset"] == "orders_clean"
    macros.write_text("create macro is_twice(x) as x is null;\n")
    (step,) = [item for item in shop.json("plan")["steps"] if item["kind"] == "remap"]
    assert step["node"] == "orders_clean"
    shop.text("apply", "--yes", "--now", NOW)
    made = shop.json("tick", "--now", NOW)["published"]
    assert ("orders_clean", "2025-03-04") in {(row["asset"], row["partition"]) for row in made}


def test_keys_are_data(shop: Project) -> None:
    """Would catch: a key that becomes a command of its own when the line is pasted."""
    project = ProjectSession.open(shop.root, "prod", None, "tester").project()
    asset = msgspec.structs.replace(
        project.assets["revenue"],
        partition=msgspec.structs.replace(
            project.assets["revenue"].partition, grain=None, key="region"
        ),
    )
    declared: Declared = msgspec.structs.replace(
        project, assets={**project.assets, "revenue": asset}
    )
    (row,) = repairs(declared, [BrokenPartition("revenue", "x'; rm -rf ~ #", "rejected")], "it's")
    assert shlex.split(row.commands[1]) == [
        "headrace",
        "run",
        "revenue",
        "--partition",
        "x'; rm -rf ~ #",
    ]
    (row,) = repairs(declared, [BrokenPartition("revenue", "a,b", "rejected")], "because")
    assert row.commands[1] == "headrace run revenue --partition a,b"


def test_what_may_pass_by_itself_is_only_tried_again(shop: Project) -> None:
    """Would catch: a person sent to correct code because a connection broke."""
    project = ProjectSession.open(shop.root, "prod", None, "tester").project()
    (row,) = repairs(
        project,
        [
            BrokenPartition(
                "revenue", "2025-03-01", "failed", ErrorRow(kind="transient", message="gone")
            )
        ],
        "because",
    )
    assert (row.first, row.commands) == (None, ["headrace retry revenue@2025-03-01"])
    (row,) = repairs(
        project,
        [
            BrokenPartition("orders", "2025-03-01", "failed"),
            BrokenPartition("orders", "2025-03-02", "failed"),
        ],
        "because",
    )
    assert row.commands == ["headrace retry orders"]


def test_a_redelivery_says_what_it_repaired_and_for_whom(shop: Project) -> None:
    """Would catch: a repair that says how many partitions were published, and not what is right
    again and for whom."""
    good = shop.root / "again.csv"
    good.write_text("id,customer,amount,day\n1,Ada,19.90,2025-03-05\n")
    response = shop.json(
        "receive",
        "orders",
        str(good),
        "--for",
        "2025-03-05",
        "--reason",
        "the vendor sent it again",
        "--now",
        NOW,
    )
    repaired = of(response["repaired"], "orders")
    assert repaired["partitions"] == ["2025-03-05"]
    assert repaired["consumers"] == ["dashboard", "morning-report"]
    assert "orders_clean" in repaired["assets"]
    assert [row["node"] for row in response["repaired"]] == ["orders"]
    corrected = shop.root / "landing/orders_2025-03-04.csv"
    corrected.write_text(
        "id,customer,amount,day\n1,Ada,19.90,2025-03-04\n2,Grace,1.00,2025-03-04\n"
    )
    text = shop.text("tick", "--now", "2025-03-06T09:00+01:00")
    assert "repaired orders_clean 2025-03-04; fails, page, revenue" in text
