"""Code of an asset: its files and packages, what an attempt ran, and the versions in a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from headrace.compiler.installed import Installed
from headrace.model import Asset, PythonBody, SqlBody
from headrace.plan import Compiled
from headrace.plan.compiled import Environment, code_closure, imported_packages
from headrace.responses import (
    CodeFileRow,
    CodeRow,
    PackageRow,
    ProgramRow,
    PublishedCodeRow,
)
from headrace.store import Transaction
from headrace.store.queries import applied_versions, attempts, publications
from headrace.store.queries.attempts import Attempt

Sha256 = Callable[[str], str | None]
"""Path → SHA-256 of the file's bytes."""


class VersionCodeCache:
    """Applied versions, each decoded once."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._known: dict[int, tuple[Compiled, Mapping[str, str]] | None] = {}

    def code_of(self, attempt: Attempt) -> CodeRow | None:
        """Return the code that an attempt ran.

        None if it isn't an asset's or its version isn't stored.
        """
        known = self._version_of(attempt)
        if known is None or attempt.node not in known[0].project.assets:
            return None
        compiled, manifest = known
        row = _row(compiled, attempt.node, manifest.get)
        encoded_environment = attempts.environment(self._tx, attempt)
        if encoded_environment is None:
            return row
        ran = msgspec.json.decode(encoded_environment, type=Environment)
        programs = [
            ProgramRow(
                name=program.name, path=program.path, sha256=program.sha256, version=program.version
            )
            for program in ran.programs
        ]
        return msgspec.structs.replace(
            row, packages=_packages(ran.packages), interpreter=ran.interpreter, programs=programs
        )

    def compiled_of(self, attempt: Attempt) -> Compiled | None:
        """Return the project that an attempt ran; None if its version isn't stored."""
        known = self._version_of(attempt)
        return None if known is None else known[0]

    def _version_of(self, attempt: Attempt) -> tuple[Compiled, Mapping[str, str]] | None:
        if attempt.version is None:
            return None
        if attempt.version not in self._known:
            version = applied_versions.get(self._tx, attempt.version)
            decoded = (
                None if version is None else msgspec.msgpack.decode(version.compiled, type=Compiled)
            )
            self._known[attempt.version] = (
                None if version is None or decoded is None else (decoded, version.manifest)
            )
        return self._known[attempt.version]


def declared(root: Path, compiled: Compiled, name: str, here: Installed) -> CodeRow | None:
    """Return an asset's code as in the files, with the packages installed `here`.

    None for other nodes.
    """
    if name not in compiled.project.assets:
        return None
    asset = compiled.project.assets[name]
    row = _row(compiled, name, lambda path: _sha256(root / path))
    versions_here = here.imported(imported_packages(compiled.code, name)) | here.named(
        asset.code_packages
    )
    return msgspec.structs.replace(row, packages=_packages(versions_here))


def published(tx: Transaction, node: str) -> list[PublishedCodeRow]:
    """Return the versions of an asset's code in its published partitions, oldest first."""
    rows: dict[str | None, PublishedCodeRow] = {}
    for version, partitions, first, last in publications.by_version(tx, node):
        fingerprint = applied_versions.fingerprints(tx, version).get(node)
        before = rows.get(fingerprint)
        rows[fingerprint] = PublishedCodeRow(
            fingerprint=fingerprint,
            versions=[*(before.versions if before else ()), version],
            partitions=partitions + (before.partitions if before else 0),
            from_=min(first, before.from_) if before else first,
            to=max(last, before.to) if before else last,
        )
    return list(rows.values())


def _row(compiled: Compiled, name: str, sha256: Sha256) -> CodeRow:
    asset = compiled.project.assets[name]
    links = code_closure(compiled.code, name)
    known = {link.path: compiled.code.files[link.path].sha256 for link in links}
    own_paths = _own_files(asset)
    files = [
        CodeFileRow(path=path, sha256=known.get(path) or sha256(path), via=None)
        for path in own_paths
    ]
    files += [
        CodeFileRow(path=link.path, sha256=known[link.path], via=link.via)
        for link in links
        if link.path not in own_paths
    ]
    return CodeRow(
        fingerprint=compiled.nodes[name].fingerprint,
        files=files,
        packages=_packages(compiled.code.installed, asset.code_packages),
        secrets=sorted(asset.secrets),
    )


def _own_files(asset: Asset) -> list[str]:
    """Return the declaring file, and the file with its asset code if that is another."""
    return list(dict.fromkeys([code_file_of(asset), asset.place.file]))


def code_file_of(asset: Asset) -> str:
    """Return the file with the asset's query or function; of a command, the declaring file."""
    return asset.body.file if isinstance(asset.body, SqlBody | PythonBody) else asset.place.file


def _packages(
    versions_by_name: Mapping[str, str | None], only: tuple[str, ...] | None = None
) -> list[PackageRow]:
    names = versions_by_name if only is None else only
    return [
        PackageRow(name=name, version=versions_by_name.get(name))
        for name in sorted(names, key=str.lower)
    ]


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
