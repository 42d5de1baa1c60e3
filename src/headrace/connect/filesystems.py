"""Remote files as a source: `files: s3://bucket/landing/x_{date:%Y-%m-%d}.csv`, through fsspec.

An observation lists the folders that the pattern names, as for local files; a fetch copies one file
to a temporary one.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.connect.connectors import Access, Fetched, Unavailable
from headrace.connect.deliveries import (
    DELIVERY_BYTES_MAX,
    CannotRead,
    DetectedDelivery,
    Note,
    Observation,
    printable,
)
from headrace.connect.files import WHOLE, unusable_key
from headrace.connect.patterns import KEY, Component, compile_pattern, key_of, said_by
from headrace.model.connections import CONNECTION_SCHEMES
from headrace.model.errors import HeadraceError, UsageError, message_of
from headrace.model.locations import REMOTE_SCHEMES
from headrace.model.nodes import Source
from headrace.model.partitions import join
from headrace.security.secrets import SecretMissing, Secrets

# A folder of a remote file system: opened from a URL and a connection, with its errors as
# `Unavailable`.

_NOT_OPTIONS = ("type", "url", "description")
_EXTRAS = ("s3", "gcs", "azure", "sftp")
"""Kinds of connections whose library is an extra of the same name."""
_PARAMIKO = {"user": "username"}
_S3_CONFIG = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}
_DENIED = (
    "NoCredentials",
    "PartialCredentials",
    "AuthenticationException",
    "ClientAuthentication",
    "BadHostKey",
    "DefaultCredentials",
    "RefreshError",
)
"""Parts of the names of errors that libraries raise for denied access."""
MESSAGE_CHARACTERS_MAX = 300


class StorageLocation:
    """A folder of a file system. `url` is its displayed form, without secrets."""

    def __init__(self, filesystem: Any, path: str, url: str) -> None:
        self.filesystem, self.url = filesystem, url
        self._path = path

    def entries(self, folder: str) -> list[dict[str, Any]]:
        """Return the entries of a folder below; empty if it doesn't exist."""
        path = f"{self._path}/{folder}" if folder else self._path
        try:
            return [
                item
                for item in self.filesystem.ls(path, detail=True)
                if str(item["name"]).strip("/") != path.strip("/")
            ]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def listed(self) -> None:
        """List the folder; raise Unavailable if it doesn't exist.

        An observation treats such a folder as empty, because the first file may still come.
        """
        try:
            self.filesystem.ls(self._path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            raise Unavailable(
                f"there is no {printable(self.url, 200)}",
                code="configuration_error",
                transient=False,
            ) from None

    def inside(self, url: str) -> str:
        """Return the file system's path for a URL below this location."""
        return f"{self._path}/{url.removeprefix(self.url).lstrip('/')}"


def open_location(url: str, connection: Mapping[str, Any], secrets: Secrets) -> StorageLocation:
    """Open the folder of a URL; use it inside `errors_as_unavailable`.

    It raises the errors of the file system's library.
    """
    from fsspec.core import url_to_fs

    scheme, _, rest = url.partition("://")
    if scheme not in REMOTE_SCHEMES or "::" in url:
        raise Unavailable(
            f"files can't be read from {printable(scheme)}://",
            code="configuration_error",
            transient=False,
        )
    options = {
        name: value
        for name, value in secrets.resolved(dict(connection)).items()
        if name not in _NOT_OPTIONS
    }
    if scheme in ("s3", "s3a"):
        options["config_kwargs"] = _S3_CONFIG | options.get("config_kwargs", {})
        scheme = "s3"
    options["skip_instance_cache"] = True
    if scheme in ("sftp", "ssh"):  # all options go to paramiko, which accepts no others
        options = {
            _PARAMIKO.get(name, name): int(value) if name == "port" else value
            for name, value in options.items()
        }
    else:
        options["use_listings_cache"] = False
    filesystem, path = url_to_fs(f"{scheme}://{rest}", **options)
    return StorageLocation(filesystem, str(path).rstrip("/"), url)


@contextlib.contextmanager
def errors_as_unavailable(where: str) -> Iterator[None]:
    """Turn the errors of file systems into Unavailable."""
    try:
        yield
    except (Unavailable, CannotRead, SecretMissing):
        raise
    except Exception as error:  # noqa: BLE001 - each library raises its own errors
        raise _refusal(where, error) from None


def _refusal(where: str, error: Exception) -> Unavailable:
    scheme = where.partition("://")[0]
    text = f"{where}: {printable(message_of(error), MESSAGE_CHARACTERS_MAX)}"
    if isinstance(error, ImportError):
        kind = CONNECTION_SCHEMES.get(scheme)
        hint = f"pip install 'headrace[{kind}]'" if kind in _EXTRAS else str(error)
        return Unavailable(
            f"{scheme}:// needs another package: {hint}",
            code="configuration_error",
            transient=False,
        )
    if (
        isinstance(error, PermissionError)
        or any(name in type(error).__name__ for name in _DENIED)
        or _status(error) in (401, 403)
    ):
        return Unavailable(text, code="access_denied", transient=False)
    if isinstance(error, (ValueError, TypeError, HeadraceError)):
        return Unavailable(text, code="configuration_error", transient=False)
    return Unavailable(text)


def _status(error: Exception) -> int | None:
    values = (getattr(error, name, None) for name in ("status", "code", "status_code"))
    return next((value for value in values if isinstance(value, int)), None)


# The connector.

FILES_MAX = 100_000
"""Maximum number of entries in one folder."""
NOTES_MAX = 100
SETTLE_US = 5_000_000
"""5 s without a change after which a file is ingested that a server may write piece by piece.

Object stores show only complete files.
"""


class _Listed(msgspec.Struct, frozen=True):
    """A file of a listing. `path` is the part after the pattern's fixed part."""

    path: str
    parts: dict[str, str]
    size: int
    modified_us: int
    etag: str

    @property
    def version(self) -> str:
        return self.etag or f"{self.size}-{self.modified_us}"


class Filesystems:
    """The connector for remote `files:`.

    It always lists all files; `known` identifies those that were delivered before.
    """

    def observe(
        self,
        access: Access,
        wanted: Sequence[str],  # noqa: ARG002
        known: Mapping[str, tuple[str, str]],
    ) -> Observation:
        """See `SourceConnector.observe`."""
        source, warnings = access.source, list[Note]()
        with errors_as_unavailable(_label(source)):
            place, components = _place(access)
            files = list(_below(place, "", components, {}))
        results: dict[str, list[DetectedDelivery]] = {}
        for file in files:
            key = _key(source, file, warnings)
            if key is not None and not _may_be_written(file):
                results.setdefault(key, []).append(
                    _detected(place, source, key, file, access.now_us)
                )
        chosen = [
            delivery
            for key in sorted(results)
            if (delivery := _chosen(results[key], known.get(key), warnings)) is not None
        ]
        new = [
            delivery
            for delivery in chosen
            if known.get(delivery.partition) != (delivery.path, delivery.version)
        ]
        return Observation(found=tuple(new), notes=tuple(warnings[:NOTES_MAX]), seen=len(results))

    def fetch(self, access: Access, delivery: DetectedDelivery) -> Fetched:
        """See `SourceConnector.fetch`."""
        name = delivery.path.rpartition("/")[2]
        target = access.temporary / uuid.uuid4().hex
        try:
            with errors_as_unavailable(_label(access.source)):
                place, _ = _place(access)
                path = place.inside(delivery.path)
                self._expect(place, path, delivery)
                place.filesystem.get_file(path, str(target))
                self._expect(place, path, delivery)
                _expect_size(delivery, target.stat().st_size)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        return Fetched(path=target, name=name, modified_us=delivery.modified_us)

    def _expect(self, place: StorageLocation, path: str, delivery: DetectedDelivery) -> None:
        """Raise Unavailable if the file changed since it was observed.

        The next observation finds it. It is called before and after the copy.
        """
        now = _listed(place.filesystem.info(path), "", {})
        if now.size > DELIVERY_BYTES_MAX:
            raise CannotRead(
                f"{now.size:,} bytes; a delivery holds at most {DELIVERY_BYTES_MAX:,}",
                code="delivery_too_large",
            )
        if now.version != delivery.version:
            raise Unavailable(
                f"{printable(delivery.path, 200)} changed since it was found; the next look sees"
                " what it became"
            )


def _expect_size(delivery: DetectedDelivery, received: int) -> None:
    if delivery.size_bytes not in (-1, received):
        raise Unavailable(
            f"{printable(delivery.path, 200)} broke off: {received:,} of {delivery.size_bytes:,}"
            f" bytes came"
        )


def _label(source: Source) -> str:
    return printable(source.files or "", 200)


def _place(access: Access) -> tuple[StorageLocation, tuple[Component, ...]]:
    """Return the folder where the listing begins, and the components to match below it."""
    source = access.source
    url = source.files or ""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    pattern = compile_pattern(path, source.partition.grain, rows_have_partition=False)
    fixed = 0
    while fixed < len(pattern.components) - 1 and pattern.components[fixed].fixed is not None:
        fixed += 1
    folders = [str(component.fixed) for component in pattern.components[:fixed]]
    return (
        open_location(
            "/".join([f"{scheme}://{host}", *folders]), access.connection, access.secrets
        ),
        pattern.components[fixed:],
    )


def _below(  # complexipy: ignore (a recursive walk)
    place: StorageLocation, folder: str, components: tuple[Component, ...], parts: dict[str, str]
) -> Iterator[_Listed]:
    here, rest = components[0], components[1:]
    for count, entry in enumerate(place.entries(folder)):
        name = str(entry["name"]).rstrip("/").rpartition("/")[2]
        name_parts = said_by(here, name, parts)
        if name_parts is None:
            continue
        path = f"{folder}/{name}" if folder else name
        is_folder = entry.get("type") == "directory"
        if is_folder and rest:
            yield from _below(place, path, rest, name_parts)
        elif not is_folder and not rest:
            yield _listed(entry, path, name_parts)
        if count >= FILES_MAX:
            raise Unavailable(
                f"{printable(folder or place.url)} holds more than {FILES_MAX:,} files",
                code="configuration_error",
                transient=False,
            )


def _listed(entry: Mapping[str, Any], path: str, parts: dict[str, str]) -> _Listed:
    size = entry.get("size")
    changed = next(
        (
            entry[name]
            for name in ("LastModified", "last_modified", "mtime", "updated", "modified")
            if entry.get(name)
        ),
        None,
    )
    etag = next(
        (str(entry[name]).strip('"') for name in ("ETag", "etag", "md5Hash") if entry.get(name)), ""
    )
    return _Listed(path, parts, size if isinstance(size, int) else -1, _microseconds(changed), etag)


def _microseconds(changed: Any) -> int:
    """Return a file system's modification time in microseconds; 0 if there is none.

    It may be a datetime, seconds, or ISO 8601 text.
    """
    if isinstance(changed, str):
        try:
            changed = datetime.fromisoformat(changed)
        except ValueError:
            return 0
    if isinstance(changed, datetime):
        return int(
            (changed if changed.tzinfo else changed.replace(tzinfo=UTC)).timestamp() * 1_000_000
        )
    return int(changed * 1_000_000) if isinstance(changed, int | float) else 0


def _may_be_written(file: _Listed) -> bool:
    return not file.etag and 0 <= time.time_ns() // 1000 - file.modified_us < SETTLE_US


def _key(source: Source, file: _Listed, warnings: list[Note]) -> str | None:
    """Return the partition that the name gives, `*` for none; None for an invalid date or key."""
    grain, key = source.partition.grain, file.parts.get("key", "")
    date = {name: value for name, value in file.parts.items() if name != "key"}
    try:
        interval = key_of(date, grain, source.timezone or "UTC") if grain else ""
    except (ValueError, OverflowError, UsageError):
        warnings.append(
            Note(
                "delivery_date",
                printable(file.path, 200),
                f"{printable(file.path)}: there is no such {grain}",
            )
        )
        return None
    if KEY in (source.files or "") and (problem := unusable_key(key, source.partition.values)):
        warnings.append(
            Note("delivery_key", printable(file.path, 200), f"{printable(file.path)}: {problem}")
        )
        return None
    return join(interval, key) or WHOLE


def _detected(
    place: StorageLocation, source: Source, key: str, file: _Listed, now_us: int
) -> DetectedDelivery:
    return DetectedDelivery(
        source=source.name,
        partition=key,
        path=f"{place.url}/{file.path}",
        size_bytes=file.size,
        modified_us=file.modified_us or now_us,
        version=file.version,
    )


def _chosen(
    candidates: list[DetectedDelivery], known: tuple[str, str] | None, warnings: list[Note]
) -> DetectedDelivery | None:
    """Return the file of one interval.

    If there are several, it is the one that was ingested before, else None.
    """
    if len(candidates) == 1:
        return candidates[0]
    ingested = [
        candidate for candidate in candidates if known is not None and candidate.path == known[0]
    ]
    names = " and ".join(
        printable(candidate.path.rpartition("/")[2]) for candidate in candidates[:2]
    )
    text = (
        f"{names} are both for {candidates[0].partition};"
        f" {'the first that came stays' if ingested else 'none of them is taken'}"
    )
    warnings.append(Note("several_deliveries", printable(candidates[0].path, 200), text))
    return ingested[0] if ingested else None
