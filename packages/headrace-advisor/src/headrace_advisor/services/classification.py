"""`classify --suggest`: proposes classifications by names and by the form of values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from headrace.compiler.lineage import compile_lineage
from headrace.extension import CHANGE, Argument, ProjectSession, command
from headrace.plan.compiled import is_view
from headrace.privacy.masking import classified_rows, column_limits
from headrace.project import lake_files
from headrace.project.read_queries import ReadQuery
from headrace.project.selection import selected
from headrace.project.session import usable
from headrace.services.read import ReadLocation, find
from headrace_advisor.responses.classification import SuggestedClassRow

ROWS_MAX = 1_000
"""Rows of a table that are looked at."""
SHARE_MIN = 0.8
"""Share of a column's values that must have a form."""
CHARACTERS_MAX = 200
"""Longer values have none of the forms."""
VALUES_MIN = 5
"""Fewer values say nothing about a column's form."""


class _Rule(NamedTuple):
    """What a name or the form of values suggests; `mask` is written as in YAML."""

    what: str
    classification: str
    mask: str
    names: str = ""
    """A regular expression for the words of a name."""
    values: str = ""
    """A regular expression for whole values."""


_HASH, _REDACT, _FIRST = "{method: hash}", "{method: redact}", "{method: truncate, keep: 1}"
_YEAR = "{method: generalise, to: year}"
_PERSONS = "first|last|full|sur|family|given|customer|person|contact"
RULES = (
    _Rule("an IBAN", "personal", _HASH, "iban",
          r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7} ?[A-Z0-9]{0,4}"),
    _Rule("an e-mail address", "personal", _HASH, "e_?mail|mail_address",
          r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
    _Rule("a card number", "secret", _HASH, "(credit_?)?card(_?(number|no))?|pan",
          r"\d{4}(?:[ -]?\d{4}){3}"),
    _Rule("a phone number", "personal", _HASH, "(tele)?phone(_?number)?|mobile|fax",
          r"\+\d[\d ()/-]{6,18}\d"),
    _Rule("an IP address", "personal", _HASH, "ip(_?address)?", r"(?:\d{1,3}\.){3}\d{1,3}"),
    _Rule("a password or key", "secret", _REDACT, "password|passwd|secret|api_?key|token|pin"),
    _Rule("an identity number", "secret", _HASH,
          "ssn|tax_?(id|number)|passport(_?(no|number))?|national_id"),
    _Rule("a date of birth", "personal", _YEAR, "birth_?(date|day)|date_of_birth|dob|born"),
    _Rule("a person's name", "personal", _FIRST, f"({_PERSONS})_?name|surname"),
    _Rule("an address", "personal", _REDACT, "street|((home|postal|billing|shipping)_?)?address"),
)  # fmt: skip


@command(
    "classify",
    CHANGE,
    of="select",
    session="classify",
    not_for_agents="it looks at clear values, and a person decides about what it proposes",
)
def suggest_classes(
    session: ProjectSession,
    select: Annotated[
        Sequence[str], Argument("[SELECT]", help="only these sources and assets")
    ] = (),
) -> list[SuggestedClassRow]:
    """Return classifications and masks that columns may need, with the reason; changes nothing.

    Columns that are classified, or derived from classified ones, aren't among them. At most 1,000
    published rows of each table are looked at, without columns that the caller may not read; no
    value is in the response.
    """
    compiled = session.compiled or usable(session.declared())
    nodes = [
        name
        for name in (selected(session, list(select), []) if select else compiled.order)
        if session.project().source_or_asset(name) is not None
    ]
    lineage = compile_lineage(compiled, session.data_folder / "cache")
    known = classified_rows(compiled, lineage, nodes)
    rows: list[SuggestedClassRow] = []
    for node in nodes:
        location = _published(session, node)
        table_columns = () if location is None or location.table is None else location.table.columns
        every = (
            *(compiled.nodes[node].column_names or ()),
            *(column.name for column in table_columns),
        )
        names = [name for name in dict.fromkeys(every) if f"{node}.{name}".lower() not in known]
        rows += _suggested(node, names, _samples(session, node, location, names))
    return rows


def _suggested(
    node: str, names: Iterable[str], samples: dict[str, list[str]]
) -> Iterator[SuggestedClassRow]:
    for name in names:
        values = samples.get(name, [])
        for rule in RULES:
            because = _because(rule, name, values)
            if because:
                yield SuggestedClassRow(
                    column=f"{node}.{name}",
                    classification=rule.classification,
                    mask=rule.mask,
                    because=because,
                )
                break


def _because(rule: _Rule, name: str, values: Sequence[str]) -> str:
    """Return why a rule fits a column; empty if it doesn't."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_").replace(" ", "_")
    if rule.names and re.fullmatch(rf"(?:.*_)?(?:{rule.names})", words):
        return f"the name says {rule.what}"
    if not rule.values or len(values) < VALUES_MIN:
        return ""
    fitting = sum(re.fullmatch(rule.values, value) is not None for value in values)
    if fitting < SHARE_MIN * len(values):
        return ""
    return f"{fitting:,} of {len(values):,} values have the form of {rule.what}"


def _published(session: ProjectSession, node: str) -> ReadLocation | None:
    """Return where a node's published rows are; None if it has none."""
    if session.compiled is None or is_view(session.project(), node):
        return None
    location = find(session, ReadQuery(asset=node))
    return location if location.table is not None and location.files else None


def _samples(
    session: ProjectSession, node: str, location: ReadLocation | None, names: Collection[str]
) -> dict[str, list[str]]:
    """Return some values of text columns that the caller may read, by column."""
    if location is None or location.table is None:
        return {}
    limits = column_limits(session, node)
    unreadable = {
        *limits.names,
        *limits.left_out_of(column.name for column in location.table.columns),
    }
    columns = [
        column.name
        for column in location.table.columns
        if column.type == "VARCHAR"
        and column.name in names
        and column.name.lower() not in unreadable
    ]
    return _texts(session, location, columns) if columns else {}


def _texts(
    session: ProjectSession, location: ReadLocation, columns: Sequence[str]
) -> dict[str, list[str]]:
    from headrace.lake import reading

    session.close()  # a process has either the state or DuckDB open
    assert location.table is not None
    with lake_files.naming_damage(session, location.files):
        rows: Sequence[dict[str, Any]] = reading.read(
            Path(location.lake), location.files, location.table, columns=columns, limit=ROWS_MAX
        ).rows
    return {
        name: [text for row in rows if (text := row[name]) and len(text) <= CHARACTERS_MAX]
        for name in columns
    }
