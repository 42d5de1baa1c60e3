"""What all pages have: head, navigation, when and for whom it was true; tables, and their pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib.resources import files as resources
from typing import NamedTuple
from urllib.parse import quote

from headrace_docs.markup import Html, bdi, document, joined, slug, tag
from headrace_docs.responses.description import Description

ROWS_MAX = 200
"""Rows of a list on one page."""
PARTS = (
    ("index.html", "Overview"),
    ("catalogue.html", "Catalogue"),
    ("consumers.html", "Consumers"),
    ("incidents.html", "Incidents"),
    ("domains.html", "Domains"),
    ("owners.html", "Owners"),
    ("glossary.html", "Glossary"),
    ("changes.html", "Changes"),
    ("search.html", "Search"),
)


DATED = "as-of"
"""The class of the paragraph with the time of a page."""


class Page(NamedTuple):
    """A file of the site: its path below the folder, and its text."""

    path: str
    text: str


class Frame:
    """Puts the contents of pages into the frame that all pages of a site have."""

    def __init__(self, described: Description) -> None:
        self.described = described
        self._foot = _foot(described)
        self.consumers = frozenset(row.name for row in described.consumers)
        self.names = self.consumers.union(node.name for node in described.nodes)

    def page(
        self, path: str, title: str, *contents: object, part: str = "", script: str = ""
    ) -> Page:
        """Return a page. `part` is the page of the navigation that it belongs to."""
        up = "../" * path.count("/")
        links = [
            tag(
                "li",
                tag("a", name, href=up + href, aria_current="page" if href == part else None),
            )
            for href, name in PARTS
        ]
        body = joined(
            [
                tag(
                    "header",
                    tag("p", bdi(self.described.project)),
                    tag("nav", tag("ul", *links), aria_label="Parts"),
                ),
                tag("main", tag("h1", bdi(title)), *contents),
                tag("footer", self._foot),
            ]
        )
        look = tag("link", rel="stylesheet", href=f"{up}style.css")
        heading = f"{title} · {self.described.project}"
        return Page(path, document(heading, look, body, Html(script)))

    def paged(
        self,
        path: str,
        title: str,
        rows: Sequence[Html],
        around: Callable[[Sequence[Html]], Html],
        *before: object,
        part: str = "",
    ) -> Iterator[Page]:
        """Yield the pages of a list. `around` returns the list itself from some rows."""
        count = max(1, -(-len(rows) // ROWS_MAX))
        paths = [path, *(path.replace(".html", f"-{at}.html") for at in range(2, count + 1))]
        for at, place in enumerate(paths):
            some = rows[at * ROWS_MAX : (at + 1) * ROWS_MAX]
            yield self.page(
                place,
                title if count == 1 else f"{title}, page {at + 1} of {count}",
                *(before if at == 0 else ()),
                around(some),
                pages_of(paths, at) if count > 1 else None,
                part=part or path,
            )

    def node_link(self, name: str, up: str = "") -> Html:
        """Return a link to the page of a node or a consumer."""
        return tag("a", bdi(name), href=up + self.address(name))

    def address(self, name: str) -> str:
        """Return the path of the page of a node or a consumer."""
        return f"{'consumers' if name in self.consumers else 'nodes'}/{quote(name)}.html"


def own_style() -> Html:
    """Return the style of the site, for a page that stands alone."""
    style = resources("headrace_docs.site").joinpath("style.css").read_text(encoding="utf-8")
    return tag("style", Html(style))


def domain_address(domain: str) -> str:
    """Return the path of the page of a domain."""
    return f"domains/{slug(domain)}.html"


def pages_of(paths: Sequence[str], at: int) -> Html:
    """Return the links from one page of a list to the others."""
    links = [
        tag(
            "li",
            tag(
                "a",
                number + 1,
                href=path.rpartition("/")[2],
                aria_current="page" if number == at else None,
            ),
        )
        for number, path in enumerate(paths)
    ]
    return tag("nav", tag("ul", *links), aria_label="Pages of this list")


def table(name: str, heads: Sequence[str], rows: Sequence[Html]) -> Html:
    """Return a table that scrolls by itself where it is too wide. `name` says what it lists."""
    head = tag("tr", *(tag("th", text, scope="col") for text in heads))
    inner = tag("table", tag("thead", head), tag("tbody", *rows))
    return tag("div", inner, class_="table", role="region", aria_label=name, tabindex=0)


def row(*cells: object) -> Html:
    """Return a row of a table."""
    return tag("tr", *(tag("td", "" if cell is None else cell) for cell in cells))


def facts(*pairs: tuple[str, object]) -> Html:
    """Return names with their values, without those that are None or empty."""
    parts = [
        joined([tag("dt", name), tag("dd", value)])
        for name, value in pairs
        if value is not None and value != ""
    ]
    return tag("dl", *parts)


def listed(items: Sequence[object]) -> Html:
    """Return a list without bullets."""
    return tag("ul", *(tag("li", item) for item in items), class_="plain")


def when(at: datetime | None) -> Html | None:
    """Return a time in minutes, in the time zone that it has."""
    if at is None:
        return None
    return tag("time", f"{at:%Y-%m-%d %H:%M}", datetime=at.isoformat())


_GOOD = frozenset({"fresh", "served", "resolved", "passed"})
_BAD = frozenset({"wrong", "never", "late", "open", "rejected", "held", "failed"})


def state(name: str) -> Html:
    """Return a state as a word in a colour."""
    style = "good" if name in _GOOD else "bad" if name in _BAD else "warn"
    return tag("span", name.replace("_", " "), class_=f"state {style}")


def prose(words: str) -> Html | None:
    """Return a text of a person as paragraphs; None if it is empty."""
    parts = [part.strip() for part in words.split("\n\n") if part.strip()]
    return joined(tag("p", part, dir="auto") for part in parts) if parts else None


def _foot(described: Description) -> Html:
    at = described.at
    applied = (
        f"version {described.version}"
        if described.version is not None
        else "the files; nothing is applied yet"
    )
    observed = when(described.observed_at) or "no source yet"
    limits = " Nodes that they may not see aren't here." if described.limited else ""
    return joined(
        [
            tag(
                "p",
                f"True at {at:%Y-%m-%d %H:%M} ({described.timezone}), {applied}."
                " Sources were observed last at ",
                observed,
                ".",
                class_=DATED,
            ),
            tag(
                "p",
                f"Environment {described.env}, with the rights of ",
                bdi(described.reader),
                f".{limits} Pages have names, counts and times, and no values of rows. A page that"
                " is the same when the site is built again keeps its time; the overview has the"
                " newest.",
            ),
        ]
    )
