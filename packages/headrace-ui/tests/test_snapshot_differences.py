"""An asset in two snapshots or environments over HTTP: partitions, columns and rows that differ."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from door_lab import Opened, opened
from serve_lab import headrace, project, write

from headrace.project.session import ProjectSession
from headrace_ui.services.snapshot_differences import DifferenceQuery, snapshot_difference
from headrace_ui.views import difference_partitions

CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: people
name: people
version: 1.0.0
status: active
schema:
  - name: people
    properties:
      - {name: day, logicalType: date, physicalType: DATE}
      - {name: n, logicalType: integer, physicalType: BIGINT}
      - {name: city, logicalType: string, physicalType: VARCHAR}
      - {name: name, logicalType: string, physicalType: VARCHAR, classification: restricted}
"""
LOUD = """/* headrace
owner: core
partition: {by: day, column: day}
checks:
  - unique: [n]
*/
select day, n, city || '%s' as city, upper(name) as shout from people
"""


def _deliver(root: Path, day: str, rows: list[tuple[int, str, str]]) -> None:
    lines = "".join(f"{day},{n},{city},{name}\n" for n, city, name in rows)
    write(root / f"landing/people_{day}.csv", f"day,n,city,name\n{lines}")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    root = project(tmp_path_factory.mktemp("differences") / "shop")
    write(root / "contracts/people.odcs.yaml", CONTRACT)
    write(
        root / "sources/people.yaml",
        "source: people\nowner: core\npartition: day\nfiles: landing/people_{date:%Y-%m-%d}.csv\n",
    )
    write(root / "assets/loud.sql", LOUD % "")
    write(
        root / "assets/seen.sql",
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect n from loud\n",
    )
    _deliver(root, "2025-03-01", [(1, "Ulm", "Ann Secret")])
    _deliver(root, "2025-03-02", [(2, "Ulm", "Bob Secret"), (3, "Bonn", "Cat Secret")])
    headrace(root, "tick", "--now", "2025-03-03T08:00")
    _deliver(root, "2025-03-02", [(2, "Trier", "Bob Secret"), (4, "Jena", "Eve Secret")])
    _deliver(root, "2025-03-03", [(5, "Kiel", "Dan Secret")])
    headrace(root, "tick", "--now", "2025-03-04T08:00")
    write(root / "assets/loud.sql", LOUD % "!")
    headrace(root, "apply", "--yes", "--env", "dev", "--now", "2025-03-04T08:10")
    headrace(root, "tick", "--env", "dev", "--now", "2025-03-04T08:10")
    write(root / "assets/loud.sql", LOUD % "")
    with opened(root) as result:
        yield result


def difference(door: Opened, name: str, status: int = 200, **parameters: object) -> dict:
    address = f"/api/v1/assets/{name}/difference?{urlencode(parameters, doseq=True)}"
    answer = door.get(address)
    assert answer.status == status, answer.body
    assert b"Secret" not in answer.body and b"SECRET" not in answer.body
    return answer.json


def test_partitions_columns_and_rows_that_differ_between_two_snapshots(door: Opened) -> None:
    """Would catch: a partition in the wrong state, rows of equal partitions among those compared, a
    classified value, or counts of another pair of snapshots than the page names.
    """
    first = difference(door, "people")["snapshots"][-1]["snapshot"]
    before = difference(door, "loud", left="2025-03-03T09:00")
    assert before["left"]["env"] == before["right"]["env"] == "prod"
    assert before["left"]["snapshot"] >= first
    assert {row["partition"]: row["state"] for row in before["partitions"]} == {
        "2025-03-01": "equal",
        "2025-03-02": "changed",
        "2025-03-03": "only_right",
    }
    assert before["counted"] == {"equal": 1, "changed": 1, "only_right": 1}
    assert [row["partition"] for row in before["partitions"] if row["compared"]] == [
        "2025-03-02",
        "2025-03-03",
    ]
    assert [before[name] for name in ("rows_added", "rows_removed", "rows_changed")] == [2, 1, 1]
    assert before["keys"] == ["n"] and before["cells"] == {"city": 1}
    changed = [row for row in before["sample"] if row["change"] == "changed"]
    assert [(row["before"]["city"], row["after"]["city"]) for row in changed] == [("Ulm", "Trier")]
    assert "shout" in before["masked"]
    assert "shout" not in {row["name"] for row in before["columns"]}
    one = difference(door, "loud", left="2025-03-03T09:00", partition="2025-03-03")
    assert (one["rows_added"], one["rows_changed"], one["compared"]) == (1, 0, 1)
    back = difference(
        door, "loud", left=before["right"]["snapshot"], right=before["left"]["snapshot"]
    )
    assert back["counted"] == {"equal": 1, "changed": 1, "only_left": 1}
    same = difference(door, "loud", left=before["right"]["snapshot"])
    assert same["counted"] == {"equal": 3} and same["sample"] == [] and same["compared"] == 0


def test_two_environments_are_compared(door: Opened) -> None:
    """Would catch: both sides read from one environment, or one with other code that counts as
    equal because its publication has the same number.
    """
    body = difference(door, "loud", left="prod", right="dev")
    assert (body["left"]["env"], body["right"]["env"]) == ("prod", "dev")
    assert body["environments"] == ["prod", "dev"]
    assert body["counted"].get("equal", 0) == 0
    pairs = {
        row["before"]["city"]: row["after"]["city"]
        for row in body["sample"]
        if row["before"] and row["after"]
    }
    assert pairs and all(now == f"{was}!" for was, now in pairs.items())
    borrowed = difference(door, "people", left="prod", right="dev")
    assert borrowed["counted"] == {"equal": 3}


