"""Seeds and source tables as sources of the new project."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

from headrace_import.importers.dbt.descriptions import description_of
from headrace_import.importers.dbt.freshness import WRITE_FRESHNESS, freshness
from headrace_import.importers.dbt.model_contracts import NotCarried, write_seed_contract
from headrace_import.importers.dbt.nodes import Node, Nodes
from headrace_import.importers.dbt.outcome import Outcome
from headrace_import.importers.dbt.project_files import listed, mapped
from headrace_import.importers.dbt.seed_types import seed_types
from headrace_import.importers.dbt.writing import yaml_file
from headrace_import.importers.imported import Verdict


def seeds_of_sources(nodes: Nodes) -> dict[str, str]:
    """Return source table → seed, for tables that a seed of the project loads."""
    seeds = {node.name.lower(): node for node in nodes.by_id.values() if node.kind == "seed"}
    seeded = {}
    for node in nodes.by_id.values():
        seed = seeds.get(str(node.properties.get("identifier") or node.name).lower())
        if node.kind != "source" or seed is None:
            continue
        schema = mapped(node.config.get("_source")).get("schema") or node.source_name
        if str(seed.config.get("schema", "")).lower() == str(schema).lower() and seed.enabled:
            seeded[node.uid] = seed.uid
    return seeded


def name_seeded_sources(nodes: Nodes, seeded: Mapping[str, str]) -> None:
    """Give source tables that a seed loads the seed's name."""
    for source, seed in seeded.items():
        nodes.by_id[source].target = nodes.by_id[seed].target
        nodes.by_id[source].renamed = ""


def read_sources(outcome: Outcome, seeded: Mapping[str, str]) -> None:
    """Record which sources and seeds the new project has."""
    for node in outcome.nodes.by_id.values():
        if node.kind == "seed" and node.enabled:
            outcome.tables.add(node.uid)
        elif node.kind == "source" and node.enabled:
            outcome.tables.add(node.uid)
            if node.uid in seeded:
                outcome.depend(node.uid, [seeded[node.uid]])
                outcome.views.add(node.uid)  # it stores nothing: its rows are the seed's


def source_path(node: Node) -> str:
    """Return where a source is written."""
    return f"sources/{node.target}.yaml"


def write_sources(outcome: Outcome, seeded: Mapping[str, str]) -> None:
    """Write sources and seeds, and an item of each."""
    for node in outcome.nodes.by_id.values():
        if node.kind == "seed":
            _seed(outcome, node, [source for source, seed in seeded.items() if seed == node.uid])
        elif node.kind == "source":
            _source(outcome, node, seeded)


def _fields(outcome: Outcome, node: Node, checks: list[dict[str, Any]]) -> dict[str, Any]:
    parent = mapped(node.config.get("_source"))
    description = description_of(outcome, node)
    if node.kind == "source" and "meta" not in node.config and parent.get("meta"):
        node.config["meta"] = parent["meta"]
    fields: dict[str, Any] = {"source": node.target}
    if description:
        fields["description"] = description
    fields["owner"] = outcome.owners.of(node)
    tags = listed(node.config.get("tags")) + listed(node.properties.get("tags"))
    tags += listed(parent.get("tags"))
    if tags:
        fields["tags"] = [str(tag) for tag in dict.fromkeys(tags)]
    return fields | ({"checks": checks} if checks else {})


def _seed(outcome: Outcome, node: Node, sources: list[str]) -> None:
    if not node.enabled:
        outcome.add(
            node.uid,
            node.file,
            1,
            Verdict.PERSON,
            node.disabled_because,
            todo="delete it, or enable it and import again",
        )
        return
    path = outcome.write("seeds/" + _plain_path(node.file), node.text)
    checks, unchecked = _checks_of_seed(outcome, node, sources)
    fields = _fields(outcome, node, [])
    fields |= {"partition": "*", "files": path}
    delimiter = node.config.get("delimiter")
    if isinstance(delimiter, str) and delimiter != ",":
        fields["csv"] = {"delimiter": delimiter}
    why, todo, verdict, contract = "the same file, read as a source", "", Verdict.CARRIED, ""
    types = mapped(node.config.get("column_types"))
    separator = _separator(delimiter)
    inferred = seed_types(outcome.nodes.files.root / node.file, node.text, separator, types)
    header = _header(node.text, separator)
    if inferred.problem:
        verdict, why = Verdict.PERSON, f"{inferred.problem}; otherwise the same file"
        todo = f"write another word there, or cast in the assets that read {node.target}"
    try:
        contract = write_seed_contract(outcome, node, types, header, inferred.types)
    except NotCarried as error:
        verdict, why = Verdict.PERSON, f"its column_types aren't carried: {error}"
        todo = f"say the types in contracts/{node.target}.odcs.yaml, or cast in the assets"
    if contract:
        fields["contract"] = node.target
        why += f", with the types of {contract}"
    if unchecked:
        verdict, why, todo = Verdict.PERSON, why + unchecked, todo or WRITE_FRESHNESS
    fields |= {"checks": checks} if checks else {}
    declared = outcome.write(source_path(node), yaml_file(fields))
    if node.renamed:
        why = f"{why}; {node.renamed}"
    created = (declared, contract, path) if contract else (declared, path)
    outcome.add(
        node.uid, node.file, 1, verdict, why, todo=todo, created=created, original=node.text
    )


