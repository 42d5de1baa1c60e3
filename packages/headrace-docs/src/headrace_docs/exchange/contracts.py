"""Contracts of the Open Data Contract Standard, and products of the Open Data Product Standard.

A source or asset with a contract has its version and status here, and all have their columns,
checks and owners as they are applied. https://bitol.io
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from headrace_docs.exchange.names import by_domain, iri, owner_of, ports, short_name, words
from headrace_docs.responses.description import (
    DescribedCheck,
    DescribedColumn,
    DescribedNode,
    Description,
)

ODCS, ODPS = "v3.1.0", "v1.0.0"
_LOGICAL = (
    (re.compile(r"\[\]|\[\d+\]$|^LIST|^ARRAY"), "array"),
    (re.compile(r"^(STRUCT|MAP|UNION)"), "object"),
    (re.compile(r"^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER)$"), "integer"),
    (re.compile(r"^(DECIMAL|DOUBLE|FLOAT)"), "number"),
    (re.compile(r"^TIMESTAMP"), "timestamp"),
    (re.compile(r"^DATE$"), "date"),
    (re.compile(r"^TIME"), "time"),
    (re.compile(r"^BOOLEAN$"), "boolean"),
)
"""DuckDB's types → logical types; all others are text."""
_SAFE = "A-Za-z0-9_-"
Json = dict[str, Any]


def odcs_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield a contract of each source and asset."""
    for node in described.nodes:
        yield f"{short_name(node.name, _SAFE)}.odcs.yaml", _yaml(_contract(described, node))


def odps_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield a data product of each domain, whose ports name the contracts of `odcs`."""
    versions = {node.name: _version(described, node) for node in described.nodes}
    sides = ports(described)
    for domain, nodes in by_domain(described).items():
        inputs, outputs = (
            [_port(described, name, versions[name]) for name in names] for names in sides[domain]
        )
        product = _product(described, domain, nodes)
        document = _without_empty({**product, "inputPorts": inputs, "outputPorts": outputs})
        yield f"{short_name(domain, _SAFE)}.odps.yaml", _yaml(document)


def _product(described: Description, domain: str, nodes: Sequence[DescribedNode]) -> Json:
    owner = owner_of(nodes)
    return {
        "apiVersion": ODPS,
        "kind": "DataProduct",
        "id": iri(described, "product", domain),
        "name": words(domain),
        "version": str(described.version or 0),
        "status": "active" if any(node.newest for node in nodes) else "draft",
        "domain": words(domain),
        "description": {"purpose": f"The sources and assets of the domain {words(domain)}."},
        "team": {"members": [{"username": words(owner or "nobody"), "role": "owner"}]},
    }


def logical_type(kind: str | None) -> str:
    """Return the logical type of a type of DuckDB."""
    return next((name for form, name in _LOGICAL if kind and form.search(kind)), "string")


def _port(described: Description, name: str, version: str) -> Json:
    return {"name": words(name), "version": version, "contractId": iri(described, "contract", name)}


def _version(described: Description, node: DescribedNode) -> str:
    contract = node.contract
    return str(described.version or 0) if contract is None else words(contract.version)


def _contract(described: Description, node: DescribedNode) -> Json:
    contract = node.contract
    levels = [] if contract is None else contract.service
    table = {
        "name": words(node.name),
        "physicalName": words(node.name),
        "physicalType": node.materialize or "table",
        "logicalType": "object",
        "description": words(node.description),
        "tags": [words(tag) for tag in node.tags],
        "properties": [_property(column) for column in node.columns],
        "quality": [_quality(check) for check in node.checks],
    }
    document = {
        "apiVersion": ODCS,
        "kind": "DataContract",
        "id": iri(described, "contract", node.name),
        "name": words(node.name if contract is None else contract.name),
        "version": _version(described, node),
        "status": "active" if contract is None else words(contract.status),
        "domain": words(node.domain or ""),
        "description": {"purpose": words(node.description)} if node.description else {},
        "schema": [_without_empty(table)],
        "team": {"members": [{"username": words(node.owner), "role": "owner"}]},
        "slaProperties": [_level(level) for level in levels],
        "customProperties": [
            {"property": "headrace.declared", "value": "no" if contract is None else "yes"}
        ],
    }
    return _without_empty(document)


def _property(column: DescribedColumn) -> Json:
    return _without_empty(
        {
            "name": words(column.name),
            "logicalType": logical_type(column.type),
            "physicalType": words(column.type or "unknown"),
            "classification": words(column.classification or ""),
        }
    )


def _quality(check: DescribedCheck) -> Json:
    return {
        "type": "custom",
        "name": words(check.name),
        "engine": "headrace",
        "implementation": words(check.kind),
        "severity": check.severity,
    }


def _level(text: str) -> Json:
    name, _, rest = words(text).partition(" ")
    value, _, unit = rest.partition(" ")
    return _without_empty({"property": name, "value": value, "unit": unit})


def _without_empty(document: Json) -> Json:
    return {key: value for key, value in document.items() if value not in ("", [], {}, None)}


def _yaml(document: Json) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=1000)
