"""What readers are told of wrong data in the minute in which somebody reports it (SEMANTICS §7).

One project, in which one thing goes wrong after the other; each outlet of rows is asked.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clilab import Project, call, copied, filled
from door_lab import Opened, opened

import headrace
from headrace.cli.main import run
from headrace.model.errors import DataUnsound

__all__ = ["call", "filled"]
SAID = "INC-4 orders_clean: amounts doubled"


@pytest.fixture(scope="module")
def wrong(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of which somebody has reported a partition as wrong."""
    root = copied(filled, tmp_path_factory.mktemp("wrong") / "shop", run).root
    (root / "assets/shown.sql").write_text(
        "/* headrace\nowner: core\nmaterialize: view\n*/\nselect day, revenue from revenue\n"
    )
    revenue = root / "assets/revenue.sql"
    revenue.write_text(revenue.read_text().replace("owner: core\n", "owner: core\ntags: [open]\n"))
    reporting = ["incidents", "report", "orders_clean@2025-03-02", "--reason", "amounts doubled"]
    for line in (["apply", "--yes"], reporting):
        assert run([*line, "--project", str(root)]) == 0
    return root


@pytest.fixture
def reported(wrong: Path, call: Callable[..., Any]) -> Project:
    """The same project for all tests that only read."""
    return Project(wrong, call)


@pytest.fixture
def own(wrong: Path, tmp_path: Path, call: Callable[..., Any]) -> Project:
    return copied(wrong, tmp_path / "shop", call)


@pytest.fixture(scope="module")
def door(wrong: Path) -> Iterator[Opened]:
    with opened(wrong) as result:
        yield result


def known(states: list[dict[str, Any]]) -> list[tuple[str, str, list[str], str | None]]:
    """State, node, partitions and incident of each row, without what the project is late with."""
    return [
        (row["state"], row["node"], row["partitions"], row["incident"])
        for row in states
        if row["state"] != "late"
    ]


WRONG = [("wrong", "revenue", ["2025-03-02"], "INC-4")]


def test_every_outlet_says_that_what_it_gives_is_wrong(reported: Project, door: Opened) -> None:
    """Would catch: `fresh` data that `status` calls wrong, by any way that rows leave."""
    shop = reported
    code, out, err = shop.call(shop.root, "read", "revenue", "--json")
    said = json.loads(out)
    assert (code, said["state"], known(said["states"])) == (0, "wrong", WRONG)
    assert said["states"][0]["text"] == SAID
    assert said["states"][0]["command"] == "headrace incident INC-4"
    assert f"warning: revenue@2025-03-02 is wrong: {SAID}" in err
    for line in ("read revenue", "read revenue --format csv", "read shown", "read shown --json"):
        code, out, err = shop.call(shop.root, *line.split())
        assert code == 0 and f"revenue@2025-03-02 is wrong: {SAID}" in err, line
        assert "csv" in line or "wrong" in out
    queried = shop.json("sql", "select max(revenue) as r from shown")
    assert known(queried["states"]) == WRONG

    sides = [f"/data/{name}" for name in ("revenue.json", "revenue.csv", "shown.csv")]
    sides += ["/data/revenue.parquet?sort=day", "/data/shown.arrow"]
    for path in sides:
        answer = door.get(path)
        assert answer.status == 200
        assert answer.headers["x-headrace-state"] == "wrong", path
        assert answer.headers["x-headrace-incidents"] == "INC-4, INC-2, INC-3", path
    for path in ("/api/v1/assets/revenue/rows", "/api/v1/assets/shown/rows"):
        page = door.get(path).json
        assert (page["state"], known(page["states"])) == ("wrong", WRONG)


def test_files_have_it_inside_and_session_as_attributes(reported: Project, door: Opened) -> None:
    """Would catch: a file that is copied on and has lost on the way that its rows are wrong."""
    schemas = [
        pq.read_schema(io.BytesIO(door.get("/data/revenue.parquet").body)),
        pq.read_schema(io.BytesIO(door.get("/data/shown.parquet?sort=day").body)),
        pa.ipc.open_stream(door.get("/data/revenue.arrow").body).schema,
    ]
    for schema in schemas:
        assert known(json.loads(schema.metadata[b"headrace"])["states"]) == WRONG
    session = headrace.Session(reported.root)
    table = session.read("revenue")
    assert table.wrong and table.about["state"] == "wrong" and known(table.states) == WRONG
    assert not session.read("revenue", partition="2025-03-01").wrong
    assert known(session.sql("select * from revenue").states) == WRONG
    with pytest.raises(DataUnsound, match="amounts doubled"):
        session.read("revenue", only_sound=True)


