"""`defaults.yaml`: fields for the declarations of its folder, and of those below, that lack them.

A field of the declaration itself wins over one of a folder, and one of the nearest folder over
those of the folders above.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.model.asset_fields import ASSET
from headrace.model.common_fields import read_fields
from headrace.model.errors import Report
from headrace.model.fields import Fields, LocatedMapping, kind_of
from headrace.model.schemas import Field
from headrace.model.source_fields import SOURCE

_OF_ONE_NODE = {"description", "inputs", "depends", "contract"}


def _defaults(declared: Iterable[Field]) -> tuple[Field, ...]:
    return tuple(
        field._replace(required=False)
        for field in declared
        if field.read is not None and field.name not in _OF_ONE_NODE
    )


DEFAULTS = {"sources": _defaults(SOURCE), "assets": _defaults(ASSET)}
"""The fields that a `defaults.yaml` may have, by the project's folder that it is in."""


def read_defaults(document: Any, report: Report) -> LocatedMapping:
    """Return the fields of a file that can be used, and report the others."""
    if not isinstance(document, LocatedMapping):
        message = f"defaults must be a mapping, not {kind_of(document)}"
        report.error("wrong_type", 1, message, "write owner: …, partition: …")
        return LocatedMapping(1)
    declared = DEFAULTS[report.file.partition("/")[0]]
    fields = Fields(document, report, {field.name for field in declared}, what="defaults")
    usable = LocatedMapping(document.line)
    for field in declared:
        before = len(report.problems)
        if read_fields(fields, [field]) and len(report.problems) == before:
            usable.put(field.name, document[field.name], document.lines[field.name])
    return usable
