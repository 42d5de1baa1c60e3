"""Outputs on pages: a page that is stale fails, and HEADRACE_FIXTURES=write mends it."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import fits, follow, pasted

PAGE = """# A page

```console
$ printf 'one 17 s\\n\\nthree\\n'
{first}
$ printf 'a\\nb\\nc 4711\\nd\\ne\\n'; false
{second}
[exit 1]
```

The end.
"""
FRESH = PAGE.format(first="one … s\n\nthree", second="…\nc …\n…")


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_stale_page_fails_and_is_mended(tmp_path: Path) -> None:
    """Would catch: output that nobody compares, and a tool that loses what somebody shortened."""
    stale = page(tmp_path, PAGE.format(first="one … s\n\ntwo", second="…\nc …\nx"))
    with pytest.raises(AssertionError, match="expected"):
        follow(stale, tmp_path, write=False)
    follow(stale, tmp_path, write=True)
    assert stale.read_text(encoding="utf-8") == PAGE.format(
        first="one … s\n\nthree", second="…\nc …\nd\ne"
    )
    follow(stale, tmp_path, write=False)


def test_a_fresh_page_stays_as_it_is(tmp_path: Path) -> None:
    """Would catch: a tool that writes out what was left out on purpose."""
    fresh = page(tmp_path, FRESH)
    follow(fresh, tmp_path, write=True)
    assert fresh.read_text(encoding="utf-8") == FRESH


def test_another_exit_code_is_never_mended(tmp_path: Path) -> None:
    """Would catch: a command that fails now, and a page that says so without a decision."""
    with pytest.raises(AssertionError, match="exit 1, not 0"):
        follow(page(tmp_path, FRESH.replace("[exit 1]\n", "")), tmp_path, write=True)


@pytest.mark.parametrize(
    ("expected", "output", "result"),
    [
        (["…", "b"], "a\nb\nc\n", ["…", "b", "c"]),
        (["a", "…", "z"], "a\n1\n2\nz\n", ["a", "…", "z"]),
        (["a", "gone", "…", "z"], "a\n1\n2\nz\n", ["a", "1", "2", "z"]),
        (["rows  …"], "rows  3\nnext\n", ["rows  …", "next"]),
        (["a", "b"], "", []),
    ],
)
def test_lines_that_fit_are_kept(expected: list[str], output: str, result: list[str]) -> None:
    """Would catch: pasted lines that don't fit the output that they were made of."""
    assert pasted(expected, output) == result
    assert not result or fits(result, output)
