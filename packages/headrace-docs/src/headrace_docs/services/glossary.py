"""`glossary.yaml`: terms, what they mean, and the columns that have them.

    - term: revenue
      definition: what customers paid, without tax
      columns: [daily.revenue]
      see: [order]

It is no declaration: nothing is computed by it, so it isn't applied but read as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.extension import Fields, LocatedMapping, ProblemRow, Report, load_yaml, shown
from headrace_docs.responses.description import Term, UsedColumn

FILE = "glossary.yaml"
BYTES_MAX = 4 << 20
_FIELDS = ("term", "definition", "columns", "see")
_EXAMPLE = "write - {term: revenue, definition: TEXT, columns: [NODE.COLUMN]}"


def glossary(
    root: Path, columns: Mapping[str, Mapping[str, str]]
) -> tuple[list[Term], list[ProblemRow]]:
    """Return the terms by name, and the problems of the file with their lines.

    `columns` has the columns of each node, lower-case name → name. Terms that are only named by
    others are among the terms, without a definition. There are none without the file.
    """
    report = Report(FILE)
    terms: dict[str, Term] = {}
    for fields in _entries(_text(root / FILE, report), report):
        name = fields.required("term", _EXAMPLE)
        if name is None:
            continue
        if name in terms:
            line = fields.line("term")
            report.error(
                "duplicate_name", line, f"the term {shown(name)} has two entries", "join them"
            )
            continue
        terms[name] = Term(
            term=name,
            definition=fields.text("definition") or "",
            see=list(fields.texts("see")),
            used_by=_used(fields, columns, report),
        )
    for name in [name for term in terms.values() for name in term.see if name not in terms]:
        terms[name] = Term(term=name, definition="", see=[], used_by=[])
    rows = [
        ProblemRow(
            severity=problem.level.value,
            code=problem.code,
            message=problem.message,
            hint=problem.hint,
            file=problem.place.file,
            line=problem.place.line,
        )
        for problem in report.problems
    ]
    return sorted(terms.values(), key=lambda term: (term.term.lower(), term.term)), rows


def _text(file: Path, report: Report) -> str:
    try:
        data = file.read_bytes() if file.stat().st_size <= BYTES_MAX else None
    except FileNotFoundError:
        return ""
    except OSError as error:
        report.error("unreadable_file", 1, f"it can't be read: {error.strerror}")
        return ""
    if data is None:
        limit = f"the file is larger than {BYTES_MAX:,} bytes"
        report.error("file_too_large", 1, limit, "keep terms and their definitions there")
        return ""
    try:
        return data.decode()
    except UnicodeDecodeError:
        report.error("not_utf8", 1, "the file isn't UTF-8", "save it as UTF-8")
        return ""


def _entries(text: str, report: Report) -> list[Fields]:
    written = load_yaml(text, report) if text.strip() else None
    if written is None:
        return []
    if not isinstance(written, list):
        report.error("wrong_type", 1, f"{FILE} must be a list of terms", _EXAMPLE)
        return []
    entries = []
    for item in written:
        if isinstance(item, LocatedMapping):
            entries.append(Fields(item, report, _FIELDS, what="a term"))
        else:
            report.error("wrong_type", 1, "an entry must be a mapping", _EXAMPLE)
    return entries


def _used(
    fields: Fields, columns: Mapping[str, Mapping[str, str]], report: Report
) -> list[UsedColumn]:
    rows = []
    for text in fields.texts("columns"):
        node, dot, column = text.partition(".")
        exists = column.lower() in columns.get(node, {})
        if not dot:
            message = f"{shown(text)} names no column"
            report.warning("wrong_value", fields.line("columns"), message, "write NODE.COLUMN")
        elif not exists:
            message = f"there is no column {shown(text)}"
            hint = "name a column that is applied, or drop it"
            report.warning("unknown_column", fields.line("columns"), message, hint)
        name = columns.get(node, {}).get(column.lower(), column)
        rows.append(UsedColumn(node=node, column=name, exists=exists))
    return rows
