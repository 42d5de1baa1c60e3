"""`tests/*.yaml`: given rows, expected rows."""

from __future__ import annotations

from typing import Any

from headrace.model.documents import Block, Items, kind_of, plain
from headrace.model.fields import Fields
from headrace.model.nodes import AssetTest
from headrace.model.reporting import Report, shown

_FIELDS = ("test", "asset", "partition", "given", "expect", "description", "parameters")


def read_tests(document: object, report: Report) -> tuple[AssetTest, ...]:
    """All tests of a file."""
    blocks: list[Any]
    if isinstance(document, Block):
        blocks = [document]
    elif isinstance(document, list):
        blocks = document
    else:
        report.error(
            "wrong_type", 1, f"tests must be a list, not {kind_of(document)}", "write - {test: name, asset: …, given: …, expect: …}"
        )
        return ()
    found = []
    for index, block in enumerate(blocks):
        if not isinstance(block, Block):
            line = document.lines[index] if isinstance(document, Items) else 1
            report.error("wrong_type", line, f"a test must be a mapping, not {kind_of(block)}", "write - test: name")
        elif (test := _test(block, report)) is not None:
            found.append(test)
    return tuple(found)


def _test(block: Block, report: Report) -> AssetTest | None:
    fields = Fields(block, report, _FIELDS, what="a test")
    name, asset = fields.required("test"), fields.required("asset")
    given = fields.mapping("given")
    for node, rows in given.items():
        if not isinstance(rows, (list, str)):
            fields.refuse("given", f"the rows given for {shown(node)} are {kind_of(rows)}", "a list of rows, or a path")
    if not isinstance(fields.raw("expect"), (list, str)):
        fields.report.error("missing_field", fields.line("expect"), f"{fields.what} expects no rows", "add expect: [{column: value}]")
        return None
    partition = fields.text("partition") if "partition" in fields else None
    if name is None or asset is None:
        return None
    return AssetTest(
        name=name,
        asset=asset,
        partition=partition,
        given=given,
        expect=plain(fields.raw("expect")),
        place=report.place(fields.line("test")),
    )
