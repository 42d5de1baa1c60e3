"""Reads events of OpenLineage strictly, with the classes of the client that others read them with."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
from openlineage.client import facet_v2
from openlineage.client.generated import base


def facets() -> dict[str, type]:
    """Return schema URL → the class that reads it."""
    modules = [
        module
        for module in vars(facet_v2).values()
        if getattr(module, "__name__", "").startswith("openlineage.")
    ]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base.BaseFacet)
    ]
    return {kind._get_schema(): kind for kind in kinds}


FACETS = facets()
"""All facets that the client has."""


def read(kind: Any, value: Any, path: str = "") -> Any:
    """A JSON value as this class: nothing missing, nothing that it doesn't know, every facet under
    its own name and version.
    """
    if get_origin(kind) in (Union, UnionType):
        inner = [arg for arg in get_args(kind) if arg is not NoneType]
        return None if value is None else read(inner[0], value, path)
    if get_origin(kind) is list:
        return [read(get_args(kind)[0], item, f"{path}[]") for item in value]
    if get_origin(kind) is dict:
        return {key: read(get_args(kind)[1], item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, base.BaseFacet):
        kind, expected = FACETS[value["_schemaURL"]], kind
        assert issubclass(kind, expected), (path, kind, expected)
    if not attr.has(kind):
        assert (
            kind is Any
            or kind is float
            or issubclass(kind, base.EventType)
            or isinstance(value, kind)
        ), (path, kind, value)
        return base.EventType(value) if kind is base.EventType else value
    hints, known = get_type_hints(kind), attr.fields_dict(kind)
    assert value.keys() <= known.keys(), (path, value.keys() - known.keys())
    inner = {name: read(hints[name], item, f"{path}.{name}") for name, item in value.items()}
    return kind(**{known[name].alias: item for name, item in inner.items() if known[name].init})
