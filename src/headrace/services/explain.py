"""`explain`: the page of a problem code, or the titles of all pages."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

from headrace.model.errors import UnknownName
from headrace.project.parameters import Argument
from headrace.responses import Page

FOLDER = Path(__file__).parent.parent / "explanations"


def codes() -> list[str]:
    """Return all codes that have a page, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def explain(
    code: Annotated[str | None, Argument("[CODE]", help="as `headrace validate` prints it")] = None,
) -> list[Page]:
    """Return the page of `code`, or all pages. Raise UnknownName for a code without a page."""
    known = codes()
    if code is None:
        return [page(item) for item in known]
    page_code = code.strip().lower().replace("-", "_")
    if page_code not in known:
        raise UnknownName(f"there is no page for `{code}`", hint=_hint(page_code, known))
    return [page(page_code)]


def page(code: str) -> Page:
    """Return one page, whose first line in the file is `# code: title`."""
    text = (FOLDER / f"{code}.md").read_text(encoding="utf-8")
    head, _, body = text.partition("\n")
    title = head.removeprefix("#").strip().removeprefix(f"{code}:").strip()
    return Page(code=code, title=title, text=body.strip("\n"))


def _hint(page_code: str, known: list[str]) -> str:
    close = difflib.get_close_matches(page_code, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else "headrace explain lists all codes"
