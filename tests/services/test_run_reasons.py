"""What a run says of the partitions that it left waiting."""

from __future__ import annotations

import pytest

from headrace.runtime.runs import PROPOSED, RunResult
from headrace.scheduler.events import WAITING_SHOWN_MAX
from headrace.services.run_results import _reason


@pytest.mark.parametrize(
    ("waiting", "end"),
    [
        (1, ""),
        (2, "; 1 more waits: headrace why clean"),
        (WAITING_SHOWN_MAX - 1, f"; {WAITING_SHOWN_MAX - 2} more wait: headrace why clean"),
        (WAITING_SHOWN_MAX, f"; at least {WAITING_SHOWN_MAX - 1} more wait: headrace why clean"),
    ],
)
def test_a_count_that_was_cut_is_told_as_such(waiting: int, end: str) -> None:
    """Would catch: "17 more wait" where 32 more do; a line as long as all their reasons."""
    rows = tuple(("clean", f"k{n}", "waits") for n in range(waiting))
    said = _reason(RunResult(1, "partial", rows, ()))
    assert said == f"clean@k0 waits{end}"


STALE = tuple(("bands", f"k{n}", PROPOSED) for n in range(14))
LATE = ("joined", "k0", "waits for clean k0")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((LATE, *STALE), "joined@k0 waits for clean k0"),
        (STALE[:1], f"bands@k0 {PROPOSED}"),
        (STALE, f"bands@k0 {PROPOSED}; 13 more are stale, too: headrace status"),
        (
            (LATE, ("page", "k0", "waits"), ("page", "k1", "waits")),
            "joined@k0 waits for clean k0; 2 more wait: headrace why page",
        ),
    ],
)
def test_what_is_stale_waits_for_no_run(
    rows: tuple[tuple[str, str, str], ...], expected: str
) -> None:
    """Would catch: "14 more wait: headrace why joined" of stale partitions of another node, which
    wait for nothing but a person, and of which that command says nothing."""
    assert _reason(RunResult(1, "partial", rows, ())) == expected
