"""The site in a browser, from its folder: three widths, two themes, and the search."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from documented_shop import documented_shop, opened
from playwright.sync_api import Page, expect

from benchmarks.ui_browser import CHROMIUM, browser
from headrace_docs.exchange.formats import FORMATS
from headrace_docs.services.folders import write_files
from headrace_docs.services.site import build_site, described_as

AXE = Path(__file__).parents[3] / "ui/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = (
    *("index", "catalogue", "consumers", "incidents", "domains", "owners", "glossary", "changes"),
    *("search", "nodes/clean", "nodes/orders", "consumers/morning-report"),
)
STATEMENTS = ("zachman", "gdpr", "sox")
"""Formats of `docs export` that are pages to be read."""
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium here (apt install chromium)"),
    pytest.mark.skipif(not AXE.is_file(), reason=f"axe-core isn't installed: {AXE}"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = documented_shop(tmp_path_factory.mktemp("looked-at") / "shop")
    session = opened(shop)
    described = described_as(session, None)
    build_site(session, shop / "site", described)
    for name in STATEMENTS:
        write_files(shop / "site" / name, FORMATS[name](described))
    return shop / "site"


def found_by_axe(page: Page) -> list[str]:
    page.evaluate(AXE.read_text(encoding="utf-8"))
    # it would ask for style sheets, which no page of a folder may
    result = page.evaluate(f"axe.run({{preload: false, runOnly: {json.dumps(RULES)}}})")
    assert len(result["passes"]) > 15
    return [
        f"{item['id']}: {[node['html'] for node in item['nodes']]}" for item in result["violations"]
    ]


def test_pages_keep_nobody_out_and_run_nothing(site: Path) -> None:
    """Would catch: a page that is too wide, unreadable, without names, or in which markup runs."""
    problems: list[str] = []
    with browser() as chromium:
        for theme, width in (("light", 375), ("dark", 1280), ("light", 1920)):
            context = chromium.new_context(
                color_scheme=theme, viewport={"width": width, "height": 900}
            )
            page = context.new_page()
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            for name in (*PAGES, *(f"{name}/{name}" for name in STATEMENTS)):
                page.goto((site / f"{name}.html").as_uri())
                where = f"{name} at {width} in {theme}"
                problems.extend(f"{where}: {item}" for item in found_by_axe(page))
                wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                problems.extend([f"{where}: {wide} px too wide"] * (wide > 0))
                assert page.title() != "hacked"
            context.close()
        assert not problems
        page = chromium.new_page()
        page.goto((site / "search.html").as_uri())
        page.get_by_role("searchbox").fill("AMOUNT clean")
        expect(page.get_by_role("status")).to_have_text("1 found")
        page.get_by_role("link", name="clean").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("clean")
        page.go_back()
        expect(page.get_by_role("searchbox")).to_have_value("AMOUNT clean")


CLEAN = ("Catalogue", "clean")
QUESTIONS = {
    "Who owns it?": (CLEAN, "owner", "core, mailto:core@example.com"),
    "Is it personal?": (CLEAN, "classified columns", "customer personal"),
    "Who reads it?": (CLEAN, "Read by", "page secret_margin morning-report"),
    "Is it good?": (CLEAN, "state", "fresh newest 2025-03-03, 2 rows, passed"),
    "When did it change?": (CLEAN, "file changed", "version 1, 2025-03-03 04:00 by "),
    "What breaks without it?": (CLEAN, "depend on it", "2 assets, board, morning-report"),
    "When was it right last?": (CLEAN, "passed last", "2025-03-03, published 2025-03-04 06:30"),
    "Where does this column come from?": (
        ("Catalogue", "secret_margin"),
        "revenue",
        "clean.amount, clean.day first orders.amount, orders.day",
    ),
    "How long does it take?": (CLEAN, "work in 30d", "2 attempts, "),
    "What was promised, and was it kept?": (("Consumers",), "morning-report", "05:00 daily 1 of 2"),
}
"""Question → what is clicked from the first page on, the name beside the answer, and the answer."""
BESIDE = r"""name => {
  const at = [...document.querySelectorAll("dt, h3, tr > :first-child")]
    .find(element => element.textContent.trim() === name);
  const answer = at.matches("dt, h3") ? [at.nextElementSibling] : [...at.parentElement.children];
  return answer.map(element => element.innerText).join(" ").replace(/\s+/g, " ");
}"""


def test_ten_questions_need_two_clicks_at_most(site: Path) -> None:
    """Would catch: an answer that moved to a third page, and a page of the docs that promises it."""
    page_of_docs = Path(__file__).parents[3] / "docs/how-to/document.md"
    rows = re.findall(r"^\| ([^|]*\?) \|", page_of_docs.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [*QUESTIONS]
    with browser() as chromium:
        page = chromium.new_page()
        for question, (clicks, name, answer) in QUESTIONS.items():
            assert len(clicks) <= 2, question
            page.goto((site / "index.html").as_uri())
            for click in clicks:
                page.get_by_role("link", name=click, exact=True).first.click()
            assert answer in page.evaluate(BESIDE, name), question
