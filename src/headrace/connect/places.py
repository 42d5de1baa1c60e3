"""Folders elsewhere: an fsspec file system from a URL and a connection, and what its errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.connect.deliveries import CannotRead
from headrace.connect.kinds import Unavailable
from headrace.connect.shown import shown
from headrace.govern.secrets import SecretMissing, Secrets
from headrace.model.errors import HeadraceError, told_by
from headrace.model.remote_paths import SCHEMES

_NOT_OPTIONS = ("type", "url", "description")
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "sftp": "sftp",
    "ssh": "sftp",
}
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
"""Parts of the names of errors that libraries raise where somebody isn't let in."""
MESSAGE_CHARACTERS_MAX = 300


class StorageLocation:
    """A folder of a file system. `url` is how it is shown, and holds no secret."""

    def __init__(self, filesystem: Any, path: str, url: str) -> None:
        self.filesystem, self.url = filesystem, url
        self._path = path

    def entries(self, folder: str) -> list[dict[str, Any]]:
        """What lies in a folder below; nothing where it isn't there."""
        path = f"{self._path}/{folder}" if folder else self._path
        try:
            return [item for item in self.filesystem.ls(path, detail=True) if str(item["name"]).strip("/") != path.strip("/")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def listed(self) -> None:
        """Ask for the folder's entries. What isn't there is an error, as opposed to a source whose first file is still to come."""
        try:
            self.filesystem.ls(self._path, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            raise Unavailable(f"there is no {shown(self.url, 200)}", code="configuration_error", transient=False) from None

    def inside(self, url: str) -> str:
        """The file system's path of a URL below this place."""
        return f"{self._path}/{url.removeprefix(self.url).lstrip('/')}"


def opened(url: str, connection: Mapping[str, Any], secrets: Secrets) -> StorageLocation:
    """The folder that a URL names. Raises what the file system's library raises; use it inside `told`."""
    from fsspec.core import url_to_fs

    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or "::" in url:
        raise Unavailable(f"files can't be read from {shown(scheme)}://", code="configuration_error", transient=False)
    options = {name: value for name, value in secrets.resolved(dict(connection)).items() if name not in _NOT_OPTIONS}
    if scheme in ("s3", "s3a"):
        options["config_kwargs"] = _S3_CONFIG | options.get("config_kwargs", {})
        scheme = "s3"
    options["skip_instance_cache"] = True
    if scheme in ("sftp", "ssh"):  # what it is given goes to paramiko, which takes nothing else
        options = {_PARAMIKO.get(name, name): int(value) if name == "port" else value for name, value in options.items()}
    else:
        options["use_listings_cache"] = False
    filesystem, path = url_to_fs(f"{scheme}://{rest}", **options)
    return StorageLocation(filesystem, str(path).rstrip("/"), url)


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """What file systems raise, as Unavailable."""
    try:
        yield
    except (Unavailable, CannotRead, SecretMissing):
        raise
    except Exception as error:  # noqa: BLE001 - each file system raises what its library raises
        raise _refusal(where, error) from None


def _refusal(where: str, error: Exception) -> Unavailable:
    scheme = where.partition("://")[0]
    text = f"{where}: {shown(told_by(error), MESSAGE_CHARACTERS_MAX)}"
    if isinstance(error, ImportError):
        hint = f"pip install 'headrace[{_EXTRAS[scheme]}]'" if scheme in _EXTRAS else str(error)
        return Unavailable(f"{scheme}:// needs another package: {hint}", code="configuration_error", transient=False)
    if isinstance(error, PermissionError) or any(name in type(error).__name__ for name in _DENIED) or _status(error) in (401, 403):
        return Unavailable(text, code="access_denied", transient=False)
    if isinstance(error, (ValueError, TypeError, HeadraceError)):
        return Unavailable(text, code="configuration_error", transient=False)
    return Unavailable(text)


def _status(error: Exception) -> int | None:
    for name in ("status", "code", "status_code"):
        if isinstance(result := getattr(error, name, None), int):
            return result
    return None
