"""Contracts as text: names that a vendor calls columns by are put into the file, which else stays as it is, comments included. Pure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.model import Refused
from headrace.model.contracts import CONVERT_PROPERTY, NAMES_PROPERTY

WIDTH = 10_000
_INDENTS = ((2, 4, 2), (2, 2, 0), (4, 4, 0), (4, 6, 4), (4, 4, 2))
"""How files are indented: mappings, lists, and where a list's dash stands."""


class Renamed(msgspec.Struct, frozen=True):
    """A column, and what files call it from an interval on."""

    column: str
    to: str
    convert: str | None = None
    """The expression over a file's columns that the values are computed from; None: no decision."""
    until: str | None = None
    """The first later interval that the expression isn't for; None: it is for all."""


def with_names(text: str, table: str, renames: Sequence[Renamed], first: str) -> str:
    """The contract's text with mappings that hold from `first` on, until the next one that is there already.

    Refused where the contract has no such column, or has another one that is called so then."""
    yaml, document = _loaded(text)
    properties = _properties(document, table)
    for rename in renames:
        column = properties.get(rename.column)
        if column is None:
            raise Refused(f"the contract has no column {rename.column[:80]!r}", hint="add it to the contract, or correct the name")
        if any(called_at(other, first) == rename.to for name, other in properties.items() if name != rename.column):
            raise Refused(
                f"{rename.to[:80]!r} is a column of the contract already: {rename.column[:80]!r} can't be called so as well",
                hint="take that column out of the contract first, or map another one",
            )
        _put(column, rename.to, first)
        _put_conversion(column, rename.convert, first, rename.until)
    return _dumped(yaml, document)


def called_at(column: Mapping[str, Any], interval: str) -> str:
    """What a column of a document is called by files of an interval."""
    for entry in _entries(column):
        until = entry.get("to")
        if str(entry.get("from")) <= interval and (until is None or interval < str(until)):
            return str(entry.get("name"))
    return str(column.get("physicalName") or column["name"])


def _loaded(text: str) -> tuple[Any, Any]:
    """The document, and what writes it as its file is indented."""
    best: tuple[int, Any, Any] | None = None
    for mapping, sequence, offset in _INDENTS:
        yaml = _yaml(mapping, sequence, offset)
        document = yaml.load(text)
        changed = len(set(_dumped(yaml, document).splitlines()) ^ set(text.splitlines()))
        if best is None or changed < best[0]:
            best = (changed, yaml, document)
        if changed == 0:
            break
    assert best is not None
    return best[1], best[2]


def _yaml(mapping: int, sequence: int, offset: int) -> Any:
    from ruamel.yaml import YAML  # 40 ms: only who writes YAML pays for it

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    return yaml


def _dumped(yaml: Any, document: Any) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _properties(document: Any, table: str) -> dict[str, Any]:
    """Name of a column, as files had it first → its entry."""
    tables = document.get("schema") or []
    wanted = [item for item in tables if table in (item.get("name"), item.get("physicalName"))] or list(tables)[:1]
    if not wanted:
        raise Refused("the contract has no schema", hint="headrace contract infer SOURCE shows one")
    return {str(item.get("physicalName") or item["name"]): item for item in wanted[0].get("properties") or ()}


def _entries(column: Mapping[str, Any]) -> list[Any]:
    custom = column.get("customProperties") or ()
    return [entry for item in custom if item.get("property") == NAMES_PROPERTY for entry in item.get("value") or ()]


def _put(column: Any, name: str, first: str) -> None:
    """Add an entry where it belongs in time; the one in force until then ends, and the next one ends it."""
    if called_at(column, first) == name:
        return
    values = _values(column)
    later = sorted(str(entry.get("from")) for entry in values if str(entry.get("from")) > first)
    for entry in values:
        until = entry.get("to")
        if str(entry.get("from")) < first and (until is None or str(until) > first):
            entry["to"] = first
    for entry in [entry for entry in values if str(entry.get("from")) == first]:
        values.remove(entry)
    values.append(_entry("name", name, first, later[0] if later else None))


def _put_conversion(column: Any, expression: str | None, first: str, until: str | None) -> None:
    """The conversion in force until `first` ends there: it was one of what files had before. It goes on at `until`."""
    custom = column.get("customProperties") or ()
    known = [entry for item in custom if item.get("property") == CONVERT_PROPERTY for entry in item.get("value") or ()]
    if not known and expression is None:
        return
    values = _values(column, CONVERT_PROPERTY)
    later = sorted(str(item.get("from")) for item in known if str(item.get("from")) > first)
    for entry in [item for item in known if str(item.get("from")) == first]:
        values.remove(entry)
    goes_on = None
    for entry in values:
        ended = entry.get("to")
        if str(entry.get("from")) < first and (ended is None or str(ended) > first):
            goes_on = (str(entry.get("expression")), None if ended is None else str(ended))
            entry["to"] = first
    if expression is not None:
        ends = min([*later[:1], *([] if until is None else [until])], default=None)
        values.append(_entry("expression", expression, first, ends))
        if goes_on is not None and until is not None and until == ends and (goes_on[1] is None or goes_on[1] > until):
            values.append(_entry("expression", goes_on[0], until, goes_on[1]))
    if not values:
        of = [item for item in column["customProperties"] if item.get("property") == CONVERT_PROPERTY]
        column["customProperties"].remove(of[0])


def _values(column: Any, of: str = NAMES_PROPERTY) -> Any:
    """The list of a property that holds from intervals on; made where there is none."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not column.get("customProperties"):
        column["customProperties"] = CommentedSeq()
    custom = column["customProperties"]
    for item in custom:
        if item.get("property") == of:
            if not item.get("value"):
                item["value"] = CommentedSeq()
            return item["value"]
    made = CommentedMap()
    made["property"], made["value"] = of, CommentedSeq()
    custom.append(made)
    return made["value"]


def _entry(key: str, value: str, first: str, until: str | None) -> Any:
    from ruamel.yaml.comments import CommentedMap

    made = CommentedMap()
    made[key], made["from"] = value, first
    if until is not None:
        made["to"] = until
    made.fa.set_flow_style()
    return made
