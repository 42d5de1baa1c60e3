"""The fields that say which code an asset uses besides what can be found: `code_files` and `code_packages`."""

from __future__ import annotations

import re

from headrace.model.fields import Fields
from headrace.model.reporting import shown

PATTERNS_MAX = 100
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def read_code_files(fields: Fields) -> tuple[str, ...] | None:
    """Patterns relative to the project's folder, without `./` in front; None if there are none that can be used."""
    results = []
    for text in fields.texts("code_files"):
        pattern = text.removeprefix("./").rstrip("/")
        parts = pattern.split("/")
        if not pattern or text.startswith("/") or ".." in parts or "\\" in text or "\0" in text:
            message = f"`code_files`: {shown(text)} isn't a path below the project's folder"
            fields.refuse("code_files", message, "write it relative to headrace.toml: models/*.json")
            return None
        if any("**" in part and part != "**" for part in parts) or len(pattern) > 1_000:
            message = f"`code_files`: {shown(text)} isn't a pattern"
            fields.refuse("code_files", message, "`**` stands alone between slashes: models/**/*.json")
            return None
        results.append(pattern)
    if len(results) > PATTERNS_MAX:
        fields.refuse("code_files", f"`code_files` has more than {PATTERNS_MAX} patterns", "name their folder: models/**")
        return None
    return tuple(dict.fromkeys(results)) or None


def read_code_packages(fields: Fields) -> tuple[str, ...] | None:
    """Names of distributions, as pip writes them; None if there are none that can be used."""
    names = tuple(dict.fromkeys(fields.texts("code_packages")))
    for name in names:
        if len(name) > 200 or _PACKAGE.fullmatch(name) is None:
            message = f"`code_packages`: {shown(name)} isn't the name of a package"
            fields.refuse("code_packages", message, "write the name that pip installs, without a version: scikit-learn")
            return None
    return names or None
