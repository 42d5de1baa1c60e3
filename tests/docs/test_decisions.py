"""A page has one decision or a subject's; docs/decisions/README.md lists each page once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
HEADINGS = ["## Context", "## Decision", "## Consequences"]
ENTRY = re.compile(r"^- \[(\d{4} [^\]]+)\]\((\d{4}-[^)]+\.md)\)$", re.MULTILINE)
NAMED_IN_CODE = re.compile(r"docs/decisions/(\d{4}[a-z0-9-]*)")
CODE_FILE = re.compile(r"`((?:[a-z_]+/)+[A-Za-z_]*\.(?:py|json|txt|md|ts|tsx)|[a-z_]+/[a-z_/]+/)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_title_and_its_sections(page: Path) -> None:
    """Would catch: a page without consequences, a subject that holds one decision or an empty one,
    or a page whose title and file differ in their numbers."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {page.stem[:4]} [A-Z].{{10,90}}[^.]", lines[0]), lines[0]
    headings = [line for line in lines if line.startswith("#")][1:]
    assert headings == HEADINGS or (
        len(set(headings)) == len(headings) > 1
        and not set(headings) & set(HEADINGS)
        and all(heading.startswith("## ") for heading in headings)
    )
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        end = lines.index(following) if following else len(lines)
        assert any(lines[lines.index(heading) + 1 : end]), f"{heading} is empty"


def test_the_index_lists_each_decision_once_with_its_title() -> None:
    """Would catch: a new decision that nobody finds; a renamed one with its old title."""
    listed = ENTRY.findall((FOLDER / "README.md").read_text(encoding="utf-8"))
    titles = {
        page.name: page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        for page in PAGES
    }
    assert sorted((name, title) for title, name in listed) == sorted(titles.items())


def test_numbers_are_unique() -> None:
    """Would catch: two branches that give two decisions one number."""
    numbers = [page.stem[:4] for page in PAGES]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_names_files_that_exist(page: Path) -> None:
    """Would catch: a decision whose module was renamed, so that nobody finds its code."""
    text = page.read_text(encoding="utf-8")
    roots = (ROOT, ROOT / "src", ROOT / "src/headrace")
    missing = [
        name
        for name in CODE_FILE.findall(text)
        if not any((root / name).exists() for root in roots)
    ]
    assert not missing
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert all((FOLDER / link).exists() for link in links), links


def test_comments_name_decisions_that_exist() -> None:
    """Would catch: a comment that sends its reader to a page that was renamed."""
    files = [
        path
        for folder in ("src", "tests", "scripts", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    named = [
        (path, name)
        for path in files
        for name in NAMED_IN_CODE.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(named) > 3
    known = {page.stem for page in PAGES}
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in named if name not in known] == []
