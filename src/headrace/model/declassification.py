"""`declassify` of an asset: columns that are shown although they derive from classified ones.

A reason alone shows a column to everybody. With a threshold, a column of aggregates is shown in the
rows whose group has at least `k` people, and is missing in the others.
"""

from __future__ import annotations

from headrace.model.errors import shown
from headrace.model.fields import Fields, LocatedMapping
from headrace.model.nodes import Asset, Body, Source, SqlBody, Threshold

PEOPLE_MIN, PEOPLE_MAX = 5, 1_000_000
"""Bounds of `k`: few people know about each other."""
_FIELDS = ("reason", "k", "people")


def read_declassify(fields: Fields) -> dict[str, str | Threshold]:
    """Return `declassify: {column: reason}`, or with `{reason, k, people}` instead of a reason.

    A column without a reason is reported.
    """
    block = fields.block_of("declassify")
    if block is None:
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`declassify`")
    read = {
        column: _threshold(inner, column, written)
        if isinstance(written, LocatedMapping)
        else inner.text(column)
        for column, written in block.items()
    }
    return {column: declared for column, declared in read.items() if declared}


def _threshold(outer: Fields, column: str, written: LocatedMapping) -> Threshold | None:
    what = f"the threshold of {shown(column)}"
    fields = Fields(written, outer.report, _FIELDS, what=what)
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        outer.refuse(
            column,
            f"{what} has no `{missing[0]}`",
            f"write {column[:60]}: {{reason: …, k: 10, people: the column that counts the people}}",
            code="missing_field",
        )
        return None
    reason, people = fields.text("reason"), fields.text("people")
    k = fields.whole("k", minimum=PEOPLE_MIN, maximum=PEOPLE_MAX)
    if not reason or not people or k is None:
        return None
    return Threshold(reason=reason, k=k, people=people)


def check_thresholds(fields: Fields, body: Body) -> None:
    """Report thresholds of an asset that isn't SQL."""
    block = fields.raw("declassify")
    if isinstance(body, SqlBody) or not isinstance(block, LocatedMapping):
        return
    for column, written in block.items():
        if isinstance(written, LocatedMapping):
            fields.report.error(
                "conflicting_fields",
                block.lines[column],
                f"{shown(column)} has a threshold, and this asset isn't SQL: Headrace can't see"
                " which people its code counts",
                "compute the aggregates in an SQL asset, or leave the columns classified",
            )


def declassified(node: Source | Asset | None) -> dict[str, str]:
    """Return the columns, in lower case, that an asset shows to everybody, with the reasons."""
    if not isinstance(node, Asset):
        return {}
    return {
        column.lower(): declared
        for column, declared in node.declassify.items()
        if isinstance(declared, str)
    }


def thresholds(node: Source | Asset | None) -> dict[str, Threshold]:
    """Return the columns, in lower case, that an asset shows for groups of enough people."""
    if not isinstance(node, Asset):
        return {}
    return {
        column.lower(): declared
        for column, declared in node.declassify.items()
        if isinstance(declared, Threshold)
    }


def reasons(asset: Asset) -> dict[str, str]:
    """Return the reason of each column; with a threshold, it says from how many people on."""
    return {
        column: declared
        if isinstance(declared, str)
        else f"{declared.reason} (from {declared.k} {declared.people} on)"
        for column, declared in asset.declassify.items()
    }
