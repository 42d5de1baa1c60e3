"""The files of code that assets use, as a value: who uses what, through which import, and what of it an asset's identity takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from headrace.model import Asset, PythonBody, Value


class Use(Value):
    """One reason why a file is used: it is `text` in line `line` of the file or declaration before it in the chain."""

    path: str
    text: str
    line: int


class CodeFile(Value, omit_defaults=True):
    """A file of code. `sha256` is of its bytes, `digest` of what counts of it: of Python its syntax tree."""

    sha256: str
    digest: str
    uses: tuple[Use, ...] = ()
    packages: tuple[str, ...] = ()
    """Top-level names that it imports and that the project doesn't have, without those of the standard library."""


class Code(Value, omit_defaults=True):
    """All files of code that assets use. `starts` are by asset: its own file where it is Python, or what its command names."""

    files: dict[str, CodeFile] = msgspec.field(default_factory=dict)
    starts: dict[str, tuple[Use, ...]] = msgspec.field(default_factory=dict)
    installed: dict[str, str | None] = msgspec.field(default_factory=dict)
    """The versions of the distributions that `code_packages` name; None for one that isn't installed."""

    def renamed(self, former: str, name: str) -> Code:
        """The same with an asset under its new name."""
        return msgspec.structs.replace(self, starts={**self.starts, name: self.starts.get(former, ())})


def macro_file(text: str) -> CodeFile:
    """A file of macros: fingerprints take its text."""
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return CodeFile(sha256=sha256, digest=sha256)


class CodeLink(Value):
    """A file of an asset's closure with the uses that lead to it, the asset's own first."""

    path: str
    chain: tuple[Use, ...]

    @property
    def via(self) -> str:
        """How the file is used, from the asset on: `assets/report.py:3 import lib.rates → lib/rates.py:1 from . import tax`.
        Empty for a Python asset's own file."""
        return " → ".join(self._steps())

    def _steps(self) -> Iterator[str]:
        origin = ""
        for use in self.chain:
            if use.text:
                yield f"{origin}:{use.line} {use.text}" if origin else use.text
            origin = use.path


def closure(code: Code, asset: str) -> list[CodeLink]:
    """The files of an asset's code, nearest first; of several ways to a file the shortest."""
    results: dict[str, tuple[Use, ...]] = {}
    level: list[tuple[Use, ...]] = [(use,) for use in code.starts.get(asset, ())]
    while level:
        following = []
        for chain in level:
            path = chain[-1].path
            if path in results or path not in code.files:
                continue
            results[path] = chain
            following += [(*chain, use) for use in code.files[path].uses if use.path not in results]
        level = following
    return [CodeLink(path=path, chain=chain) for path, chain in results.items()]


def changed_files(before: Code, after: Code, asset: str, own_file: str | None) -> Iterator[tuple[CodeLink, str]]:
    """The files of an asset's code, without its own, that aren't what they were by what counts of them: `added`, `changed`,
    or `removed` (then with the use that there was)."""
    was, now = _by_path(before, asset), _by_path(after, asset)
    for path, link in now.items():
        if path != own_file and path not in was:
            yield link, "added"
        elif path != own_file and before.files[path].digest != after.files[path].digest:
            yield link, "changed"
    yield from ((link, "removed") for path, link in was.items() if path not in now and path != own_file)


def digests(code: Code, asset: str, own_file: str | None) -> list[tuple[str, str]]:
    """What the fingerprint of an asset takes of its code: each file with its digest. A Python asset's own file counts by
    function (`PythonBody.source`), so that a module's other assets don't; as a whole where another file imports it back."""
    others = [link.path for link in closure(code, asset) if link.path != own_file]
    back = any(use.path == own_file for path in others for use in code.files[path].uses)
    used = [*others, own_file] if own_file is not None and back else others
    return sorted((path, code.files[path].digest) for path in used)


def own_file(asset: Asset) -> str | None:
    """The file of a Python asset's function."""
    return asset.body.file if isinstance(asset.body, PythonBody) else None


def packages(code: Code, asset: str) -> list[str]:
    """The top-level names of packages that an asset's code imports and that have to be installed."""
    return sorted({name for link in closure(code, asset) for name in code.files[link.path].packages})


def _by_path(code: Code, asset: str) -> dict[str, CodeLink]:
    return {link.path: link for link in closure(code, asset)}
