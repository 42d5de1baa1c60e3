"""`classification`, `personal` and `mask` of a column, in contracts, sources and assets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from headrace.model.errors import Problem, ProblemLevel, Report, did_you_mean, shown
from headrace.model.fields import Fields, LocatedMapping, kind_of
from headrace.model.nodes import Asset, ColumnClass, Project, Source

PERSONAL = "personal"
COLUMN_FIELDS = ("classification", "personal", "mask")
MASK_PROPERTY = "headrace.mask"
KEPT_CHARACTERS_MAX = 1_000
SHIFT_DAYS_MAX = 3_650
NO_DOMAIN = "default"
"""The domain of the keys of nodes that declare none."""
TIME_UNITS = ("hour", "day", "week", "month", "quarter", "year")
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "redact": (),
    "truncate": ("keep", "from"),
    "generalise": ("to",),
    "hash": ("domain",),
    "token": ("domain",),
    "date_shift": ("days", "by", "domain"),
}
"""Method → its parameters."""
METHODS = tuple(_PARAMETERS)
THRESHOLD = "threshold"
"""The method of aggregates that `declassify` shows from a number of people on."""
_BROKEN = "attacks recover what it encrypts, and NIST's draft of February 2025 drops it"
_PLAIN = "without a key, everybody finds a value by trying all of them"
_REFUSED = {
    "ff3": _BROKEN,
    "ff3-1": _BROKEN,
    "ff1": "it isn't authenticated, and short formats can be searched",
    "fpe": "format-preserving encryption isn't authenticated, and short formats can be searched",
    **dict.fromkeys(("md5", "sha1", "sha", "sha256", "sha-256", "sha512"), _PLAIN),
}
"""Methods that people know from elsewhere, and why Headrace doesn't have them."""


class DeclaredMask(msgspec.Struct, frozen=True):
    """A mask where it is declared. Columns that pass its values on have the same one."""

    declared: str
    """`mask:` as JSON text, so that masks can be compared."""
    domain: str
    table: str
    column: str

    @property
    def parameters(self) -> dict[str, Any]:
        """The method and its parameters."""
        result: dict[str, Any] = msgspec.json.decode(self.declared)
        return result


def read_column_class(written: LocatedMapping, column: str, report: Report) -> ColumnClass | None:
    """Return what a column's declaration says about its classification; None if nothing.

    `written` may have other fields. Problems are reported with their lines, all at once.
    """
    fields = Fields(written, report, tuple(written), what=f"the column {shown(column)}")
    classification = fields.text("classification") if "classification" in fields else None
    personal = fields.flag("personal") if "personal" in fields else None
    if classification is not None and not classification.strip():
        fields.refuse("classification", "`classification` is empty", "write personal or secret")
        classification = None
    if classification is None and personal:
        classification = PERSONAL
    mask = _mask(fields, column) if "mask" in fields else None
    if mask is not None and classification is None:
        fields.refuse(
            "mask",
            f"the column {shown(column)} has a mask and no classification",
            "add classification: personal, or what it is; columns without one are never masked",
            code="missing_field",
        )
        return None
    return None if classification is None else ColumnClass(name=classification, mask=mask)


def read_column_classes(
    fields: Fields, known: Collection[str], name: str = "columns"
) -> dict[str, ColumnClass]:
    """Return the classified columns among `columns: {column: {classification: …, mask: …}}`.

    Columns with another value than a mapping aren't read here.
    """
    written = fields.raw(name)
    if not isinstance(written, LocatedMapping):
        if written is not None and "type" not in known:
            fields.wrong(name, "a mapping", "write columns: {NAME: {classification: personal}}")
        return {}
    results = {}
    for column, value in written.items():
        if not isinstance(value, LocatedMapping):
            if "type" not in known:
                fields.report.error(
                    "wrong_type",
                    written.lines[column],
                    f"the column {shown(column)} must be a mapping, not {kind_of(value)}",
                    "write {classification: personal}; types stand in the contract",
                )
            continue
        Fields(value, fields.report, known, what=f"the column {shown(column)}")
        column_class = read_column_class(value, column, fields.report)
        if column_class is not None:
            results[column] = column_class
    return results


