"""`explain`: every code that is used has a page, and every page is about a code that is used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headrace.model import UsageError
from headrace.services.explain import FOLDER, codes, explain

SOURCE = Path(__file__).parents[2] / "src/headrace"
_USED = (
    re.compile(r"""\bcode=["']([a-z][a-z0-9_]*)["']"""),
    re.compile(r"""(?:report|self)\.(?:error|warning)\(\s*["']([a-z][a-z0-9_]*)["']"""),
)


def used() -> dict[str, str]:
    """Code → a file that uses it."""
    return {
        code: path.name
        for path in SOURCE.rglob("*.py")
        for pattern in _USED
        for code in pattern.findall(path.read_text(encoding="utf-8"))
    }


def test_every_code_has_a_page() -> None:
    """A code in a message that `headrace explain` doesn't know leads nowhere."""
    missing = {code: file for code, file in used().items() if code not in codes()}
    assert not missing


def test_every_page_is_about_a_code_that_is_used() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    unused = [code for code in codes() if not re.search(rf"""["']{code}["']""", text)]
    assert not unused


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_has_a_title_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {path.stem}: \S.*", lines[0]), "the first line is `# code: one clause`"
    assert len(lines) <= 60
    assert re.fullmatch(r"[a-z][a-z0-9_]*", path.stem)


def test_an_unknown_code_is_said_with_what_is_close() -> None:
    known = codes()[0]
    with pytest.raises(UsageError) as error:
        explain(known[:-1])
    assert known in error.value.hint


def test_dashes_and_capitals_are_understood() -> None:
    known = next(code for code in codes() if "_" in code)
    assert explain(known.replace("_", "-").upper())[0].code == known
