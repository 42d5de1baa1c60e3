"""Catalogues and matrices of TOGAF as a workbook: what holds which data, what reads and writes it,
and who answers for it.

Every text is a text: a name that begins like a formula isn't one.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import xlsxwriter

from headrace.extension import UsageError
from headrace_docs.exchange.names import iri, words
from headrace_docs.responses.description import Description

CHARACTERS_MAX = 32_000
"""Of a cell; Excel holds 32,767."""
COLUMNS_MAX = 16_000
"""Of a matrix; Excel holds 16,384."""
_MADE = datetime(2000, 1, 1)  # noqa: DTZ001 (the same in each workbook, so that its bytes are)
Row = Sequence[str | int | None]
Cells = Mapping[tuple[str, str], str]


def togaf_files(described: Description) -> Iterator[tuple[str, bytes]]:
    """Yield the workbook. Raise UsageError for more nodes than a matrix has columns."""
    if len(described.nodes) > COLUMNS_MAX:
        raise UsageError(
            f"there are {len(described.nodes):,} sources and assets, and a sheet holds"
            f" {COLUMNS_MAX:,}",
            hint="export a part: --as viewer:domain=NAME",
        )
    data = io.BytesIO()
    book = xlsxwriter.Workbook(data, {"in_memory": True, "strings_to_formulas": False})
    book.set_properties({"created": _MADE})
    bold = book.add_format({"bold": True})
    names = [node.name for node in described.nodes]
    for title, rows in (
        ("About", _about(described)),
        ("Data entities", _entities(described)),
        ("Applications", _applications(described)),
    ):
        _write_sheet(book, bold, title, rows)
    for title, corner, cells in (
        ("Application-data", "application", _uses(described)),
        ("Function-data", "business function", _functions(described)),
        ("Owner-data", "owner", _owners(described)),
    ):
        _write_matrix(book, bold, title, corner, names, cells)
    book.close()
    yield "togaf.xlsx", data.getvalue()


def _write_sheet(book: Any, bold: Any, title: str, rows: Iterable[Row]) -> Any:
    sheet = book.add_worksheet(title)
    sheet.freeze_panes(1, 1)
    for at, row in enumerate(rows):
        for place, value in enumerate(row):
            if isinstance(value, int):
                sheet.write_number(at, place, value)
            elif value:
                text = words(value)[:CHARACTERS_MAX]
                sheet.write_string(at, place, text, bold if at == 0 else None)
    return sheet


def _about(described: Description) -> Iterator[Row]:
    yield "fact", "value"
    yield "project", described.project
    yield "environment", described.env
    yield "true at", f"{described.at:%Y-%m-%d %H:%M} ({described.timezone})"
    yield "applied version", described.version
    yield "for", described.reader
    yield "C", "creates"
    yield "R", "reads"


def _entities(described: Description) -> Iterator[Row]:
    yield (
        *("id", "name", "description", "category", "source", "owner", "domain"),
        *("privacy classification", "retention", "state", "newest", "rows"),
        *("contract", "contract version", "contract status"),
    )
    for node in described.nodes:
        classes = sorted({each.classification for each in node.columns if each.classification})
        contract = node.contract
        yield (
            iri(described, "dataset", node.name),
            *(node.name, node.description),
            "source" if node.kind == "source" else "asset",
            *(node.place, node.owner, node.domain),
            *(", ".join(classes), node.retain, node.state, node.newest, node.rows),
            *(
                (None, None, None)
                if contract is None
                else (contract.name, contract.version, contract.status)
            ),
        )


def _applications(described: Description) -> Iterator[Row]:
    yield "id", "name", "description", "category", "source", "owner", "domain", "state"
    for node in described.nodes:
        if node.kind != "source":
            address = iri(described, "process", node.name)
            about = (node.name, node.description, f"asset in {node.kind}", node.place)
            yield address, *about, node.owner, node.domain, node.state
    for each in described.consumers:
        address = iri(described, "consumer", each.name)
        about = (each.name, each.description, "consumer", each.place)
        yield address, *about, each.standing.owner, each.domain, each.standing.state


def _write_matrix(
    book: Any, bold: Any, title: str, corner: str, names: Sequence[str], cells: Cells
) -> None:
    """Write a matrix with all nodes as columns, and a row for whatever has a cell."""
    places = {name: at for at, name in enumerate(names, 1)}
    rows = {row: at for at, row in enumerate(sorted({row for row, _ in cells}), 1)}
    sheet = _write_sheet(book, bold, title, [(corner, *names), *((row,) for row in rows)])
    for (row, name), value in cells.items():
        if name in places:
            sheet.write_string(rows[row], places[name], value)


def _uses(described: Description) -> Cells:
    cells: dict[tuple[str, str], str] = {}
    for node in described.nodes:
        if node.kind != "source":
            cells |= {(node.name, edge.node): "R" for edge in node.reads if edge.mode != "depends"}
            cells[node.name, node.name] = "C"
    for each in described.consumers:
        cells |= {(each.name, read.asset): "R" for read in each.standing.reads}
    return cells


def _functions(described: Description) -> Cells:
    """Return which domain and which consumer creates or reads what."""
    cells: dict[tuple[str, str], str] = {}
    for node in described.nodes:
        if node.domain is not None:
            cells |= {(node.domain, edge.node): "R" for edge in node.reads}
    for node in described.nodes:
        if node.domain is not None:
            cells[node.domain, node.name] = "C"
    for each in described.consumers:
        cells |= {(each.name, read.asset): "R" for read in each.standing.reads}
    return cells


def _owners(described: Description) -> Cells:
    return {(node.owner, node.name): "owns" for node in described.nodes}
