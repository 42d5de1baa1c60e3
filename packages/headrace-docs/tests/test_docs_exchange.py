"""`docs export`: each format says what the description says, in names that its readers accept."""

from __future__ import annotations

import io
import json
import re
import zipfile
from importlib.resources import files as resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import msgspec
import openpyxl
import pytest
import yaml
from documented_shop import LONG, NOW, RTL, UNSEEN_VALUE, opened
from openlineage.client import event_v2
from openlineage_reader import read

from headrace.cli.main import run
from headrace.model import UsageError
from headrace_docs.exchange.formats import FORMATS
from headrace_docs.responses.description import Description
from headrace_docs.services.exchange import exchanged
from headrace_docs.services.site import described_as

BACKSTAGE_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

PORTS = ("dprod:inputDataset", "dprod:outputDataset")


def file_of(described: Description, name: str) -> str:
    """Return the only file of a format."""
    ((_, content),) = FORMATS[name](described)
    assert isinstance(content, str)
    return content


def unpacked(content: str | bytes) -> bytes:
    """Return a file as bytes, a workbook as those of all its parts."""
    data = content.encode() if isinstance(content, str) else content
    if not data.startswith(b"PK"):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        return b"".join(parts.read(name) for name in parts.namelist())


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_what_its_reader_may_see(
    shop: Path, described: Description, name: str, tmp_path: Path
) -> None:
    """Would catch: an order of a set, a value of a row, or a name that is hidden from a role."""
    files = dict(FORMATS[name](described))
    again = msgspec.structs.replace(described_as(opened(shop), None), at=described.at)
    assert files == dict(FORMATS[name](again))
    args = ["--as", "viewer:domain=sales", "--out", str(tmp_path / name), "--now", NOW]
    assert run(["docs", "export", name, *args, "--project", str(shop)]) == 0
    written = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert written
    for content in files.values():
        assert UNSEEN_VALUE.encode() not in unpacked(content)
    for path in written:
        content = unpacked(path.read_bytes())
        assert b"secret_margin" not in content, path.name
        assert b"board" not in content, path.name


def test_a_folder_has_one_format(shop: Path, tmp_path: Path) -> None:
    """Would catch: an export that removes another one, or a site."""
    args = ["--out", str(tmp_path / "out"), "--project", str(shop), "--now", NOW]
    assert run(["docs", "export", "dcat", *args]) == 0
    assert run(["docs", "export", "dcat", *args]) == 0
    assert run(["docs", "export", "backstage", *args]) == 2
    assert run(["docs", "build", *args]) == 2
    with pytest.raises(UsageError, match="no format of exchange"):
        exchanged(opened(shop), "visio")


def test_a_catalogue_has_only_resources_that_it_describes(described: Description) -> None:
    """Would catch: an address that leads nowhere, a blank node, and a name that isn't there."""
    document = json.loads(file_of(described, "dcat"))
    items = {item["@id"]: item for item in document["@graph"]}
    named = set(re.findall(r'"@id": "([^"]+)"', json.dumps(document)))
    assert named - items.keys() == {"mailto:core@example.com"}
    assert len(items) == len(document["@graph"])
    titles = {item.get("dct:title") for item in items.values()}
    assert {"clean", "orders", "sales"} <= titles
    (product,) = (
        item
        for item in items.values()
        if "dprod:DataProduct" in item["@type"] and item["rdfs:label"] == "sales"
    )
    names = {key: [row["@id"].rpartition(":")[2] for row in product[key]] for key in PORTS}
    assert names == {"dprod:inputDataset": ["orders"], "dprod:outputDataset": ["clean"]}


def test_names_of_backstage_are_its_own(described: Description) -> None:
    """Would catch: a name that Backstage refuses, two that become one, or a link to no entity."""
    text = file_of(described, "backstage")
    entities = list(yaml.safe_load_all(text))
    names = {(entity["kind"].lower(), entity["metadata"]["name"]) for entity in entities}
    assert len(names) == len(entities)
    assert all(BACKSTAGE_NAME.fullmatch(name) for _, name in names)
    for entity in entities:
        spec = entity["spec"]
        for name in spec.get("dependsOn", []):
            assert tuple(name.split(":")) in names
        for key, kind in (("owner", "group"), ("system", "system"), ("parent", "group")):
            assert key not in spec or (kind, spec[key]) in names
    (long,) = (e for e in entities if e["metadata"]["title"].startswith(LONG))
    assert len(long["metadata"]["name"]) == 63


