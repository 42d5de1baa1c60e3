"""docs/reference/ says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.cli.command_table import all_commands
from headrace.services.explain import codes
from scripts import reference

pytest.importorskip("headrace_legacy")  # its formats are in the reference
DOCS = Path(__file__).parents[2] / "docs"
PAGES = reference.pages()


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_what_the_code_says(path: str) -> None:
    """Somebody changed an option, a field or a page, and not the reference: `make docs` writes it
    anew.
    """
    assert (DOCS / path).read_text(encoding="utf-8") == PAGES[path], "make docs"


def test_everything_is_in_it() -> None:
    commands, problems = PAGES["reference/commands.md"], PAGES["reference/problems.md"]
    assert all(f"### {command.name}\n" in commands for command in all_commands())
    assert all(f"## {code}\n" in problems for code in codes())
    assert "`--set k=v`" in commands
    assert "`retain_raw`" in PAGES["reference/files.md"]
    assert "## StatusResponse" in PAGES["reference/responses.md"]


def test_links_lead_somewhere() -> None:
    for path, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert ((DOCS / path).parent / target).resolve().exists(), (path, target)
