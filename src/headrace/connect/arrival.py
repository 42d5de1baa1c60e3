"""When a delivery arrived, as far as that can be known (SEMANTICS §3). Pure; integer microseconds since 1970 UTC."""

from __future__ import annotations


def claimed(modified_us: int, now_us: int) -> int:
    """What the file claims: its modification time; one that lies after the clock's now counts as now."""
    return min(modified_us, now_us)


def arrival(claimed_us: int, observed_us: int, last_unseen_us: int | None) -> int:
    """min(observed, max(claimed, the last look that didn't see it)); without such a look the claim is all there is."""
    latest_absence = claimed_us if last_unseen_us is None else max(claimed_us, last_unseen_us)
    return min(observed_us, latest_absence)
