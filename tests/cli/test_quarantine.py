"""`headrace quarantine`."""

from __future__ import annotations

import gzip
import os
import shlex
import time
from pathlib import Path

import pytest
from clilab import GOOD, Project

from headrace.project.session import ProjectSession
from headrace.services.quarantine import CHARACTERS_MAX, ROWS_MAX, first_rows

pytest.importorskip("headrace_ui")
from headrace_ui.services.nodes import PartitionListQuery, list_partitions


def test_what_waits_and_why(shop: Project) -> None:
    held, rejected = shop.json("quarantine")
    assert set(held) >= {"node", "partition", "state", "verdict", "at", "reason", "path", "sample"}
    assert (held["node"], held["partition"], held["state"]) == ("orders", "2025-03-05", "held")
    assert "total" in held["reason"]
    assert held["delivery"] == "landing/orders_2025-03-05.csv"
    assert held["sample"][0] == {
        "id": "1",
        "customer": "Ada",
        "total": "19.90",
        "day": "2025-03-05",
    }
    assert (rejected["state"], rejected["rows"]) == ("rejected", 4)
    assert rejected["checks"][0]["kind"] == "unique"
    for row in (held, rejected):
        assert (shop.root / row["path"]).is_file()
        assert row["todo"]


def test_one_asset_or_partition(shop: Project) -> None:
    assert len(shop.json("quarantine", "orders")) == 1
    assert len(shop.json("quarantine", "orders_clean@2025-03-04")) == 1
    assert shop.json("quarantine", "orders_clean@2025-03-01") == []
    assert "did you mean `orders`" in shop.refused("quarantine", "ordrs")
    assert "2013-02-11" in shop.refused("quarantine", "orders@yesterday")


def test_a_person_sees_rows_path_and_what_to_do(shop: Project) -> None:
    text = shop.text("quarantine", "orders@2025-03-05")
    for said in ("landing/orders_2025-03-05.csv", "ask acme", "Grace", "total", ".headrace/raw/"):
        assert said in text


def test_what_a_check_rejected_is_published_as_it_lies_there(shop: Project) -> None:
    """Would catch: an exception that computes anew, that says `passed`, or that nobody
    is told of.
    """
    at = "orders_clean@2025-03-04"
    assert "needs --reason" in shop.refused("quarantine", "accept", at, code=3)
    made = shop.json(
        "quarantine", "accept", at, "--reason", "Linus did order twice", "--until", "7d"
    )
    assert (made["state"], made["partitions"], made["rows"]) == ("published", ["2025-03-04"], 4)
    assert made["why"].startswith("id")
    assert {(row["asset"], row["partition"]) for row in made["published"]} >= {
        ("revenue", "2025-03-04")
    }, made
    assert len(shop.json("read", at)["rows"]) == 4
    (shown,) = shop.json("quarantine", at)
    assert (shown["state"], shown["checks"][0]["kind"]) == ("accepted", "unique")
    assert [row["node"] for row in shop.json("quarantine")] == ["orders"], "it doesn't wait"
    (entry,) = [
        item for item in shop.json("audit", "show") if item["action"] == "quarantine.accepted"
    ]
    assert entry["reason"] == "Linus did order twice"
    shop.call(shop.root, "tick", "--now", "2025-03-14T06:00+01:00")
    assert _states(shop)["dashboard"] == "wrong"
    assert [(row["node"], row["state"]) for row in shop.json("quarantine", "orders_clean")] == [
        ("orders_clean", "held")
    ]
    assert (
        shop.json("quarantine", "accept", at, "--reason", "still right", "--until", "30d")["state"]
        == "published"
    )
    assert _states(shop)["dashboard"] == "late"
    assert shop.json("quarantine", "orders_clean") == []


def _states(shop: Project) -> dict[str, str]:
    return {item["name"]: item["state"] for item in shop.json("status")["consumers"]}


def test_a_delivery_with_another_header_is_accepted_by_looser_rules(shop: Project) -> None:
    """Would catch: an accepted delivery that is held again, and looser rules that stay for the next
    delivery.
    """
    at = "orders@2025-03-05"
    made = shop.json("quarantine", "accept", at, "--reason", "we know, amounts come tomorrow")
    assert made["state"] == "published", made
    assert [row["amount"] for row in shop.json("read", at)["rows"]] == [None] * 3
    (shop.root / "landing/orders_2025-03-06.csv").write_text("id,customer,day\n1,Ada,2025-03-06\n")
    shop.call(shop.root, "tick", "--now", "2025-03-07T06:00+01:00")
    assert [row["partition"] for row in shop.json("quarantine", "orders")] == ["2025-03-06"]


