"""When a failed attempt is tried again: by the kind of its cause, never blindly (SEMANTICS §6)."""

from __future__ import annotations

import hashlib

from headrace.schedule.states import FailureKind

BACKOFF_FIRST_US = 500_000
BACKOFF_MAX_US = 300_000_000
RESOURCES_TRIES_MAX = 2
ENVIRONMENT_WAIT_US = 15_000_000
"""How long after the disk was full it is tried whether that is over."""
INSTALLED_WAIT_US = 3_600_000_000
"""How long after a package or program was missing the next partition tries whether it is there."""
POISON_LOSSES_MAX = 3
"""Three lost workers over one partition make it poison: the loss is taken to be the body's doing."""


def retry_after_us(kind: FailureKind, failures: int, attempts_max: int, draw: float) -> int | None:
    """Microseconds until the next try after the `failures`-th failure (from 1), or None: not again until code,
    inputs or parameters change, or a person asks. `draw` in [0, 1) spreads the waits so that they don't meet."""
    if kind is FailureKind.LOST_WORKER:
        return 0 if failures < POISON_LOSSES_MAX else None
    if kind is FailureKind.RESOURCES:
        return 0 if failures < RESOURCES_TRIES_MAX else None
    if kind is FailureKind.TRANSIENT and failures < attempts_max:
        wait = min(BACKOFF_MAX_US, BACKOFF_FIRST_US * 2 ** (failures - 1))
        return int(wait * (0.75 + 0.5 * draw))
    return None


def draw(node: str, key: str, failures: int) -> float:
    """A number in [0, 1) that is the same for the same try: replaying a history waits the same."""
    digest = hashlib.blake2b(f"{node}\0{key}\0{failures}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
