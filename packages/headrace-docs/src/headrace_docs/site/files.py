"""All files of a site."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from importlib.resources import files as resources

from headrace_docs.markup import tag
from headrace_docs.responses.description import Description
from headrace_docs.site.frame import Frame, Page
from headrace_docs.site.glossary_page import glossary
from headrace_docs.site.list_pages import (
    catalogue,
    changes,
    consumers,
    domains,
    incidents,
    overview,
    owners,
)
from headrace_docs.site.node_pages import NodePages

COLUMNS_MAX = 500
"""Columns of a node that the search knows."""


def site_files(described: Description) -> Iterator[Page]:
    """Yield the files of the site, in an order that depends on nothing else."""
    frame = Frame(described)
    yield overview(frame)
    for pages in (catalogue, consumers, incidents, domains, owners, glossary, changes):
        yield from pages(frame)
    terms = defaultdict(list)
    for term in described.terms:
        for column in term.used_by:
            terms[column.node, column.column.lower()].append(term.term)
    happened = defaultdict(list)
    for incident in described.incidents:
        happened[incident.cause.node].append(incident)
    nodes = NodePages(frame, terms, happened)
    for node in described.nodes:
        yield from nodes.pages(node)
    yield _search(frame)
    yield Page("search-index.js", _index(frame))
    for name in ("search.js", "style.css"):
        text = resources("headrace_docs.site").joinpath(name).read_text(encoding="utf-8")
        yield Page(name, text)


def _search(frame: Frame) -> Page:
    return frame.page(
        "search.html",
        "Search",
        tag(
            "p",
            tag("label", "Words of a name, a column, an owner, a domain or a tag", for_="words"),
        ),
        tag("input", id="words", type="search", autocomplete="off"),
        tag("p", id="said", role="status"),
        tag("ul", id="found", class_="plain"),
        tag("noscript", tag("p", "The search needs JavaScript; the catalogue has all names.")),
        part="search.html",
        script='<script src="search-index.js"></script><script src="search.js"></script>',
    )


def _index(frame: Frame) -> str:
    """Return a script with what can be found: a page of a folder can't fetch JSON."""
    described = frame.described
    items: list[list[object]] = [
        [
            node.name,
            "source" if node.kind == "source" else "asset",
            frame.address(node.name),
            " ".join(filter(None, (node.owner, node.domain, *node.tags, node.description[:300]))),
            [column.name for column in node.columns[:COLUMNS_MAX]],
        ]
        for node in described.nodes
    ]
    items += [
        [
            each.name,
            "consumer",
            frame.address(each.name),
            " ".join(filter(None, (each.standing.owner, each.domain, *each.tags))),
            [],
        ]
        for each in described.consumers
    ]
    items += [
        [term.term, "term", "glossary.html", term.definition[:300], []] for term in described.terms
    ]
    lines = ",\n".join(json.dumps(item, ensure_ascii=True) for item in items)
    return f"var headraceIndex = [\n{lines}\n];\n"
