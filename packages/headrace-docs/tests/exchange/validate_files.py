"""Validates what `headrace docs export` wrote, with the tools of others; exits with 1 if invalid.

It runs in the environment of `tools.txt`, without Headrace: FORMAT FOLDER SCHEMAS.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

BACKSTAGE = """
import * as model from '@backstage/catalog-model'; import fs from 'fs';
const policy = model.EntityPolicies.allOf([new model.SchemaValidEntityPolicy(),
  new model.DefaultNamespaceEntityPolicy(), new model.FieldFormatEntityPolicy(),
  new model.NoForeignRootFieldsEntityPolicy()]);
for (const entity of JSON.parse(fs.readFileSync(0))) {
  const kind = model[`${entity.kind.toLowerCase()}EntityV1alpha1Validator`];
  await policy.enforce(entity);
  if (!(await kind.check(entity))) throw new Error(entity.metadata.name);
}
"""

DRAWIO = """
import { JSDOM } from 'jsdom'; import fs from 'fs';
const { window } = new JSDOM('');
const { document, DOMParser, XMLSerializer, Node, Element } = window;
Object.assign(globalThis, { window, document, DOMParser, XMLSerializer, Node, Element });
const { GraphDataModel, ModelXmlSerializer } = await import('@maxgraph/core');
const file = new DOMParser().parseFromString(fs.readFileSync(0, 'utf8'), 'text/xml');
const model = new GraphDataModel();
new ModelXmlSerializer(model).import(file.querySelector('mxGraphModel').outerHTML);
const cells = Object.values(model.cells);
console.log(JSON.stringify(cells.filter((cell) => cell.isVertex()).map((cell) => cell.value)));
if (cells.some((cell) => cell.isEdge() && !(cell.source && cell.target))) process.exit(1);
"""


def drawio(folder: Path, _: Path) -> Iterator[str]:
    """draw.io's own library of graphs, in its maintained version, reads all boxes and lines."""
    answer = subprocess.run(
        ["node", "--input-type=module", "-e", DRAWIO],
        input=(folder / "flow.drawio").read_text("utf-8"),
        text=True,
        capture_output=True,
        cwd=os.environ["EXCHANGE_NODE"],
        check=False,
    )
    if answer.returncode or json.loads(answer.stdout) != json.loads(
        (folder / "labels.json").read_text("utf-8")
    ):
        yield answer.stderr[-2000:] + answer.stdout[-2000:]


def backstage(folder: Path, _: Path) -> Iterator[str]:
    import yaml

    entities = list(yaml.safe_load_all((folder / "catalog-info.yaml").read_text("utf-8")))
    answer = subprocess.run(
        ["node", "--input-type=module", "-e", BACKSTAGE],
        input=json.dumps(entities),
        text=True,
        capture_output=True,
        cwd=os.environ["EXCHANGE_NODE"],
        check=False,
    )
    if answer.returncode:
        yield answer.stderr[-2000:]


def dbt_catalog(folder: Path, _: Path) -> Iterator[str]:
    from dbt_artifacts_parser.parser import parse_catalog_v1

    parse_catalog_v1(json.loads((folder / "catalog.json").read_text("utf-8")))
    yield from ()


def dcat(folder: Path, schemas: Path) -> Iterator[str]:
    from pyshacl import validate
    from rdflib import BNode, Graph

    graph = Graph().parse(folder / "catalog.jsonld", format="json-ld")
    if any(isinstance(part, BNode) for triple in graph for part in triple):
        yield "there are blank nodes"
    for name in ("dprod-shapes.ttl", "dcat-ap-SHACL.ttl"):
        conforms, _, text = validate(graph, shacl_graph=Graph().parse(schemas / name))
        if not conforms:
            yield text[:2000]


def archimate(folder: Path, schemas: Path) -> Iterator[str]:
    from lxml import etree

    class Local(etree.Resolver):
        def resolve(self, system_url: str, public_id: str, context: object) -> object:
            del public_id
            return self.resolve_filename(str(schemas / Path(system_url).name), context)

    parser = etree.XMLParser(no_network=True)
    parser.resolvers.add(Local())
    schema = etree.XMLSchema(etree.parse(str(schemas / "archimate3_Model.xsd"), parser))
    if not schema.validate(etree.parse(str(folder / "archimate.xml"))):
        yield str(schema.error_log)[:2000]


def odps(folder: Path, schemas: Path) -> Iterator[str]:
    import jsonschema
    import yaml

    schema = json.loads((schemas / "odps-json-schema-v1.0.0.json").read_text("utf-8"))
    for path in folder.glob("*.odps.yaml"):
        for error in jsonschema.Draft201909Validator(schema).iter_errors(
            yaml.safe_load(path.read_text("utf-8"))
        ):
            yield f"{path.name}: {error.message}"


def datahub(folder: Path, _: Path) -> Iterator[str]:
    from datahub.ingestion.source.file import read_metadata_file
    from datahub.utilities.urns.urn import Urn

    aspects = list(read_metadata_file(folder / "datahub.json"))
    for each in aspects:
        if not each.validate():
            yield f"{each.entityUrn}: {each.aspectName}"
        Urn.from_string(each.entityUrn)
    if len(aspects) != len(json.loads((folder / "datahub.json").read_text("utf-8"))):
        yield "an aspect isn't read"


def openmetadata(folder: Path, _: Path) -> Iterator[str]:
    # its classes alone: the package itself needs clients of all clouds
    found = importlib.util.find_spec("metadata")
    package = types.ModuleType("metadata")
    package.__path__ = list(found.submodule_search_locations or ()) if found else []
    sys.modules["metadata"] = package
    for line in (folder / "openmetadata.jsonl").read_text("utf-8").splitlines():
        request = json.loads(line)
        module, name = REQUESTS[request["path"].removeprefix("/api/v1/")]
        kinds = importlib.import_module(f"metadata.generated.schema.api.{module}")
        getattr(kinds, name).model_validate(request["body"])
    yield from ()


REQUESTS = {
    "services/databaseServices": (
        "services.createDatabaseService",
        "CreateDatabaseServiceRequest",
    ),
    "databases": ("data.createDatabase", "CreateDatabaseRequest"),
    "databaseSchemas": ("data.createDatabaseSchema", "CreateDatabaseSchemaRequest"),
    "tables": ("data.createTable", "CreateTableRequest"),
}
FORMATS = {
    "archimate": archimate,
    "backstage": backstage,
    "datahub": datahub,
    "dbt-catalog": dbt_catalog,
    "dcat": dcat,
    "drawio": drawio,
    "odps": odps,
    "openmetadata": openmetadata,
}

if __name__ == "__main__":
    name, folder, schemas = sys.argv[1:]
    problems = list(FORMATS[name](Path(folder), Path(schemas)))
    print("\n".join(problems))
    sys.exit(bool(problems))
