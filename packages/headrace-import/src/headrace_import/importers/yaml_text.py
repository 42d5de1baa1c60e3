"""YAML of declarations in new projects: a field a line, each value in flow style."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import yaml


def mapping(fields: Mapping[str, Any]) -> str:
    """Return a mapping, one field a line."""
    return "".join(f"{flow(key)}: {flow(value)}\n" for key, value in fields.items())


def flow(value: Any) -> str:
    """Return a value as YAML on one line."""
    return _text(value) if isinstance(value, str) else _dumped(value)


@functools.lru_cache(maxsize=4096)
def _text(value: str) -> str:
    """Most texts are names of fields, owners and programs, which come in each file."""
    return _dumped(value)


def _dumped(value: Any) -> str:
    text = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True
    )
    return str(text).removesuffix("...\n").strip()


def in_comment(text: str) -> str:
    """Return YAML of front matter: it can't end the comment that it stands in."""
    return text.replace("*/", "* /")
