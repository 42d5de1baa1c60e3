"""The page of the terms of `glossary.yaml`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace_docs.markup import Html, anchor, bdi, joined, link, tag
from headrace_docs.responses.description import Term, UsedColumn
from headrace_docs.site.frame import Frame, Page, facts, listed, prose


def glossary(frame: Frame) -> Iterator[Page]:
    """Yield the terms by name, and before them what is wrong with them."""
    described = frame.described
    undefined = [term.term for term in described.terms if not term.definition]
    unused = [
        term.term
        for term in described.terms
        if term.definition and not any(column.exists for column in term.used_by)
    ]
    problems = [f"{row.file}:{row.line}: {row.message}" for row in described.problems]
    about = tag(
        "p", "Terms are read from glossary.yaml as it was when the site was made.", class_="soft"
    )
    rows = [_term(term) for term in described.terms]
    yield from frame.paged(
        "glossary.html",
        "Glossary",
        rows,
        _terms,
        about,
        _named("Without a definition", undefined),
        _named("Without a column", unused),
        _problems(problems),
    )


def _terms(rows: Sequence[Html]) -> Html:
    return joined(rows) if rows else tag("p", "There are no terms.")


def _named(title: str, names: Sequence[str]) -> Html | None:
    if not names:
        return None
    links = joined((link(f"#{anchor('term', name)}", name) for name in names[:200]), ", ")
    return facts((title, links))


def _problems(lines: Sequence[str]) -> Html | None:
    if not lines:
        return None
    return joined([tag("h2", "Problems"), listed([bdi(line) for line in lines[:200]])])


def _term(term: Term) -> Html:
    return tag(
        "section",
        tag("h2", bdi(term.term), id=anchor("term", term.term)),
        prose(term.definition) or tag("p", "It isn't defined.", class_="bad"),
        facts(
            ("columns", joined((_column(column) for column in term.used_by), ", ")),
            (
                "see",
                joined((link(f"#{anchor('term', name)}", name) for name in term.see), ", "),
            ),
        ),
    )


def _column(column: UsedColumn) -> Html:
    name = f"{column.node}.{column.column}"
    if not column.exists:
        return tag("span", bdi(name), " (there is none)", class_="bad")
    return link(f"nodes/{column.node}.html#{anchor('column', column.column)}", name)