def _mask(fields: Fields, column: str) -> dict[str, Any] | None:
    block = fields.block_of("mask")
    if block is None:
        return None
    method = block.get("method")
    line = block.lines.get("method", block.line or fields.line("mask"))
    if method not in METHODS:
        _refuse_method(method, column, line, fields.report)
        return None
    parameters = _PARAMETERS[method]
    inner = Fields(block, fields.report, ("method", *parameters), what=f"the mask `{method}`")
    readers = {"truncate": _truncate, "generalise": _generalise, "date_shift": _date_shift}
    values = readers[method](inner) if method in readers else {}
    if values is None or (set(block) - {"method", *parameters}):
        return None
    if "domain" in inner and (domain := inner.text("domain")):
        values["domain"] = domain
    return {"method": method, **values}


def _refuse_method(method: object, column: str, line: int, report: Report) -> None:
    if isinstance(method, str) and method.lower() in _REFUSED:
        report.error(
            "wrong_value",
            line,
            f"{shown(method)} can't mask {shown(column)}: {_REFUSED[method.lower()]}",
            "use token (AES-SIV, reversible) or hash (HMAC-SHA-256), both with a key",
        )
        return
    named = shown(str(method)) if method is not None else "no method"
    report.error(
        "wrong_value",
        line,
        f"the mask of {shown(column)} has {named}",
        did_you_mean(str(method), METHODS) or f"write method: one of {', '.join(METHODS)}",
    )


def _truncate(fields: Fields) -> dict[str, Any] | None:
    keep = _required_number(fields, "keep", KEPT_CHARACTERS_MAX)
    side = fields.choice("from", ("start", "end"), "start") if "from" in fields else "start"
    return None if keep is None else {"keep": keep, "from": side}


def _generalise(fields: Fields) -> dict[str, Any] | None:
    to = fields.raw("to")
    if isinstance(to, str) and to in TIME_UNITS:
        return {"to": to}
    if isinstance(to, int | float) and not isinstance(to, bool) and 0 < to < float("inf"):
        return {"to": to}
    fields.refuse(
        "to" if "to" in fields else "method",
        "`generalise` needs `to`: the width of a bucket of numbers, or a unit of time",
        f"write to: 10, or to: one of {', '.join(TIME_UNITS)}",
    )
    return None


def _date_shift(fields: Fields) -> dict[str, Any] | None:
    days = _required_number(fields, "days", SHIFT_DAYS_MAX)
    if days is None:
        return None
    by = fields.text("by") if "by" in fields else None
    return {"days": days} | ({"by": by} if by else {})


def _required_number(fields: Fields, name: str, maximum: int) -> int | None:
    if name not in fields:
        fields.refuse(
            "method",
            f"`{fields.block['method']}` needs `{name}`",
            f"write {name}: a number from 1 to {maximum:,}",
            code="missing_field",
        )
        return None
    return fields.whole(name, minimum=1, maximum=maximum)


def column_classes(project: Project, name: str) -> dict[str, ColumnClass]:
    """Return the classified columns of a source or asset, in lower case, with their masks.

    What the node declares itself overrides its contract.
    """
    node = project.source_or_asset(name)
    if node is None:
        return {}
    contract = project.contracts.get(node.contract or name)
    classes = {
        column.name.lower(): ColumnClass(name=column.classification, mask=column.mask)
        for column in (contract.columns if contract is not None else ())
        if column.classification
    }
    return classes | {column.lower(): value for column, value in node.classified.items()}


def key_problems(project: Project) -> Iterator[Problem]:
    """Yield a problem for each node whose partition key is a column that it classifies."""
    for name in (*project.sources, *project.assets):
        node = project.source_or_asset(name)
        key = None if node is None else node.partition.key
        if node is not None and key is not None and key.lower() in column_classes(project, name):
            yield classified_key(node, key, ProblemLevel.ERROR)


def classified_key(node: Source | Asset, key: str, level: ProblemLevel) -> Problem:
    """Return the problem of a partition key that is classified."""
    return Problem(
        code="classified_key",
        message=f"{shown(node.name)} is partitioned by {shown(key)}, which is classified: keys of"
        " partitions stand in lists, logs, messages and file names, where no mask holds",
        hint="partition by another column, such as a region or a number without meaning elsewhere",
        place=node.place,
        level=level,
    )
