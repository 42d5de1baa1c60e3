"""What a node's data depends on, as one short text: if it differs, what is published was computed by another body."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import Asset, CommandBody, InputSpec, Project, PythonBody, Source
from headrace.plan import code as used
from headrace.plan.code import Code
from headrace.sql.values import Analysis

FINGERPRINT_VERSION = 1
"""Raise it when the meaning of what goes in changes; everything is then rebuilt on request."""


_NO_CODE = Code()


def _digest(value: Any) -> str:
    return hashlib.blake2b(msgspec.msgpack.encode((FINGERPRINT_VERSION, value), order="deterministic"), digest_size=16).hexdigest()


def of_source(source: Source, project: Project) -> str:
    """Where the data comes from and how it is read."""
    contract = project.contracts.get(source.contract or "")
    mapped = [(column.name, column.type, column.names) for column in contract.columns] if contract else []
    columns = contract.columns if contract else ()
    converted = [(column.name, column.conversions) for column in columns if column.conversions]
    parts = ("source", source.files, source.connector, source.partition, source.timezone, mapped)
    return _digest((*parts, *([converted] if converted else [])))


def of_asset(
    asset: Asset,
    analysis: Analysis | None,
    inputs: Iterable[InputSpec],
    project: Project,
    macros: Mapping[str, str],
    views: Sequence[str] = (),
    code: Code = _NO_CODE,
) -> str:
    """The body without layout and comments, the project's files that its code uses, its inputs and how they are read, parameters,
    partition and materialisation, and the fingerprints of the views that it reads."""
    read = sorted((spec.node, spec.mode, spec.lookback, spec.optional) for spec in inputs)
    return _digest(
        (
            _body(asset, analysis),
            read,
            _parameters(asset, analysis, project),
            asset.partition,
            asset.timezone,
            asset.materialize,
            (asset.merge_keys, asset.merge_delete, asset.snapshot_columns, asset.snapshot_deletes) if asset.accumulates else (),
            sorted(macros.items()),
            *([sorted(views)] if views else []),
            *([("environment", sorted(asset.environment.items()))] if asset.environment else []),
            *_code(asset, code),
        )
    )


def _body(asset: Asset, analysis: Analysis | None) -> Any:
    body = asset.body
    if isinstance(body, PythonBody):
        return ("python", body.function, body.source, body.takes_context, body.annotations, asset.columns)
    if isinstance(body, CommandBody):
        return ("command", body.command, asset.columns)
    return ("sql", analysis.normalised if analysis is not None and analysis.usable else body.text)


def _code(asset: Asset, code: Code) -> list[Any]:
    """The files that its code uses, and the versions of its `code_packages`; nothing of an asset without any."""
    files = used.digests(code, asset.name, used.own_file(asset))
    packages = [(name, code.installed.get(name)) for name in sorted(asset.code_packages)]
    return [("code", files, packages)] if files or packages else []


def _parameters(asset: Asset, analysis: Analysis | None, project: Project) -> dict[str, Any]:
    """All that a Python or command body could look at; of SQL only what it names."""
    every = {**project.settings.parameters, **asset.parameters}
    if analysis is None:
        return every
    used = {reference.name for reference in analysis.placeholders}
    return {name: value for name, value in every.items() if name.lower() in used}
