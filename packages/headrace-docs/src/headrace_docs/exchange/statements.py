"""Statements about a project: each is what a query of its facts selects, or that Headrace has no
such fact. They are written as a page to be printed, as JSON, and with the facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace_docs.exchange.facts import Facts
from headrace_docs.exchange.names import json_text
from headrace_docs.markup import Html, bdi, document, joined, tag
from headrace_docs.responses.description import Description
from headrace_docs.site.frame import own_style

NOTHING = "none recorded"
LINES_MAX = 20
"""Lines of a statement on the page; the JSON has all."""


class Statement(NamedTuple):
    """What is asked, under which number, and the query that answers; `gap` says why there is none.

    A query selects one text a line.
    """

    number: str
    asks: str
    query: str = ""
    gap: str = ""


class Answer(NamedTuple):
    """A statement with the lines that its query selects."""

    statement: Statement
    lines: list[str]


def answered(facts: Facts, statements: Sequence[Statement]) -> list[Answer]:
    """Return the answers of statements, in their order."""
    return [Answer(each, facts.ask(each.query) if each.query else []) for each in statements]


def statement_files(
    described: Description, name: str, title: str, statements: Sequence[Statement]
) -> Iterator[tuple[str, str]]:
    """Yield the page, the JSON and the facts of some statements."""
    facts = Facts(described)
    answers = answered(facts, statements)
    yield f"{name}.html", statement_page(described, title, *map(_section, answers))
    yield f"{name}.json", json_text(statement_rows(described, answers))
    yield from facts.files()


def statement_rows(described: Description, answers: Sequence[Answer]) -> dict[str, object]:
    """Return answers as JSON has them, with when and for whom they are true."""
    return {
        "project": described.project,
        "env": described.env,
        "at": described.at.isoformat(timespec="seconds"),
        "version": described.version,
        "reader": described.reader,
        "statements": [
            {
                "number": each.statement.number,
                "asks": each.statement.asks,
                "query": each.statement.query or None,
                "not_covered": each.statement.gap or None,
                "answer": each.lines or ([NOTHING] if each.statement.query else []),
            }
            for each in answers
        ],
    }


def statement_page(described: Description, title: str, *contents: Html) -> str:
    """Return a page to be printed, which says when and for whom it was true."""
    about = (
        f"True at {described.at:%Y-%m-%d %H:%M} ({described.timezone}), environment"
        f" {described.env}, version {described.version or 'none'}, for {described.reader}."
        " Each answer is what its query selects from the tables in facts/."
    )
    main = tag(
        "main", tag("h1", title), tag("p", bdi(described.project)), tag("p", about), *contents
    )
    return document(f"{title} · {described.project}", own_style(), main)


def lines_of(answer: Answer) -> Html:
    """Return the first lines of an answer, and how many more there are."""
    if not answer.statement.query:
        return tag("p", f"Not covered by Headrace: {answer.statement.gap}", class_="bad")
    if not answer.lines:
        return tag("p", NOTHING, class_="bad")
    first = tag("ul", *(tag("li", bdi(line[:300])) for line in answer.lines[:LINES_MAX]))
    more = len(answer.lines) - LINES_MAX
    return joined([first, tag("p", f"and {more:,} more") if more > 0 else None])


def _section(answer: Answer) -> Html:
    given = answer.statement
    return tag(
        "section",
        tag("h2", f"{given.number} {given.asks}"),
        lines_of(answer),
        tag("p", given.gap) if given.query and given.gap else None,
        tag("pre", tag("code", given.query)) if given.query else None,
    )
