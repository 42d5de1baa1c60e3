"""What a run says of the partitions that it left waiting."""

from __future__ import annotations

import pytest

from headrace.operations.run_document import _reason
from headrace.run.orders import RunResult
from headrace.schedule.commands import WAITING_SHOWN_MAX


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
