"""What `demo` prints, at four widths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from screen_lab import NOW, WIDTHS, printed, require_fit, require_same

from headrace import responses as d
from headrace_demo.cli import render_demo
from headrace_demo.responses import DemoEvent, DemoResponse

SCREENS_FOLDER = Path(__file__).parent / "screens"
COUNTS = d.Counts(sources=5, assets=12, consumers=3, contracts=1)
DEMO = DemoResponse(
    directory="demo",
    now=NOW,
    resumed=False,
    counts=COUNTS,
    owners=4,
    first="2013-01-01",
    last="2013-02-13",
    days=44,
    days_published=41,
    rows=35530,
    seconds=14.2,
    data="New York flights 2013 (CC0), from the package registry",
    data_seconds=2.1,
    events=[
        DemoEvent(
            partition="2013-02-08",
            state="warned",
            node="flights_clean",
            message="472 of 930 cancelled, every flight after 17:00; published",
        ),
        DemoEvent(
            partition="2013-02-11",
            state="held",
            node="flights",
            message="2 columns renamed without notice",
            injected=True,
        ),
    ],
    next="headrace status",
)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_screen_looks_as_it_should(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a table that is cut, or a shell line that is broken."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # a shell finds our `headrace`
    monkeypatch.delenv("UV", raising=False)
    text = printed(DEMO, render_demo, width)
    require_same(text, SCREENS_FOLDER / f"demo.{width}.txt")
    require_fit(text, width)


@pytest.mark.parametrize("began_by_uv", [False, True])
def test_the_demo_activates_the_environment_where_a_shell_would_not_find_it(
    monkeypatch: pytest.MonkeyPatch, began_by_uv: bool
) -> None:
    """Would catch: `uvx headrace demo`, whose environment only it has on its path."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent) if began_by_uv else "/nowhere")
    if began_by_uv:
        monkeypatch.setenv("UV", "/usr/bin/uv")
    if not Path(sys.prefix, "bin", "activate").exists():
        pytest.skip("not in a virtual environment")
    assert f". {sys.prefix}/bin/activate && cd demo" in printed(DEMO, render_demo, 200)
