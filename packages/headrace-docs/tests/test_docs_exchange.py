"""`docs export`: each format says what the description says, in names that its readers accept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
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
    ((_, content),) = FORMATS[name].files(described)
    assert isinstance(content, str)
    return content


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_what_its_reader_may_see(
    shop: Path, described: Description, name: str, tmp_path: Path
) -> None:
    """Would catch: an order of a set, a value of a row, or a name that is hidden from a role."""
    files = dict(FORMATS[name].files(described))
    again = msgspec.structs.replace(described_as(opened(shop), None), at=described.at)
    assert files == dict(FORMATS[name].files(again))
    args = ["--as", "viewer:domain=sales", "--out", str(tmp_path / name), "--now", NOW]
    assert run(["docs", "export", name, *args, "--project", str(shop)]) == 0
    written = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
    assert written
    for content in [*files.values(), *(path.read_bytes() for path in written)]:
        text = content if isinstance(content, str) else content.decode("latin-1")
        assert UNSEEN_VALUE not in text
    for path in written:
        assert b"secret_margin" not in path.read_bytes(), path.name
        assert b"board" not in path.read_bytes(), path.name


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
