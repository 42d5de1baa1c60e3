"""A partition's key is taken whole in every place; further keys repeat the option."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from door_lab import Opened, opened
from serve_lab import headrace, project, response, serving, write
from test_acts import refusal

import headrace as library
from headrace.model.errors import UsageError
from headrace.model.partitions import command_line
from headrace.plan.backfills import Mode
from headrace.repairs.backfill_planning import BackfillArguments

NOW = "2025-03-04T08:00"
KEYS = ["Smith, Co", "Smith", "Co", " Co", "Co ", "A/B", "A", "x@y", "..", "a..b", "-f", "%2F", "="]
KEYS += ["2025-03-01/A", "2025-03-01", "'q'", '"d"', "a\\b", "a%", ",", "/"]


def keyed(root: Path) -> Path:
    """A project whose data is partitioned by shop, published."""
    project(root)
    write(
        root / "sources/k.yaml",
        "source: k\nowner: core\npartition: {key: shop}\nfiles: landing/k_*.csv\n",
    )
    write(
        root / "assets/a.sql",
        "/* headrace\nowner: core\npartition: {key: shop}\n*/\n"
        "select $partition_key as shop, sum(v) as v from k\n",
    )
    with (root / "landing/k_1.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("shop", "v"), *((key, n) for n, key in enumerate(KEYS))])
    headrace(root, "tick", "--now", NOW)
    return root


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(keyed(tmp_path_factory.mktemp("keys") / "shop")) as result:
        yield result


@pytest.mark.parametrize(
    "key", ["Smith, Co", " Co", "A/B", "x@y", "..", "2025-03-01/A", "-f", "%2F"]
)
def test_a_key_is_taken_whole(door: Opened, key: str) -> None:
    """Would catch: other partitions that are read or replaced, as a key was split or trimmed."""
    row = [{"shop": key, "v": KEYS.index(key)}]
    root, typed = door.root, f"--partition={key}"
    assert response(root, "read", "a", typed)["rows"] == row
    assert response(root, "read", f"a@{key}")["rows"] == row
    again = response(root, "run", "a", typed, "--again", "--reason", "x", "--now", NOW)
    assert [item["partition"] for item in again["published"]] == [key]
    assert [row["partition"] for row in response(root, "diff", "a", "--at=1", typed)["partitions"]]
    assert response(root, "render", f"a@{key}")["partition"] == key
    assert response(root, "why", f"a@{key}")["interval"] == key
    query = f"partition={quote(key, safe='')}"
    assert door.get(f"/data/a.json?{query}").json["rows"] == row
    assert door.get(f"/api/v1/assets/a/preview?{query}").json["rows"] == row
    where = quote(json.dumps(["v", "eq", str(row[0]["v"])]))
    shown = door.get(f"/data/a.csv?{query}&where={where}").body.decode().splitlines()
    assert [*csv.reader(shown)][1:] == [[key, str(row[0]["v"])]]


def test_commands_that_act_take_a_key_whole(tmp_path: Path) -> None:
    """Would catch: quarantined data of *Smith* and *Co* accepted, or their partitions recomputed."""
    root = keyed(tmp_path / "shop")
    write(
        root / "assets/few.sql",
        "/* headrace\nowner: core\npartition: {key: shop}\nchecks: [row_count: {max: 0}]\n*/\n"
        "select $partition_key as shop, sum(v) as v from k\n",
    )
    headrace(root, "apply", "--yes", "--now", NOW)
    headrace(root, "tick", "--now", NOW)
    assert response(root, "read", "few")["rows"] == []
    accept = ("quarantine", "accept", "few@Smith, Co", "--reason", "x", "--now", NOW)
    assert response(root, *accept)
    assert response(root, "read", "few")["rows"] == [{"shop": "Smith, Co", "v": 0}]
    ends = ("--from", "Smith, Co", "--to", "Smith, Co", "--mode", "all", "--only")
    planned = response(root, "backfill", "a", *ends, "--dry-run", "--now", NOW)
    for option in ("--partition", "--from"):
        words = shlex.split(command_line("run", "a", option, "-f", "--again", "--reason", "-x"))
        assert words[3:] == [f"{option}=-f", "--again", "--reason", "-x"]
    again = BackfillArguments(["a"], [], "-f", "-f", None, Mode.MISSING.value, "").command
    assert shlex.split(again) == [
        "headrace",
        "backfill",
        "a",
        "--from=-f",
        "--to=-f",
        "--reason",
        "TEXT",
    ]
    (chosen,) = planned["assets"]
    assert (chosen["partitions"], chosen["from"], chosen["to"]) == (1, "Smith, Co", "Smith, Co")


def test_several_keys_repeat_the_option(door: Opened) -> None:
    """Would catch: keys with commas between that are taken for others, or for all partitions."""
    both = response(door.root, "read", "a", "--partition", "Smith", "--partition", "Co")
    assert [row["shop"] for row in both["rows"]] == ["Co", "Smith"]
    asked = door.get("/data/a.json?partition=Smith&partition=Co")
    assert asked.json["rows"] == both["rows"]
    assert response(door.root, "read", "a", "--partition", "Smith,Co")["rows"] == []
    headrace(door.root, "read", "a", "--partition", "", code=2)
    headrace(door.root, "read", "a@", code=2)


def test_a_key_that_no_partition_has_is_an_error_of_the_request(tmp_path: Path) -> None:
    """Would catch: a misspelt key that runs nothing and answers 200, or an error of the server."""
    asked = {"select": ["a"], "partitions": ["Smiht"], "again": True, "reason": "x"}
    with serving(keyed(tmp_path / "shop")) as server:
        refused = refusal(server, "runs", asked)
        assert refused["status"] == 400, refused
        assert "with the shop `Smiht`" in refused["detail"]
        assert server.get("/api/v1/status").status == 200, "the server goes on"


def test_times_with_commas_are_refused(tmp_path: Path) -> None:
    """Would catch: a time with another one behind it that is refused without the way to say it."""
    root = project(tmp_path / "shop")
    hint = "give each key by itself, with the option again"
    for command in (["read", "revenue"], ["run", "revenue"]):
        with pytest.raises(AssertionError, match=hint):
            headrace(root, *command, "--partition", "2025-03-01,2025-03-02")


def test_a_text_is_not_a_list_of_keys(door: Opened) -> None:
    """Would catch: Python's letters of one text, each taken for a key."""
    session = library.Session(door.root)
    with pytest.raises(UsageError):
        session.run("a", partitions="Smith, Co", again=True, reason="x")