def test_only_sound_data_is_given_where_it_is_asked_for(reported: Project, door: Opened) -> None:
    """Would catch: a program that can't refuse wrong data, and one that gets none of the rest."""
    for line in (
        ("read", "revenue", "--only-sound"),
        ("read", "shown", "--format", "csv", "--only-sound"),
        ("sql", "from shown", "--only-sound"),
    ):
        said = reported.refused(*line, code=3)
        assert SAID in said and "headrace incident INC-4" in said, line
    assert len(reported.json("read", "revenue@2025-03-01", "--only-sound")["rows"]) == 1
    for path in (
        "/data/revenue.csv?only_sound=1",
        "/data/shown.parquet?only_sound=1",
        "/data/revenue.csv?only_sound=1&sort=day",
        "/api/v1/assets/revenue/rows?only_sound=1",
    ):
        answer = door.get(path)
        assert (answer.status, answer.json["detail"]) == (
            409,
            f"revenue@2025-03-02 is wrong: {SAID}",
        )
        assert answer.json["hint"] == "headrace incident INC-4"
    sound = door.get("/data/revenue.csv?only_sound=1&partition=2025-03-03")
    assert sound.status == 200 and sound.headers["x-headrace-state"] != "wrong"


def test_rows_that_became_wrong_are_sent_again(own: Project) -> None:
    """Would catch: a client told `304` of rows that somebody has called wrong meanwhile."""
    path = "/data/revenue.csv?partition=2025-03-03"
    with opened(own.root) as door:
        tag = door.get(path).headers["etag"]
        assert door.get(path, **{"If-None-Match": tag}).status == 304
        own.text("incidents", "report", "orders_clean@2025-03-03", "--reason", "these, too")
        answer = door.get(path, **{"If-None-Match": tag})
    assert (answer.status, answer.headers["x-headrace-state"]) == (200, "wrong")


def test_exceptions_withdrawals_and_earlier_versions_are_told(own: Project) -> None:
    """Would catch: a rejected delivery that somebody accepted, given out as if it had passed; rows
    of an earlier version that are withdrawn or replaced by now.
    """
    before = str(own.json("read", "orders_clean")["snapshot"])
    own.text("quarantine", "accept", "orders_clean@2025-03-04", "--reason", "he did order")
    [row] = own.json("read", "orders_clean@2025-03-04")["states"]
    assert (row["state"], row["incident"]) == ("exception", None)
    assert row["text"].endswith(": he did order")
    refused = own.refused("read", "orders_clean@2025-03-04", "--only-sound", code=3)
    assert "is an exception" in refused

    own.text("unpublish", "orders_clean@2025-03-03", "--reason", "test rows")
    row, stale = own.json("read", "revenue@2025-03-03")["states"]
    assert stale["state"] == "stale"
    assert row["state"] == "wrong" and "orders_clean@2025-03-03 was withdrawn" in row["text"]
    past = own.json("read", "orders_clean", "--version", before)
    assert known(past["states"]) == [
        ("wrong", "orders_clean", ["2025-03-02"], "INC-4"),
        ("wrong", "orders_clean", ["2025-03-03"], None),
    ]


def test_replaced_rows_are_told_of_an_earlier_version(own: Project) -> None:
    """Would catch: yesterday's figures read again, without a word that they were corrected."""
    before = str(own.json("read", "revenue")["snapshot"])
    path = own.root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("sum(amount)", "2 * sum(amount)"))
    own.text("apply", "--yes")
    [row] = [item for item in own.json("read", "revenue")["states"] if item["state"] == "stale"]
    assert row["partitions"][0] == "2025-03-01"
    own.text("run", "revenue")
    past = own.json("read", "revenue@2025-03-01", "--version", before)
    assert [item["state"] for item in past["states"]] == ["restated"]
    assert own.json("read", "revenue@2025-03-01")["states"] == []


def test_who_may_not_see_the_cause_isnt_told_its_name(own: Project) -> None:
    """Would catch: the name and the words of another team's incident, told to whoever reads."""
    (own.root / "access.yaml").write_text(
        f"- {{role: admin, to: ['user:{subprocess.getoutput('id -un')}']}}\n"
        "- {role: viewer, to: [token:dash], tag: open}\n"
    )
    own.text("apply", "--yes")
    token = own.json("token", "create", "dash", "--scope", "viewer:tag=open", "--expires", "30d")[
        "token"
    ]
    table = headrace.Session(own.root, token=token).read("revenue")
    [row] = [item for item in table.states if item["state"] == "wrong"]
    assert (row["incident"], row["command"]) == (None, None)
    assert row["text"] == "what it is made from is wrong"
    assert "orders_clean" not in json.dumps(table.about) and "doubled" not in json.dumps(
        table.about
    )
