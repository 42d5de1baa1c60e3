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
    code_files = (*SOURCE.rglob("*.py"), *SOURCE.parents[1].glob("packages/*/src/**/*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in code_files)
    unused = [code for code in codes() if not re.search(rf"""["']{code}["']""", text)]
    assert not unused


PAGES = sorted(FOLDER.glob("*.md"))
LABEL = re.compile(r"^(Why|Wrong|Right)\b[^:\n]*:", re.MULTILINE)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_a_title_and_is_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {path.stem}: \S.*", lines[0]), "the first line is `# code: one clause`"
    assert len(lines) <= 60
    assert re.fullmatch(r"[a-z][a-z0-9_]*", path.stem)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_says_what_why_and_what_instead(path: Path) -> None:
    """Would catch: a page that doesn't say why something is refused, or that shows no way out."""
    body = path.read_text(encoding="utf-8").partition("\n")[2]
    what, *parts = LABEL.split(body)
    labels, texts = parts[::2], parts[1::2]
    assert labels[:3] == ["Why", "Wrong", "Right"], (
        "after what it means: `Why:`, `Wrong:` and `Right:`, in this order"
    )
    assert set(labels[3:]) <= {"Right"}, "nothing is explained or shown wrong twice"
    assert all(len(text.strip()) > 2 for text in (what, *texts)), "a part is empty"


def test_no_page_tells_of_a_part_of_a_command_line() -> None:
    """Would catch: a command that a line end cuts in two: whoever copies it runs half of it."""
    for path in PAGES:
        prose = re.sub(
            r"^```.*?^```$|^    .*$",
            "",
            path.read_text(encoding="utf-8"),
            flags=re.DOTALL | re.MULTILINE,
        )
        assert [line for line in prose.splitlines() if line.count("`") % 2] == [], path.stem


def test_an_unknown_code_is_said_with_what_is_close() -> None:
    known = codes()[0]
    with pytest.raises(UsageError) as error:
        explain(known[:-1])
    assert known in error.value.hint


def test_dashes_and_capitals_are_understood() -> None:
    known = next(code for code in codes() if "_" in code)
    assert explain(known.replace("_", "-").upper())[0].code == known
