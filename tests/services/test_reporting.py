"""A run's progress: what is counted, and of what."""

from __future__ import annotations

import pytest

from headrace.acts.run_progress import Reporting
from headrace.runtime.runs import News


class Counting:
    """A progress that only counts."""

    def __init__(self) -> None:
        self.done = 0

    def start(self, what: str, total: int | None) -> None: ...
    def ahead(self, text: str) -> None: ...
    def note(self, line: str) -> None: ...
    def finish(self) -> None: ...

    def advance(self, n: int = 1) -> None:
        self.done += n


@pytest.mark.parametrize(("total", "done"), [(2, 2), (None, 3)])
def test_what_is_made_again_counts_once_of_a_total(total: int | None, done: int) -> None:
    """Would catch: "55 of 44" of a backfill whose inputs a vendor delivered again meanwhile."""
    progress = Counting()
    with Reporting(progress, "backfill", total) as told:
        for key in ("2025-01-05", "2025-01-06", "2025-01-05"):
            told(News("totals", key, "staged", "passed", ""))
        told(News("totals", "2025-01-05", "published", "passed", ""))
    assert progress.done == done
