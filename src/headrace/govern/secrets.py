"""Secrets as they are used: references become values at the last moment, and no text that leaves a worker holds one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.model.errors import HeadraceError

_REFERENCE = re.compile(r"secret://(env|file|keyring)/(\S+)")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class SecretMissing(HeadraceError):
    """A reference to a secret that isn't there."""


class Secrets:
    """Resolves references, and remembers each value, so that `scrubbed` can take it out of texts. One a worker."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._values: set[str] = set()

    def resolved(self, value: Any) -> Any:
        """`value` with every reference in it (in nested mappings and lists too) replaced by what it refers to. Raises SecretMissing."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self.resolved(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(inner) for inner in value]
        return value

    def scrubbed(self, text: str) -> str:
        """`text` without any secret that was resolved."""
        for value in self._values:
            text = text.replace(value, "***")
        return text

    def _text(self, text: str) -> str:
        whole = _REFERENCE.fullmatch(text.strip())
        if whole:
            return self._remember(self._lookup(whole[1], whole[2]))
        return _VARIABLE.sub(lambda found: self._remember(self._lookup("env", found[1])), text)

    def _lookup(self, kind: str, name: str) -> str:
        if kind == "env":
            if name not in os.environ:
                raise SecretMissing(f"the environment variable {name} isn't set", hint=f"set {name} where headrace runs")
            return os.environ[name]
        raise SecretMissing(f"secret://{kind}/… can't be resolved yet")

    def _remember(self, value: str) -> str:
        if value:
            self._values.add(value)
        return value