def test_what_is_dropped_is_not_called_held(shop: Project) -> None:
    """Would catch: `why` and `status` that say "held since" the time before it was dropped, as if
    somebody had to decide still.
    """
    at = "orders@2025-03-05"
    now = "2025-03-06T09:30+01:00"
    shop.json("quarantine", "drop", at, "--reason", "a test file", "--now", now)
    told = shop.json("why", at)
    assert told["state"] == "dropped"
    assert told["verdict"].startswith(f"{at} has nothing since 09:30: dropped by ")
    (row,) = shop.json("quarantine", at)
    assert row["at"] == told["waiting_for"][0]["since"]
    (report,) = [
        item for item in shop.json("status")["consumers"] if item["name"] == "morning-report"
    ]
    assert "held since" not in report["reason"]
    below = shop.json("why", "orders_clean@2025-03-05")
    assert "which has nothing since 09:30: dropped by" in below["verdict"]
    assert below["state"] == "missing", "nothing of it was dropped"
    session = ProjectSession.open(shop.root, "prod", now, "tester")
    page = list_partitions(
        session, "orders", PartitionListQuery(first="2025-03-05", last="2025-03-05")
    )
    session.close()
    assert [partition.state for partition in page.partitions] == ["dropped"]
    assert [(item.value, item.count) for item in page.counted] == [("dropped", 1)]


def test_what_is_dropped_stays_dropped_until_something_else_comes(shop: Project) -> None:
    """Would catch: dropped data that waits on, or comes back with the next pass; and a drop after
    which a correction is not ingested."""
    at = "orders@2025-03-05"
    assert (
        shop.json("quarantine", "drop", at, "--reason", "a test file of theirs")["state"]
        == "dropped"
    )
    shop.call(shop.root, "tick", "--now", "2025-03-06T09:00+01:00")
    assert shop.json("quarantine", "orders") == []
    (row,) = [
        item for item in shop.json("deliveries", "orders") if item["partition"] == "2025-03-05"
    ]
    assert "dropped by" in row["reason"]
    assert "a test file of theirs" in row["reason"]
    assert row["state"] == "dropped"
    (shown,) = shop.json("quarantine", at)
    assert (shown["state"], shown["decide"], shown["repair"]["commands"]) == (
        "dropped",
        [],
        ["headrace tick"],
    )
    assert "nothing of" in shop.refused("quarantine", "accept", at, "--reason", "after all")
    (shop.root / "landing/orders_2025-03-05.csv").write_text(
        "id,customer,amount,day\n" + GOOD.format("2025-03-05")
    )
    shop.call(shop.root, "tick", "--now", "2025-03-06T10:00+01:00")
    assert len(shop.json("read", at)["rows"]) == 3


def test_what_an_asset_dropped_stays_dropped(shop: Project) -> None:
    """Catches: a retry and a changed check that publish what somebody has dropped, because it is an
    asset's and not a delivery."""
    at = "orders_clean@2025-03-04"
    assert shop.json("quarantine", "drop", at, "--reason", "twice the same")["state"] == "dropped"
    shop.call(shop.root, "retry", "orders_clean", "--reason", "again")
    assert shop.json("why", at)["state"] == "dropped"
    path = shop.root / "assets/orders_clean.sql"
    path.write_text(path.read_text().replace("unique: [id]", "row_count: {min: 1}"))
    shop.text("apply", "--yes")
    shop.call(shop.root, "tick", "--now", "2025-03-06T09:00+01:00")
    days = ("--from", "2025-03-01", "--to", "2025-03-06")
    (passed,) = [
        item
        for item in shop.json("backfill", "orders_clean", *days, "--dry-run")["skipped"]
        if item["why"].startswith("dropped")
    ]
    assert (passed["asset"], passed["partitions"]) == ("orders_clean", 1)
    told = shop.json("why", at)
    assert told["state"] == "dropped"
    (again,) = shop.json("quarantine", at)[0]["repair"]["commands"][1:]
    assert (
        again
        == f"headrace run {at.replace('@', ' --partition ')} --again --reason 'repair of {at}'"
    )
    shop.call(shop.root, *shlex.split(again)[1:])
    assert shop.json("why", at)["state"] == "published"


