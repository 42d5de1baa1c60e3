"""A Headrace project as dbt's manifest, version 12 (https://schemas.getdbt.com/dbt/manifest/v12.json).

Assets are models, sources are sources, checks are tests, consumers are exposures, and owners of
assets are groups.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from headrace.model import Asset, CheckSpec, CommandBody, Consumer, Owner, PythonBody, Source
from headrace.model.nodes import Severity, SqlBody
from headrace.plan import Compiled
from headrace.sql.analysis import analyse
from headrace_import.importers.dbt.test_ids import DbtTest

SCHEMA = "main"
"""The schema that readers of the lake see all tables in."""
_MATERIALIZED = {"merge": "incremental", "append": "incremental"}
"""Materialization → that of dbt; the others have the same name."""
_INCREMENTAL = {"merge": "merge", "append": "append"}


class ExportedCheck(NamedTuple):
    """A check, and the unique id that it has as a test."""

    node: str
    check: CheckSpec
    uid: str


class DbtManifestWriter:
    """Writes the manifest of one project. Its methods return parts of the document.

    `types` maps nodes to their columns with DuckDB's types, as far as they are known.
    """

    def __init__(self, compiled: Compiled, types: Mapping[str, Mapping[str, str]]) -> None:
        self._compiled, self._project, self._types = compiled, compiled.project, types
        name = re.sub(r"[^A-Za-z0-9_]+", "_", compiled.project.settings.name)
        self.project_name = name or "project"
        self.checks = list(self._checks())

    def uid(self, name: str) -> str:
        """Return the unique id of a node."""
        source = self._project.sources.get(name)
        if source is not None:
            return f"source.{self.project_name}.{source.owner}.{name}"
        return f"model.{self.project_name}.{name}"

    def document(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest. `metadata` has the time and the id of its making."""
        models = {self.uid(name): self._model(asset) for name, asset in self._assets()}
        tests = {check.uid: self._test(check) for check in self.checks}
        nodes = {**models, **tests}
        sources = {
            self.uid(name): self._source(source) for name, source in self._project.sources.items()
        }
        exposures = {
            self._exposure_uid(consumer): self._exposure(consumer)
            for consumer in self._project.consumers.values()
        }
        parents = {
            uid: node.get("depends_on", {}).get("nodes", [])
            for uid, node in {**nodes, **sources, **exposures}.items()
        }
        return {
            "metadata": {"project_name": self.project_name, "adapter_type": "duckdb", **metadata},
            "nodes": nodes,
            "sources": sources,
            "exposures": exposures,
            "groups": {self._group_uid(owner.name): self._group(owner) for owner in self._owners()},
            **{
                section: {}
                for section in (
                    *("macros", "docs", "metrics", "selectors", "disabled"),
                    *("saved_queries", "semantic_models", "unit_tests"),
                )
            },
            "parent_map": parents,
            "child_map": _children(parents),
            "group_map": {
                owner.name: [uid for uid, node in models.items() if node["group"] == owner.name]
                for owner in self._owners()
            },
        }

    def _assets(self) -> Iterator[tuple[str, Asset]]:
        for name in self._compiled.order:
            asset = self._project.assets.get(name)
            if asset is not None:
                yield name, asset

    def _owners(self) -> list[Owner]:
        names = {asset.owner for asset in self._project.assets.values()}
        owners = self._project.owners
        return [owners[name] for name in sorted(names) if name in owners]

    # Nodes

    def _common(self, kind: str, name: str, uid: str, file: str, text: str) -> dict[str, Any]:
        folders = file.rpartition("/")[0].split("/")
        return {
            "database": None,
            "schema": SCHEMA,
            "name": name,
            "alias": name,
            "resource_type": kind,
            "package_name": self.project_name,
            "path": file.partition("/")[2] or file,
            "original_file_path": file,
            "unique_id": uid,
            "fqn": [self.project_name, *[part for part in folders[1:] if part], name],
            "checksum": {"name": "sha256", "checksum": hashlib.sha256(text.encode()).hexdigest()},
        }

    def _model(self, asset: Asset) -> dict[str, Any]:
        node, text = self._compiled.nodes[asset.name], _code(asset)
        is_sql = isinstance(asset.body, SqlBody)
        materialized = _MATERIALIZED.get(asset.materialize, asset.materialize)
        config: dict[str, Any] = {
            "enabled": True,
            "materialized": materialized,
            "tags": list(asset.tags),
            "meta": _meta(asset),
            "group": asset.owner,
        }
        if asset.merge_keys:
            config["unique_key"] = list(asset.merge_keys)
        if asset.materialize in _INCREMENTAL:
            config["incremental_strategy"] = _INCREMENTAL[asset.materialize]
        reads = [spec.node for spec in node.inputs if spec.node != asset.name]
        return {
            **self._common("model", asset.name, self.uid(asset.name), asset.body.file, text),
            "config": config,
            "tags": list(asset.tags),
            "description": asset.description,
            "columns": self._columns(asset.name),
            "meta": config["meta"],
            "group": asset.owner,
            "language": "sql" if is_sql else _language(asset),
            "raw_code": text,
            "compiled": is_sql,
            "compiled_code": node.sql if is_sql else None,
            "relation_name": f'"{SCHEMA}"."{asset.name}"' if asset.materialize != "none" else None,
            "refs": [
                {"name": name, "package": None, "version": None}
                for name in reads
                if name in self._project.assets
            ],
            "sources": [
                [self._project.sources[name].owner, name]
                for name in reads
                if name in self._project.sources
            ],
            "depends_on": {
                "macros": [],
                "nodes": [self.uid(name) for name in dict.fromkeys([*reads, *node.depends])],
            },
        }

    def _source(self, source: Source) -> dict[str, Any]:
        uid = self.uid(source.name)
        common = self._common("source", source.name, uid, source.place.file, "")
        del common["alias"], common["checksum"]
        config = {"enabled": True, "tags": list(source.tags), "meta": _meta(source)}
        return {
            **common,
            "source_name": source.owner,
            "source_description": "",
            "loader": "headrace",
            "identifier": source.name,
            "config": config,
            "tags": list(source.tags),
            "description": source.description,
            "columns": self._columns(source.name),
            "meta": config["meta"],
            "relation_name": f'"{SCHEMA}"."{source.name}"',
        }

    def _columns(self, name: str) -> dict[str, dict[str, Any]]:
        types = self._types.get(name, {})
        return _columns(types or self._compiled.nodes[name].column_names or (), types)

    # Tests

    def _checks(self) -> Iterator[ExportedCheck]:
        taken: set[str] = set()
        for name in self._compiled.order:
            declared = self._project.sources.get(name) or self._project.assets[name]
            for check in declared.checks:
                uid = self._uid_of_dbt(declared, check)
                if uid is None or uid in taken:
                    digest = hashlib.sha256(f"{name}.{check.name}".encode()).hexdigest()[:10]
                    uid = f"test.{self.project_name}.{name}_{check.name}.{digest}"
                taken.add(uid)
                yield ExportedCheck(name, check, uid)

    def _uid_of_dbt(self, declared: Source | Asset, check: CheckSpec) -> str | None:
        """Return the unique id that dbt gives the same test; None if dbt has no such test."""
        known = self._dbt_test(check)
        if known is None:
            return None
        name = declared.name
        target = f"{declared.owner}_{name}" if isinstance(declared, Source) else name
        return DbtTest(*known, self._reference(name), target).unique_id(self.project_name)

    def _dbt_test(self, check: CheckSpec) -> tuple[str, str, dict[str, Any]] | None:
        """Return dbt's own test that is the same as a check: name, column and arguments.

        None for all others. dbt's tests are of one column.
        """
        arguments = check.arguments
        columns = arguments.get("columns") or [arguments.get("column")]
        if check.where is not None or len(columns) != 1 or not isinstance(columns[0], str):
            return None
        match check.kind:
            case "unique" | "not_null":
                return check.kind, columns[0], {}
            case "accepted_values":
                return check.kind, columns[0], {"values": list(arguments.get("values", ()))}
            case "references":
                table, _, field = str(arguments.get("to", "")).partition(".")
                return "relationships", columns[0], {"to": self._reference(table), "field": field}
        return None

    def _reference(self, name: str) -> str:
        """Return how dbt refers to a node in Jinja."""
        source = self._project.sources.get(name)
        return f"ref('{name}')" if source is None else f"source('{source.owner}', '{name}')"

    def _test(self, exported: ExportedCheck) -> dict[str, Any]:
        node, check, uid = exported
        text = str(check.arguments.get("query", "")) if check.kind == "sql" else ""
        known = self._dbt_test(check)
        column = known[1] if known is not None else check.arguments.get("column")
        reads = [self.uid(node), *map(self.uid, self._referred(node, check))]
        config = {
            "enabled": True,
            "severity": "ERROR" if check.severity is Severity.BLOCKING else "WARN",
            "where": check.where,
        }
        return {
            **self._common("test", uid.split(".")[2], uid, check.place.file, text),
            "config": config,
            "language": "sql",
            "raw_code": text,
            "attached_node": self.uid(node),
            "column_name": column if isinstance(column, str) else None,
            "test_metadata": None if check.kind == "sql" else self._metadata(check),
            "refs": [],
            "sources": [],
            "depends_on": {"macros": [], "nodes": list(dict.fromkeys(reads))},
        }

    def _metadata(self, check: CheckSpec) -> dict[str, Any]:
        known = self._dbt_test(check)
        if known is None:
            return {"name": check.kind, "kwargs": dict(check.arguments), "namespace": "headrace"}
        name, column, arguments = known
        return {"name": name, "kwargs": {"column_name": column, **arguments}, "namespace": None}

    def _referred(self, node: str, check: CheckSpec) -> list[str]:
        """Return the other nodes that a check reads, as far as they are known by check."""
        if check.kind == "references":
            name = str(check.arguments.get("to", "")).partition(".")[0]
            return [name] if name in self._compiled.nodes else []
        if check.kind == "sql":
            query = str(check.arguments.get("query", ""))
            read = analyse(query, file=check.place.file, line=1, name=node).inputs
            names = self._compiled.nodes[node].check_references
            return [name for name in names if name.lower() in read]
        return []

    # Consumers and owners

    def _exposure_uid(self, consumer: Consumer) -> str:
        return f"exposure.{self.project_name}.{consumer.name}"

    def _exposure(self, consumer: Consumer) -> dict[str, Any]:
        uid = self._exposure_uid(consumer)
        common = self._common("exposure", consumer.name, uid, consumer.place.file, "")
        for key in ("database", "schema", "alias", "checksum"):
            del common[key]
        names = [name.partition(".")[0] for name in consumer.reads]
        owner = self._project.owners.get(consumer.owner)
        promise = {"due": consumer.due, "max_age": consumer.max_age}
        return {
            **common,
            "type": "application",
            "owner": _owner(consumer.owner, owner),
            "description": consumer.description,
            "label": None,
            "maturity": None,
            "url": None,
            "tags": list(consumer.tags),
            "meta": {key: value for key, value in promise.items() if value is not None},
            "config": {"enabled": True},
            "depends_on": {
                "macros": [],
                "nodes": [self.uid(name) for name in names if name in self._compiled.nodes],
            },
        }

    def _group_uid(self, owner: str) -> str:
        return f"group.{self.project_name}.{owner}"

    def _group(self, owner: Owner) -> dict[str, Any]:
        common = self._common("group", owner.name, "", owner.place.file, "")
        keys = ("name", "resource_type", "package_name", "path", "original_file_path")
        return {
            **{key: common[key] for key in keys},
            "unique_id": self._group_uid(owner.name),
            "owner": _owner(owner.name, owner),
        }


def _children(parents: Mapping[str, list[str]]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {uid: [] for uid in parents}
    for uid, names in parents.items():
        for name in names:
            children[name].append(uid)
    return children


def _owner(name: str, owner: Owner | None) -> dict[str, str | None]:
    contacts = owner.contact if owner is not None else ()
    mails = [text.removeprefix("mailto:") for text in contacts if text.startswith("mailto:")]
    return {"name": name, "email": next(iter(mails), None)}


def _meta(node: Source | Asset) -> dict[str, Any]:
    """Return what dbt has no field for."""
    meta: dict[str, Any] = {"owner": node.owner}
    if node.domain:
        meta["domain"] = node.domain
    if node.partition.grain is not None:
        meta["partition"] = node.partition.grain.value
    return meta


def _columns(names: Iterable[str], types: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "name": name,
            "description": "",
            "data_type": types.get(name),
            "meta": {},
            "tags": [],
        }
        for name in names
    }


def _code(asset: Asset) -> str:
    match asset.body:
        case SqlBody():
            return asset.body.text
        case PythonBody():
            return asset.body.source
        case CommandBody():
            return " ".join(asset.body.command)


def _language(asset: Asset) -> str:
    return "python" if isinstance(asset.body, PythonBody) else "command"