def _checks_of_seed(
    outcome: Outcome, node: Node, sources: list[str]
) -> tuple[list[dict[str, Any]], str]:
    """Return the checks of a seed and of the source tables that it loads, with what is left out."""
    uids = (node.uid, *sources)
    checks = [check.declaration for uid in uids for check in outcome.checks.get(uid, ())]
    unchecked: dict[str, None] = {}
    for uid in sources:
        table = outcome.nodes.by_id[uid]
        more, why = freshness(outcome, table)
        checks += more
        unchecked[why] = None
        node.properties.setdefault("description", table.properties.get("description"))
    return checks, "".join(unchecked)


def _separator(delimiter: object) -> str:
    return delimiter if isinstance(delimiter, str) and len(delimiter) == 1 else ","


def _header(text: str, delimiter: str) -> list[str]:
    """Return the names of a CSV's columns."""
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except (csv.Error, TypeError, ValueError):  # also for a delimiter that csv refuses
        return []


def _plain_path(path: str) -> str:
    parts = path.split("/")[1:]
    return "/".join(re.sub(r"[^A-Za-z0-9_.-]+", "_", part) for part in parts)


def _source(outcome: Outcome, node: Node, seeded: Mapping[str, str]) -> None:
    parent = mapped(node.config.get("_source"))
    if not node.enabled:
        outcome.add(
            node.uid,
            node.file,
            node.line,
            Verdict.PERSON,
            node.disabled_because,
            todo="delete it, or enable it and import again",
            original=_original(node),
        )
        return
    if node.uid in seeded:
        seed = outcome.nodes.by_id[seeded[node.uid]]
        outcome.add(
            node.uid,
            node.file,
            node.line,
            Verdict.CARRIED,
            f"the seed {seed.name} loads this table, so it is the source {seed.target}",
            created=(source_path(seed),),
            original=_original(node),
        )
        return
    schema, table = _table_name(node)
    checks = [check.declaration for check in outcome.checks.get(node.uid, ())]
    location = _location(node)
    fields = _fields(outcome, node, [])
    landing = "/".join(re.sub(r"[^A-Za-z0-9_-]+", "_", part) for part in (schema, table))
    fields |= {"partition": "*", "files": location or f"landing/{landing}.parquet"}
    more, unchecked = freshness(outcome, node)
    checks = [*checks, *more]
    fields |= {"checks": checks} if checks else {}
    path = outcome.write(source_path(node), yaml_file(fields))
    notes = f"; {node.renamed}" if node.renamed else ""
    if parent.get("description"):
        notes += f"; the description of the source {node.source_name} isn't carried"
    notes += unchecked
    if location:
        outcome.add(
            node.uid,
            node.file,
            node.line,
            Verdict.PERSON if unchecked else Verdict.CARRIED,
            f"the file that dbt reads{notes}",
            todo=WRITE_FRESHNESS if unchecked else "",
            created=(path,),
            original=_original(node),
        )
        return
    outcome.add(
        node.uid,
        node.file,
        node.line,
        Verdict.PERSON,
        f"{schema}.{table} is a table of dbt's warehouse, here the file {fields['files']}{notes}",
        todo=f"have it delivered there, or name a connection and table in {path}",
        created=(path,),
        original=_original(node),
    )


def _table_name(node: Node) -> tuple[str, str]:
    """Return the schema and the name of a source's table in dbt's warehouse."""
    schema = mapped(node.config.get("_source")).get("schema") or node.source_name
    return str(schema), str(node.properties.get("identifier") or node.name)


def _original(node: Node) -> str:
    return f"{node.source_name}.{node.name}: {dict(node.properties)!r}"


def _location(node: Node) -> str:
    """Return the files that dbt-duckdb reads for a source; empty if it is a table."""
    parent = mapped(node.config.get("_source"))
    for place in (
        node.config,
        node.config.get("meta"),
        node.properties.get("meta"),
        parent.get("meta"),
    ):
        location = place.get("external_location") if isinstance(place, dict) else None
        if isinstance(location, str):
            text = location.replace("{name}", node.name).replace(
                "{identifier}", str(node.properties.get("identifier") or node.name)
            )
            if re.fullmatch(r"[A-Za-z0-9_./:-]+\.(csv|parquet|json)", text):
                return text
    return ""
