"""Zachman's grid: six questions from six perspectives, each cell one query."""

from __future__ import annotations

from collections.abc import Iterator

from headrace_docs.exchange.facts import Facts
from headrace_docs.exchange.names import json_text
from headrace_docs.exchange.statements import (
    Answer,
    Statement,
    answered,
    lines_of,
    statement_page,
    statement_rows,
)
from headrace_docs.markup import Html, tag
from headrace_docs.responses.description import Description
from headrace_docs.site.frame import table

QUESTIONS = ("What", "How", "Where", "Who", "When", "Why")
PERSPECTIVES = ("Executive", "Business", "Architect", "Engineer", "Technician", "Enterprise")
_CELLS = {
    ("Executive", "What"): "select distinct domain from node where domain is not null order by 1",
    ("Executive", "How"): (
        "select distinct a.domain || ' reads ' || b.domain from edge join node a on a.name ="
        " edge.node join node b on b.name = edge.reads where a.domain <> b.domain order by 1"
    ),
    ("Executive", "Where"): "select env from project",
    ("Executive", "Who"): "select name || ', ' || kind from owner order by 1",
    ("Executive", "When"): (
        "select promise || ': ' || count(*) || ' consumers' from consumer where promise <> ''"
        " group by promise order by 1"
    ),
    ("Executive", "Why"): (
        "select importance || ': ' || count(*) || ' consumers' from consumer where importance is"
        " not null group by importance order by 1"
    ),
    (
        "Business",
        "What",
    ): "select term || ': ' || definition from term where definition <> '' order by 1",
    ("Business", "How"): "select consumer || ' reads ' || node from reading order by 1",
    ("Business", "Where"): (
        "select name || ' is exported to ' || target from consumer where target is not null"
        " order by 1"
    ),
    ("Business", "Who"): "select name || ': ' || owner from consumer order by 1",
    (
        "Business",
        "When",
    ): "select name || ': ' || promise from consumer where promise <> '' order by 1",
    ("Business", "Why"): (
        "select name || ': ' || description from consumer where description <> '' order by 1"
    ),
    ("Architect", "What"): "select name || ', ' || kind from node order by 1",
    ("Architect", "How"): "select node || ' reads ' || reads || ', ' || mode from edge order by 1",
    ("Architect", "Where"): "select name from node where kind = 'source' order by 1",
    ("Architect", "Who"): (
        "select distinct domain || ': ' || owner from node where domain is not null order by 1"
    ),
    ("Architect", "When"): (
        "select name || ': ' || partitions from node where partitions is not null order by 1"
    ),
    ("Architect", "Why"): "select node || ': ' || says from level order by 1",
    ("Engineer", "What"): (
        "select node || '.' || name || ' ' || coalesce(type, 'unknown') from field order by 1"
    ),
    ("Engineer", "How"): "select name || ': ' || kind from node where kind <> 'source' order by 1",
    ("Engineer", "Where"): (
        "select name || ': ' || materialize from node where materialize is not null order by 1"
    ),
    ("Engineer", "Who"): "select name || ': ' || owner from node order by 1",
    (
        "Engineer",
        "When",
    ): "select name || ': ' || retain from node where retain is not null order by 1",
    ("Engineer", "Why"): "select node || ': ' || name || ', ' || severity from test order by 1",
    ("Technician", "What"): (
        "select contract || ' ' || contract_version || ', ' || contract_status from node"
        " where contract is not null order by 1"
    ),
    (
        "Technician",
        "How",
    ): "select name || ': ' || place from node where kind <> 'source' order by 1",
    (
        "Technician",
        "Where",
    ): "select name || ': ' || place from node where kind = 'source' order by 1",
    ("Technician", "Who"): (
        "select name || ': ' || contacts || ' ways to reach them' from owner where contacts > 0"
        " order by 1"
    ),
    (
        "Technician",
        "When",
    ): "select name || ': ' || place from consumer where promise <> '' order by 1",
    ("Technician", "Why"): (
        "select node || '.' || name || ': ' || classification from field"
        " where classification is not null order by 1"
    ),
    ("Enterprise", "What"): (
        "select name || ': ' || coalesce(row_count, 0) || ' rows in ' || newest from node"
        " where newest is not null order by 1"
    ),
    ("Enterprise", "How"): (
        "select name || ': ' || verdict from node where verdict is not null order by 1"
    ),
    ("Enterprise", "Where"): "select project || ' at ' || true_at from project",
    ("Enterprise", "Who"): (
        "select 'version ' || version || ' by ' || applied_by from change order by version desc"
    ),
    ("Enterprise", "When"): (
        "select name || ': ' || published_at from node where published_at is not null order by 1"
    ),
    ("Enterprise", "Why"): "select id || ', ' || state || ': ' || summary from incident order by 1",
}
"""Perspective and question → the query of the cell."""


def zachman_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield the grid as a page and as JSON, and the facts that its cells are queries of."""
    facts = Facts(described)
    answers = answered(
        facts,
        [
            Statement(f"{perspective}/{question}", f"{question}, as {perspective} sees it", query)
            for (perspective, question), query in _CELLS.items()
        ],
    )
    yield "zachman.html", statement_page(described, "Zachman's grid", *_grid(answers))
    yield "zachman.json", json_text(statement_rows(described, answers))
    yield from facts.files()


def _grid(answers: list[Answer]) -> Iterator[Html]:
    cells = {each.statement.number: each for each in answers}
    rows = [
        tag(
            "tr",
            tag("th", perspective, scope="row"),
            *(tag("td", lines_of(cells[f"{perspective}/{question}"])) for question in QUESTIONS),
        )
        for perspective in PERSPECTIVES
    ]
    yield table("Questions by perspective", ("perspective", *QUESTIONS), rows)
    yield tag("h2", "The query of each cell")
    for each in answers:
        yield tag("p", each.statement.asks)
        yield tag("pre", tag("code", each.statement.query))
