"""Why activities aren't carried."""

from __future__ import annotations


class NotCarriedError(Exception):
    """Why a task can't be carried as it is."""


class NeedsDecisionError(NotCarriedError):
    """Why a person must decide about a task; `todo` says what."""

    def __init__(self, message: str, todo: str) -> None:
        super().__init__(message)
        self.todo = todo


def newest_window_only(table: str) -> NeedsDecisionError:
    """Return why a task isn't carried that keeps only the rows of its newest window."""
    return NeedsDecisionError(
        f"each run empties `{table}` and writes one window, so that the table has only the newest"
        " window; partitions would keep them all",
        f"decide whether `{table}` keeps every window: if so, write an asset with `partition:`; if"
        " not, write an unpartitioned asset that selects the newest window from a table of all",
    )
