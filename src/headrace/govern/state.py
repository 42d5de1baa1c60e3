"""The state, opened with the secrets of its address: a PostgreSQL password may be in a file or a keyring."""

from __future__ import annotations

from pathlib import Path

from headrace.govern.secrets import Secrets
from headrace.model.nodes import Settings
from headrace.store import Store, exists


def open_state(root: Path, settings: Settings, *, create: bool = False) -> Store:
    """`Store.open`, with every reference to a secret resolved. Raises what that raises, and SecretMissing."""
    return Store.open(root, settings, create=create, resolve=Secrets(root).resolved)


def state_exists(root: Path, settings: Settings) -> bool:
    """Whether a verb that writes has made the state already. Raises what `open_state` does for an address that can't be used."""
    return exists(root, settings, Secrets(root).resolved)
