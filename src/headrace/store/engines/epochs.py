"""The fence: whether the leader that writes is still the leader."""

from __future__ import annotations

from headrace.model.errors import LeaseLost


def check(epoch: int, current: int, released: int) -> None:
    """LeaseLost unless the lease is that of `epoch`; `current` and `released` are what the database says of it."""
    if current != epoch:
        raise LeaseLost(f"another leader has taken over (epoch {current}, ours is {epoch}); nothing was committed")
    if released:
        raise LeaseLost(f"the lease of epoch {epoch} was released; nothing was committed")
