"""The tutorial and the README are typed here, as a newcomer would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_lab import ROOT, WRITE, Shell, fits, follow, pasted, pattern

NEXT = re.compile(r"(?:next|then): (headrace [a-z]+ [\w-]+)")


@pytest.mark.timeout(120)
def test_tutorial_does_what_it_says(tmp_path: Path) -> None:
    """A page that promises what the command no longer does: a newcomer's first ten minutes would
    end in an error."""
    follow(ROOT / "docs" / "tutorial.md", tmp_path)


@pytest.mark.timeout(120)
def test_readme_commands_run(tmp_path: Path) -> None:
    """The README's own example fails in a fresh shell."""
    (tmp_path / "orders.csv").write_text(
        "order_id,customer,amount\n1,Ada,19.90\n2,Grace,5.00\n", encoding="utf-8"
    )
    follow(ROOT / "README.md", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_readme_shows_what_the_demo_shows(tmp_path: Path) -> None:
    """The first screen promises a status that the demo doesn't end with."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    screen = re.compile(r"    flights · prod(?:.*\n(?=    |\n))+").search(page)
    assert screen is not None
    shown = screen[0]
    shell = Shell(tmp_path, patience=150)
    code, output, errors = shell.run("headrace demo --no-serve && cd demo && headrace status")
    assert code == 0, errors
    expected = [line[4:] for line in shown.rstrip().splitlines()]
    if WRITE and not fits(["…", *expected], output):
        lines = pasted(expected, output[output.rindex("flights · prod") :])
        indented = "\n".join(f"    {line}".rstrip() for line in lines)
        (ROOT / "README.md").write_text(page.replace(shown.rstrip(), indented), encoding="utf-8")
    else:
        assert fits(["…", *expected], output), output
    for command in [
        *re.findall(r"`(headrace (?:why|lineage|fix|contract|backfill) [^`]+)`", page),
        *NEXT.findall(shown),
    ]:
        typed = command.replace("…", "x") + {
            "backfill": " --dry-run",
            "fix": " --dry-run",
            "contract": " --patch",
        }.get(command.split()[1], "")
        code, output, errors = shell.run(typed)
        assert code == 0 and "nothing to do" not in output, f"{typed}\n{output}\n{errors}"


def test_links_lead_somewhere() -> None:
    """A page was moved and those that point to it weren't."""
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_anchors_lead_to_headings() -> None:
    """Would catch: a heading that was reworded, and a link that ends at the top of its page."""
    seen = 0
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target, anchor in re.findall(
            r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text(encoding="utf-8")
        ):
            other = page.parent / target if target else page
            titles = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            seen += 1
            assert anchor in anchors, f"{page.relative_to(ROOT)} links to {target}#{anchor}"
    assert seen >= 4


def test_a_promise_that_is_not_kept_is_noticed() -> None:
    """The matcher itself lets anything pass."""
    assert pattern(["…", "a…c", "…"]).fullmatch("x\nabc\ny\n")
    assert not pattern(["…", "a…c", "…"]).fullmatch("x\nab\ny\n")
    assert not pattern(["abc"]).fullmatch("abcd\n")
