"""Validates what `headrace docs export` wrote, with the tools of others; exits with 1 if invalid.

It runs in the environment of `tools.txt`, without Headrace: FORMAT FOLDER SCHEMAS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


FORMATS = {"backstage": backstage, "dbt-catalog": dbt_catalog, "dcat": dcat}

if __name__ == "__main__":
    name, folder, schemas = sys.argv[1:]
    problems = list(FORMATS[name](Path(folder), Path(schemas)))
    print("\n".join(problems))
    sys.exit(bool(problems))
