"""What a screen reader is given of each page on the demo's broken morning, compared with
aria_trees/, and what is left of each page at a zoom of 400 %.

`HEADRACE_FIXTURES=write` writes the trees anew; read what changed before you keep it. Numbers, times
and dates are `#` in them; of a table's rows and a list's items the first ones are kept; addresses
and what depends on measured durations are left out.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from browser_lab import Site, browser, open_page
from playwright.sync_api import Page, Request
from serve_lab import headrace, serving
from test_pages import DRAWN
from test_pictures import DEMO, WINDOW, ZONE

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]
KEPT = Path(__file__).with_name("aria_trees")
ANEW = f"HEADRACE_FIXTURES=write .venv/bin/python -m pytest -m long packages/headrace-ui/tests/ui/{Path(__file__).name}"
LINES_SHOWN = 60
QUIET = 3
"""How often in a row the page has nothing to do and waits for nothing."""
IDLE = f"() => new Promise((done) => requestIdleCallback(done)).then({DRAWN})"
FIRST = {"rowgroup": 2, "list": 20, "listbox": 3, "combobox": 3}
"""How many children of such a node are kept."""
DAY = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
UNIT = r"(ms|s|min|h|days?|weeks?|B|kB|MB|GB)"
MASKS = (
    (r"\b([0-9a-f]{32}|(?<=p-)[0-9a-f]{16})\b", "0"),
    (r"\[level=(\d)\]", r"[level=~\1]"),
    (rf"\b{DAY} (?=\d)", ""),
    (rf"(?<![A-Za-z0-9~])[-+−]?\d[\d,.:–-]*(?<=\d)( ?%| {UNIT}\b)?", "#"),
    (r"(# )+#", "#"),
    (r"(# to #: #, )+", ""),
    (r"~", ""),
    (r"\bfound at once", "found # later"),
    (r"[\w.-]+@[\w.-]+ person", "WHO person"),
    (r"(Theme: .*\n +- text: ).*", r"\1WHO"),
    (r"; #: [\w, ]+ slower", ""),
)
MEASURED = re.compile(r'group "(Nodes|Use|Timeline|Attempts|Delay ledger|What \S+ waited for)"')
"""Tables whose rows come and go, or change places, with how long things took: only their columns
are kept.
"""
LEFT_OUT = re.compile(
    r"/url:|region \"Slots and pools|heading \"Slower than before|group \"What became slower"
    r"|paragraph: \"?(Of # waited|[\w-]+ waited #)|paragraph:\n +- text: \"?# more took"
)
"""Nodes that come and go, or are worded, with how long things took; and addresses."""
ONLY_HERE = {"calendar-tonight": "/calendar?tonight=simulated"}
"""Name → address of what takes too long for every test of pages."""
ZOOMED = {"width": 320, "height": 256}
"""What 1280 × 1024 pixels have room for at 400 %."""
BARS_MAX = 0.5
"""Of the height: what stays in sight while the page scrolls."""
BARS = """() => {
  scrollTo(0, (document.documentElement.scrollHeight - innerHeight) / 2);
  const stays = (one) => ['sticky', 'fixed'].includes(getComputedStyle(one).position) || (one.parentElement && stays(one.parentElement));
  const rows = [...Array(innerHeight).keys()];
  return rows.filter(y => stays(document.elementFromPoint(innerWidth / 2, y) ?? document.body)).length / innerHeight;
}"""
ROOM_MIN = 0.5
"""Of the height: a table that scrolls in itself."""
LOWEST = """() => Math.min(1, ...[...document.querySelectorAll('main :is(.scroll, .rows-scroll)')]
  .filter(one => one.scrollHeight > one.clientHeight + 1).map(one => one.clientHeight / innerHeight))"""
REACHED = """async () => {
  const heading = document.querySelector('main h1');
  heading.scrollIntoView();
  const box = heading.getBoundingClientRect();
  const seen = document.elementFromPoint(box.left + 4, box.top + box.height / 2);
  return heading.contains(seen) || (seen?.contains(heading) ?? false);
}"""


class Seen(NamedTuple):
    """A page's tree, and what is wrong with it at 400 %."""

    tree: str
    zoomed: tuple[str, ...]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    """Each page by name, opened once."""
    root = tmp_path_factory.mktemp("trees") / "demo"
    headrace(root.parent, "demo", str(root), "--no-serve")
    with browser() as chromium, serving(root) as server:
        site = Site(chromium, server)
        with site.page(**WINDOW, zone=ZONE) as page:
            asked = Asked(page)
            addresses = DEMO.named() | ONLY_HERE
            result = {name: seen(page, path, asked) for name, path in addresses.items()}
            open_page(page, "/")
            asked.answered()
            frame = "\n".join(
                page.get_by_role(role).first.aria_snapshot() for role in ("banner", "navigation")
            )
            yield result | {"frame": Seen(tree(frame), ())}
        assert site.problems == []