def test_what_a_changed_check_tries_again_isnt_to_be_corrected(shop: Project) -> None:
    """Would catch: between `apply` and the next pass, a check to be corrected that is corrected
    already, decisions about what is tried again, a repair of what somebody has dropped, and a drop
    that is counted as wrong after the repair of the others."""
    first, second = "orders_clean@2025-03-04", "orders_clean@2025-03-06"
    path = shop.root / "landing/orders_2025-03-06.csv"
    path.write_text((shop.root / "landing/orders_2025-03-04.csv").read_text().replace("-04", "-06"))
    os.utime(path, (time.time() - 3600,) * 2)
    shop.call(shop.root, "tick", "--now", "2025-03-07T08:00+01:00")
    assert [row["partition"] for row in shop.json("quarantine", "orders_clean")] == [
        "2025-03-04",
        "2025-03-06",
    ]
    shop.json("quarantine", "drop", first, "--reason", "twice the same")
    asset = shop.root / "assets/orders_clean.sql"
    asset.write_text(asset.read_text().replace("unique: [id]", "row_count: {min: 1}"))
    shop.text("apply", "--yes")
    (row,) = shop.json("quarantine", second)
    assert (row["decide"], row["repair"]) == ([], None)
    assert row["todo"] == "nothing: it is tried again as soon as it can be"
    (incident,) = [item for item in shop.json("incidents") if item["cause"]["node"] == row["node"]]
    assert "correct" not in (incident["repair"]["text"] or ""), incident["repair"]
    done = shop.json("tick", "--now", "2025-03-07T09:00+01:00")
    assert [item["still_wrong"] for item in done["repaired"]] == [0]
    (incident,) = [item for item in shop.json("incidents") if item["cause"]["node"] == row["node"]]
    first = "correct assets/orders_clean.sql or its input, if what was dropped is to be computed"
    assert incident["repair"]["text"] == first


def test_decisions_that_make_no_sense_are_refused(shop: Project) -> None:
    """Would catch: a typo that decides about something else."""
    assert "did you mean" in shop.refused("quarantine", "accept", "ordrs", "--reason", "x")
    assert "isn't known" in shop.refused("quarantine", "orders", "orders")
    assert "--until" in shop.refused(
        "quarantine", "drop", "orders@2025-03-05", "--reason", "x", "--until", "2d"
    )
    assert "over already" in shop.refused(
        "quarantine", "accept", "orders@2025-03-05", "--reason", "x", "--until", "2025-03-01"
    )
    assert [row["node"] for row in shop.json("quarantine")] == ["orders", "orders_clean"]


def test_exit_code(shop: Project, new: Project) -> None:
    assert shop.call(shop.root, "quarantine", "--exit-code")[0] == 1
    assert new.call(new.root, "quarantine", "--exit-code")[0] == 0


def test_a_glimpse_never_raises(tmp_path: Path) -> None:
    """Raw bytes are whatever a vendor sent."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for data in (
        b"",
        b"\0\0\0",
        b"a,b\n1",
        b'"' * 70_000,
        b"\xff\xfea\0,\0b\0",
        b"a;b\n1;2\n" * 50,
        gzip.compress(b"a,b\n1,2\n")[:12],
        b"x" * 500_000,
    ):
        (raw / "x").write_bytes(data)
        for name in ("x.csv", "x.jsonl", "x.csv.gz", "x.parquet", "x"):
            for row in first_rows(tmp_path, "raw/x", name, {}):
                assert all(len(value) <= CHARACTERS_MAX for value in row.values())
    (raw / "x").write_bytes(b"a|b\n" + b"1|2\n" * 50)
    assert first_rows(tmp_path, "raw/x", "x.csv", {}) == [{"a": "1", "b": "2"}] * ROWS_MAX
    (raw / "x").write_bytes(gzip.compress(b'{"a": 1}\n{"a": [2]}\nnothing\n'))
    assert first_rows(tmp_path, "raw/x", "x.jsonl.gz", {}) == [{"a": "1"}, {"a": "[2]"}]
    assert first_rows(tmp_path, "raw/gone", "x.csv", {}) == []


def test_a_glimpse_splits_rows_as_the_source_does(tmp_path: Path) -> None:
    """Would catch: names of columns out of a title, and a delimiter guessed from it; a declared
    delimiter, encoding, comment or list of columns that is left out."""
    raw = tmp_path / "raw"
    raw.mkdir()
    cases: list[tuple[str, dict[str, object]]] = [
        ("Orders, all, of March\n\nid;name\n1;Zoë, A\n", {"skip": 1}),
        ("Orders, all, of March\nid;name\n1;Zoë, A\n", {"header": 2}),
        ("# a, b, c\nid;name\n# d\n1;Zoë, A\n", {"comment": "#"}),
        ("sep=;\nid;name\n1;Zoë, A\n", {}),
        ("id!name\n1!Zoë, A\n", {"delimiter": "!"}),
        ("1;Zoë, A\n", {"header": False, "columns": ["id", "name"], "delimiter": ";"}),
        ('id;name\n1;"Zoë, A"\n2;"not closed\n', {"encoding": "cp1252"}),
    ]
    for text, options in cases:
        (raw / "x").write_bytes(text.encode(str(options.get("encoding", "utf-8"))))
        given = {"csv": options} if options else {}
        rows = first_rows(tmp_path, "raw/x", "x.csv", given)
        assert rows[:1] == [{"id": "1", "name": "Zoë, A"}], text
    (raw / "x").write_bytes(b"001,2\n")
    assert first_rows(tmp_path, "raw/x", "x.txt", {"fixed_width": {}}) == []