def test_ids_of_dbt_are_those_of_its_manifest(
    shop: Path, described: Description, tmp_path: Path
) -> None:
    """Would catch: a catalogue that tools of dbt can't join with the exported manifest."""
    document = json.loads(file_of(described, "dbt-catalog"))
    command = ["export", "dbt-manifest", "--into", str(tmp_path), "--project", str(shop)]
    assert run(command) == 0
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    models = {uid for uid, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    assert document["nodes"].keys() == models
    assert document["sources"].keys() == manifest["sources"].keys()
    clean = document["nodes"]["model.shop_img.clean"]
    assert clean["columns"]["amount"]["type"] == "DECIMAL(18,2)"
    assert {RTL, LONG} <= clean["columns"].keys()
    assert clean["stats"]["num_rows"]["value"] == 2


def test_lineage_events_are_read_strictly(described: Description) -> None:
    """Would catch: a field or facet that readers of OpenLineage don't know, or lost lineage."""
    kinds = {"DatasetEvent": event_v2.DatasetEvent, "JobEvent": event_v2.JobEvent}
    events: list[dict[str, Any]] = [
        json.loads(line) for line in file_of(described, "openlineage").splitlines()
    ]
    for event in events:
        read(kinds[event["schemaURL"].rpartition("/")[2]], event)
    jobs = {event["job"]["name"]: event for event in events if "job" in event}
    assert [row["name"] for row in jobs["produce/clean"]["inputs"]] == ["orders"]
    (output,) = jobs["produce/clean"]["outputs"]
    lineage = output["facets"]["columnLineage"]["fields"]
    (step,) = lineage["amount"]["inputFields"]
    assert (step["name"], step["field"]) == ("orders", "amount")
    assert step["transformations"] == [{"type": "DIRECT", "subtype": "TRANSFORMATION"}]


def test_contracts_keep_their_standard(described: Description) -> None:
    """Would catch: a contract that the standard's schema refuses, and a port without a contract."""
    schema = json.loads(
        resources("open_data_contract_standard").joinpath("schema.json").read_text()
    )
    validator = jsonschema.Draft201909Validator(schema)
    ids = set()
    for path, content in FORMATS["odcs"](described):
        contract = yaml.safe_load(content)
        assert [error.message for error in validator.iter_errors(contract)] == [], path
        ids.add(contract["id"])
    (table,) = contract["schema"]
    assert table["properties"][0]["logicalType"] == "date", "of secret_margin"
    products = [yaml.safe_load(content) for _, content in FORMATS["odps"](described)]
    named = {port["contractId"] for each in products for port in each.get("outputPorts", [])}
    assert named and named <= ids


def test_a_workbook_has_no_formula(described: Description) -> None:
    """Would catch: a name that Excel computes, a wrong letter in a matrix, or a lost asset."""
    (clean, *others) = described.nodes
    hostile = msgspec.structs.replace(clean, description="=HYPERLINK(1)", owner="+1-1")
    changed = msgspec.structs.replace(described, nodes=[hostile, *others])
    ((_, content),) = FORMATS["togaf"](changed)
    assert isinstance(content, bytes)
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert "=HYPERLINK(1)" in [cell.value for cell in cells]
    rows = {row[0]: row[1:] for row in book["Application-data"].iter_rows(values_only=True)}
    names = rows.pop("application")
    used = {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
    assert (used["clean"]["orders"], used["clean"]["clean"]) == ("R", "C")
    assert used["morning-report"]["clean"] == "R"
    assert used["morning-report"]["orders"] is None
    assert [row[0] for row in book["Owner-data"].iter_rows(values_only=True)] == [
        *("owner", "+1-1", "acme", "core"),
    ]


def test_a_model_relates_what_it_has(described: Description) -> None:
    """Would catch: a relationship to nothing, which tools of architects refuse to load."""
    ((_, content),) = FORMATS["archimate"](described)
    root = ET.fromstring(content)
    space = {"": root.tag[1:].partition("}")[0]}
    elements = {item.get("identifier"): item for item in root.iterfind("elements/element", space)}
    names = {key: item.findtext("name", None, space) for key, item in elements.items()}
    pairs = {
        (names[item.get("source")], names[item.get("target")], item.get("accessType"))
        for item in root.iterfind("relationships/relationship", space)
    }
    assert {("clean", "orders", "Read"), ("clean", "clean", "Write")} <= pairs
    assert ("morning-report", "clean", "Read") in pairs
    assert ("acme", "orders", None) in pairs


def test_each_cell_of_the_grid_says_something(described: Description) -> None:
    """Would catch: a query that fails, a cell that is blank, or a statement without an answer."""
    files = dict(FORMATS["zachman"](described))
    grid = json.loads(files["zachman.json"])["statements"]
    assert len({each["number"] for each in grid}) == 36
    assert all(each["query"] and each["answer"] for each in grid)
    answers = {each["number"]: each["answer"] for each in grid}
    assert answers["Engineer/How"] == ["clean: sql", "page: python", "secret_margin: sql"]
    assert answers["Architect/Why"] == ["none recorded"]
    facts = [json.loads(line) for line in files["facts/edge.jsonl"].splitlines()]
    assert {"node": "clean", "reads": "orders", "mode": "required"} in facts


def test_regulations_are_answered_by_queries(described: Description) -> None:
    """Would catch: an answer without a query, a gap that isn't said, or a class that is lost."""
    packs = {}
    for name in ("ai-act", "bcbs-239", "gdpr", "sox"):
        files = dict(FORMATS[name](described))
        statements = json.loads(files[f"{name}.json"])["statements"]
        assert all(each["answer"] or each["not_covered"] for each in statements), name
        assert "Not covered by Headrace" in files[f"{name}.html"], name
        assert "<img" not in files[f"{name}.html"], name
        packs[name] = {each["asks"]: each["answer"] for each in statements}
    assert packs["gdpr"]["When is it erased?"] == [
        f"{name}: kept without a limit" for name in ("clean", "orders", "page")
    ], "the code of page reads all of clean"
    assert packs["bcbs-239"]["Timeliness: which promises were kept?"][1] == (
        "morning-report: 05:00 daily, kept 1 of 2"
    )
    assert packs["sox"]["What reaches each report?"][1] == "morning-report: clean, orders"
    tagged = [
        msgspec.structs.replace(each, tags=["model"]) if each.name == "board" else each
        for each in described.consumers
    ]
    files = dict(FORMATS["ai-act"](msgspec.structs.replace(described, consumers=tagged)))
    first = json.loads(files["ai-act.json"])["statements"][0]
    assert first["answer"] == ["board: orders, of acme"]