class Asked:
    """What a page has asked the server for, and not been given yet."""

    def __init__(self, page: Page) -> None:
        self.page, self.waits = page, set[Request]()
        page.on("request", self._begun)
        page.on("requestfinished", self._ended)
        page.on("requestfailed", self._ended)

    def answered(self) -> None:
        """Return when the page has shown all that it asked for: panels that come late, too."""
        quiet = 0
        while quiet < QUIET:
            self.page.evaluate(IDLE)
            quiet = 0 if self.waits else quiet + 1

    def _begun(self, request: Request) -> None:
        if request.resource_type != "eventsource":
            self.waits.add(request)

    def _ended(self, request: Request) -> None:
        self.waits.discard(request)


def seen(page: Page, path: str, asked: Asked) -> Seen:
    open_page(page, path)
    asked.answered()
    kept = tree(page.get_by_role("main").aria_snapshot())
    page.set_viewport_size(ZOOMED)
    page.evaluate(DRAWN)
    zoomed = [
        message
        for message, wrong in {
            "scrolls sideways": page.evaluate("document.documentElement.scrollWidth")
            > ZOOMED["width"],
            "bars hide the page": page.evaluate(BARS) > BARS_MAX,
            "a table has no room": page.evaluate(LOWEST) < ROOM_MIN,
            "its heading can't be reached": not page.evaluate(REACHED),
        }.items()
        if wrong
    ]
    page.set_viewport_size(WINDOW)
    return Seen(kept, tuple(zoomed))


def test_a_screen_reader_is_given_what_it_was_given(pages: dict[str, Seen]) -> None:
    """Would catch: a button without a name, a heading in the wrong place, a panel that became a
    plain box, a name that is read twice."""
    if os.environ.get("HEADRACE_FIXTURES") == "write":
        for path in KEPT.glob("*.yaml"):
            path.unlink()
        KEPT.mkdir(exist_ok=True)
        for name, page in pages.items():
            (KEPT / f"{name}.yaml").write_text(page.tree, encoding="utf-8")
    kept = {path.stem: path.read_text(encoding="utf-8") for path in KEPT.glob("*.yaml")}
    now = {name: page.tree for name, page in pages.items()}
    differences = [
        line
        for name in sorted(kept | now)
        for line in difflib.unified_diff(
            kept.get(name, "").splitlines(),
            now.get(name, "").splitlines(),
            f"{name}.yaml",
            f"{name} now",
            lineterm="",
        )
    ]
    shown = "\n".join(differences[:LINES_SHOWN])
    assert not differences, f"{shown}\n\nIf that is what you wanted: {ANEW}"


def test_a_page_at_400_percent_scrolls_one_way_and_keeps_its_room(pages: dict[str, Seen]) -> None:
    """Would catch: a page that scrolls sideways or bars that leave no room for it, for a reader who
    enlarges it."""
    assert {name: page.zoomed for name, page in pages.items() if page.zoomed} == {}


def tree(snapshot: str) -> str:
    """The snapshot with what changes from run to run masked or left out."""
    return "".join(f"{line}\n" for line in _kept(_masked(snapshot).splitlines()))


def _masked(snapshot: str) -> str:
    for pattern, mask in MASKS:
        snapshot = re.sub(pattern, mask, snapshot)
    return snapshot


def _kept(lines: list[str]) -> Iterator[str]:
    """Of the nodes beside each other: those that differ, each with its children."""
    before: set[str] = set()
    for first, children in _nodes(lines):
        head = re.sub(r"^( *- )'?row .*:$", r"\1row:", first)
        below = list(_kept(_first(head, children)))
        node = "\n".join([head, *below])
        if node not in before and not LEFT_OUT.match("\n".join([head.lstrip(" -"), *below])):
            before.add(node)
            yield head
            yield from below


def _first(head: str, children: list[str]) -> list[str]:
    """The children of a node that are kept."""
    if MEASURED.search(head):
        rows = [n for n, line in enumerate(children) if line.endswith("- rowgroup:")]
        return children[: rows[1] if len(rows) > 1 else None]
    nodes = list(_nodes(children))[: FIRST.get(head.split()[1].rstrip(":"))]
    return [line for first, below in nodes for line in (first, *below)]


def _nodes(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each node's first line and the lines below it."""
    indent = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    starts = [n for n, line in enumerate(lines) if len(line) - len(line.lstrip()) == indent]
    for start, end in zip(starts, [*starts, len(lines)][1:], strict=True):
        yield lines[start], lines[start + 1 : end]
