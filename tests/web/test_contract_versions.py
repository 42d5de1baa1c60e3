"""A contract's history: its versions as they were applied, two of them compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import CONTRACT, deliver, headrace, project, write

NOW = "2025-03-02T08:00"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """A contract that was applied three times, once with another file beside it and no change of
    its own.
    """
    root = project(tmp_path_factory.mktemp("contract") / "shop")
    source = root / "sources/orders.yaml"
    write(source, source.read_text(encoding="utf-8") + "contract: orders\n")
    for version, kind in (("1.0.0", "integer"), ("1.0.0", "integer"), ("2.0.0", "number")):
        write(root / "contracts/orders.odcs.yaml", CONTRACT.format(version=version, type=kind))
        if version == "1.0.0":
            deliver(root, "2025-03-01")
            headrace(root, "tick", "--now", NOW)
            write(root / "assets/other.sql", "/* headrace\nowner: core\n*/\nselect 1 as one\n")
        headrace(root, "apply", "--yes", "--now", NOW)
    with opened(root) as result:
        yield result


def test_each_change_of_a_contract_is_a_version_and_the_newest_is_compared(door: Opened) -> None:
    """Would catch: a version for each apply although the contract stayed, or a diff that runs
    backwards.
    """
    result = door.get("/api/v1/contract/orders/versions").json
    assert [item["declared"] for item in result["versions"]] == ["2.0.0", "1.0.0"]
    assert (result["earlier"], result["later"]) == (
        result["versions"][1]["version"],
        result["versions"][0]["version"],
    )
    assert [item["column"] for item in result["changes"]] == ["amount"] and result["breaking"]
    assert {
        item["kind"]: item["text"] for item in result["lines"] if "version: " in item["text"]
    } | {"same": ""} == {
        "removed": "version: 1.0.0",
        "added": "version: 2.0.0",
        "same": "",
    }


def test_any_two_versions_can_be_compared_and_no_others(door: Opened) -> None:
    """Would catch: a link to a comparison that shows another one."""
    newest, oldest = (
        item["version"] for item in door.get("/api/v1/contract/orders/versions").json["versions"]
    )
    first = door.get(f"/api/v1/contract/orders/versions?later={oldest}").json
    assert (first["earlier"], first["later"], first["changes"]) == (None, oldest, [])
    assert {item["kind"] for item in first["lines"]} == {"added"}
    assert door.get(f"/api/v1/contract/orders/versions?earlier={oldest}&later={newest}").json[
        "breaking"
    ]
    assert door.get("/api/v1/contract/orders/versions?later=99").status == 400


def test_what_has_no_contract_says_so(door: Opened) -> None:
    """Would catch: a page that is an error for most assets."""
    result = door.get("/api/v1/contract/revenue/versions").json
    assert (result["contract"], result["versions"], result["lines"]) == (None, [], [])
