from __future__ import annotations

import re
from pathlib import Path

import headrace

ROOM = Path(headrace.__file__).parent / "connect"
PAGES = Path(headrace.__file__).parent / "explanations"
CODE = re.compile(r'(?:code(?:: str)?=|code: str = |notes\.add\(\s*)"([a-z_]+)"')


def test_each_code_has_a_page() -> None:
    """Would catch: `headrace explain CODE` that knows nothing of a code that a delivery was refused
    with.
    """
    codes = {code for file in ROOM.rglob("*.py") for code in CODE.findall(file.read_text())}
    assert {"delivery_empty", "several_deliveries", "unreadable_delivery"} <= codes
    for code in codes:
        page = (PAGES / f"{code}.md").read_text()
        assert page.startswith(f"# {code}: ")
        assert "Wrong" in page
        assert "Right" in page
        assert len(page.splitlines()) <= 22