def test_without_a_side_it_is_the_newest_change(door: Opened) -> None:
    """Would catch: a page without parameters that compares a snapshot with itself."""
    body = difference(door, "loud")
    assert body["left"]["snapshot"] < body["right"]["snapshot"]
    assert set(body["counted"]) - {"equal"}
    assert body["snapshots"][0]["snapshot"] <= body["right"]["snapshot"]


def test_without_a_left_side_an_older_one_is_compared_with_its_own_change(door: Opened) -> None:
    """Would catch: a partition that counts as unchanged by then, because it changed again later."""
    then = difference(door, "people", left="2025-03-03T09:00")["left"]["snapshot"]
    assert then > difference(door, "people")["snapshots"][-1]["snapshot"]
    body = difference(door, "people", right=then, partition="2025-03-02")
    assert {row["partition"]: row["state"] for row in body["partitions"]}["2025-03-02"] == (
        "only_right"
    )
    assert body["rows_added"] == 2


def test_of_an_earlier_side_it_is_the_newest_change_by_then(door: Opened) -> None:
    """Would catch: a side before the right one that ignores which publication was visible there."""
    day = {"partition": "2025-03-02"}
    now = difference(door, "loud", **day)
    assert now["counted"]["changed"] == 1
    then = difference(door, "loud", right=now["left"]["snapshot"], **day)
    assert then["left"]["partitions"] < then["right"]["partitions"]
    assert (then["rows_added"], then["rows_removed"]) == (2, 0)


def test_snapshots_to_choose_are_those_that_a_number_means(door: Opened) -> None:
    """Would catch: snapshots of the other environment, whose numbers name others here."""
    here = difference(door, "loud")["snapshots"]
    body = difference(door, "loud", left="prod", right="dev")
    assert body["snapshots"] == here
    for item in here:
        assert difference(door, "loud", left=item["snapshot"])["left"]["at"] == item["at"]


def test_partitions_with_too_many_rows_arent_compared(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: millions of rows read because their partition was chosen, or is the newest."""

    def compared(rows_max: int, partition: str | None = None) -> tuple[int, int, int]:
        monkeypatch.setattr(difference_partitions, "ROWS_MAX", rows_max)
        query = DifferenceQuery(left="2025-03-03T09:00", partition=partition)
        session = ProjectSession(door.root, "prod", None, "t")
        body = snapshot_difference(session, "loud", query)
        assert sum(row.compared for row in body.partitions) == body.compared
        return body.compared, body.not_compared, len(body.sample)

    assert compared(4, "2025-03-02") == (1, 0, 3)  # two rows on each side
    assert compared(3, "2025-03-02") == (0, 1, 0)
    assert compared(3, "2025-03-03") == (1, 0, 1)
    assert compared(3) == (1, 1, 1)
    assert compared(0) == (0, 2, 0)


def test_a_partition_that_is_too_large_leaves_room_for_older_ones(
    door: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: no rows at all because the newest partition has too many, and a partition that
    no choice on the page compares without the command that does.
    """
    monkeypatch.setattr(difference_partitions, "ROWS_MAX", 1)
    session = ProjectSession(door.root, "prod", None, "t")
    query = DifferenceQuery(left="2025-03-01T00:00", right="2025-03-03T09:00")
    body = snapshot_difference(session, "loud", query)
    assert [row.partition for row in body.partitions if row.compared] == ["2025-03-01"]
    assert (body.compared, body.not_compared, body.too_large, body.rows_added) == (1, 1, 1, 1)
    sides = f"--at {body.left.snapshot} --at {body.right.snapshot}"
    assert body.command == f"headrace diff loud {sides}"
    assert "3 added" in headrace(door.root, *shlex.split(body.command)[1:])
    one = snapshot_difference(
        session, "loud", msgspec.structs.replace(query, partition="2025-03-02", keys=("n",))
    )
    assert one.command == f"headrace diff loud@2025-03-02 {sides} --keys n"
    assert "2 added" in headrace(door.root, *shlex.split(one.command)[1:])
    both = snapshot_difference(session, "loud", DifferenceQuery(left="prod", right="dev"))
    assert (both.too_large, both.command) == (3, "headrace --env dev plan")
    assert "loud" in headrace(door.root, *shlex.split(both.command)[1:])


def test_nothing_differs_of_what_was_never_published(door: Opened) -> None:
    """Would catch: an error of the database about a query without columns."""
    body = difference(door, "revenue")
    assert (body["partitions"], body["columns"], body["sample"]) == ([], [], [])
    assert (body["compared"], body["rows_added"], body["rows_removed"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "parameters", "status", "message"),
    [
        ("loud", {"left": "9999999"}, 400, "there is no snapshot 9999999"),
        ("loud", {"left": "yesterday or so"}, 400, "yesterday or so' is no snapshot, time or env"),
        ("loud", {"left": "9" * 40}, 400, "there is no snapshot"),
        ("loud", {"partition": "2031-01-01"}, 400, "is published on neither side"),
        ("loud", {"keys": "nope"}, 400, "has no column 'nope' on both sides"),
        ("loud", {"keys": "shout"}, 403, "you may not read the column shout"),
        ("loud", {"limit": "1000"}, 400, "limit"),
        ("seen", {}, 400, "keeps no rows to compare"),
        ("nobody", {}, 404, "nobody"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    door: Opened, name: str, parameters: dict[str, str], status: int, message: str
) -> None:
    """Would catch: a stack trace, or a hidden column that keys confirm value by value."""
    body = difference(door, name, status, **parameters)
    assert message in str(body)
