"""`tests/*.yaml`: given rows, expected rows."""

from __future__ import annotations

from typing import Any

from headrace.model.documents import Items, LocatedMapping, kind_of, plain
from headrace.model.fields import Fields
from headrace.model.nodes import AssetTest
from headrace.model.parameters import read_parameters
from headrace.model.reporting import Report, shown

FIELDS = ("test", "asset", "partition", "given", "expect", "expect_error", "checks", "ordered", "description", "parameters")
OUTCOMES = ("passes", "fails")


def read_tests(document: object, report: Report) -> tuple[AssetTest, ...]:
    """All tests of a file."""
    blocks: list[Any]
    if isinstance(document, LocatedMapping):
        blocks = [document]
    elif isinstance(document, list):
        blocks = document
    else:
        report.error(
            "wrong_type", 1, f"tests must be a list, not {kind_of(document)}", "write - {test: name, asset: …, given: …, expect: …}"
        )
        return ()
    tests = []
    for index, block in enumerate(blocks):
        if not isinstance(block, LocatedMapping):
            line = document.lines[index] if isinstance(document, Items) else 1
            report.error("wrong_type", line, f"a test must be a mapping, not {kind_of(block)}", "write - test: name")
        elif (test := _test(block, report)) is not None:
            tests.append(test)
    return tuple(tests)


def _test(block: LocatedMapping, report: Report) -> AssetTest | None:
    fields = Fields(block, report, FIELDS, what="a test")
    name, asset = fields.required("test"), fields.required("asset")
    expects = _expects(fields)
    if "description" in fields:
        fields.text("description")
    results: dict[str, Any] = {
        "partition": fields.text("partition") if "partition" in fields else None,
        "given": _given(fields),
        "ordered": fields.flag("ordered") or False,
        "parameters": read_parameters(fields),
        "checks": _checks(fields),
    }
    if name is None or asset is None or expects is None:
        return None
    return AssetTest(name=name, asset=asset, **results, **expects, place=report.place(fields.line("test")))


def _given(fields: Fields) -> dict[str, Any]:
    given = fields.mapping("given")
    for node, rows in given.items():
        if not _is_rows(rows):
            fields.refuse("given", f"the rows given for {shown(node)} are {kind_of(rows)}", "a list of rows, or a path")
    return given


def _is_rows(value: Any) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (isinstance(value, list) and all(isinstance(row, dict) for row in value))


def _expects(fields: Fields) -> dict[str, Any] | None:
    """What must come of it: rows, an error, or outcomes of checks; at least one of them."""
    results: dict[str, Any] = {}
    if "expect_error" in fields:
        results["expect_error"] = fields.text("expect_error")
        if "expect" in fields:
            fields.refuse("expect_error", f"{fields.what} expects rows and an error", "keep one of them", code="conflicting_fields")
    elif "expect" in fields and _is_rows(fields.raw("expect")):
        results["expect"] = plain(fields.raw("expect"))
    elif "expect" in fields or "checks" not in fields:
        fields.report.error("missing_field", fields.line("expect"), f"{fields.what} expects no rows", "add expect: [{column: value}]")
        return None
    return results


def _checks(fields: Fields) -> dict[str, str]:
    block = fields.block_of("checks")
    if block is None:
        return {}
    inner = Fields(block, fields.report, tuple(block), what="`checks`")
    return {name: inner.choice(name, OUTCOMES, OUTCOMES[0]) for name in block}
