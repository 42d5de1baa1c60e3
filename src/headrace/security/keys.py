"""Keys of masks and of erasable data: envelope encryption with versions and rotation.

A root key, which is stored elsewhere, encrypts one key per domain (the key-encryption key). That
key encrypts the domain's data keys, each for one purpose: `hash` and `token` of masks, a subject
whose data may be erased. The key store holds encrypted keys only. A rotation replaces the domain's
key and encrypts the data keys again; data keys, and so all tokens, stay the same. TRUST K1, K2.

The store is a SQLite file of its own (mode 0600) in the folder `keys` of the data folder: each step
is a transaction, and deleted keys are overwritten (`secure_delete`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import msgspec

from headrace.faults import FaultPoint, reached
from headrace.model import UsageError
from headrace.security.key_problems import KeyProblem
from headrace.security.root_keys import LocalKey, RootKey, root_key_of
from headrace.store.clock import real_us

FOLDER, STORE = "keys", "keys.db"
KEY_BYTES = 32
REWRAPPED_AT_ONCE = 500
"""Data keys that a rotation encrypts again in one transaction."""
LOCK_SECONDS = 30.0
_SCHEMA = """
create table if not exists domain_key (
    domain text not null, version integer not null, root text not null, wrapped blob not null,
    created_us integer not null, primary key (domain, version));
create table if not exists data_key (
    domain text not null, purpose text not null, version integer not null,
    domain_version integer not null, wrapped blob, created_us integer not null,
    destroyed_us integer, primary key (domain, purpose, version));
create index if not exists data_key_by_version on data_key (domain, domain_version);
"""


class DataKey:
    """A data key with its version; no text or pickle of it contains the key. TRUST K5."""

    __slots__ = ("_secret", "domain", "purpose", "version")

    def __init__(self, domain: str, purpose: str, version: int, secret: bytes) -> None:
        self.domain, self.purpose, self.version, self._secret = domain, purpose, version, secret

    def __repr__(self) -> str:
        return f"DataKey({self.domain}/{self.purpose} v{self.version})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key can't be pickled")

    @property
    def secret(self) -> bytes:
        """The 32 bytes of the key."""
        return self._secret


class KeyVersion(msgspec.Struct, frozen=True):
    """One version of a domain's key, with the number of data keys that it encrypts."""

    domain: str
    version: int
    root: str
    """The id of the root key that encrypts it."""
    created_us: int
    data_keys: int
    newest: bool


class KeyStore:
    """The encrypted keys of a project. Closes itself after each call."""

    def __init__(self, data_folder: Path, project: Path, settings: Mapping[str, str]) -> None:
        self._folder = data_folder / FOLDER
        self._project, self._settings = project, settings

    def __repr__(self) -> str:
        return f"KeyStore({self._folder})"

    def data_key(self, domain: str, purpose: str, *, create: bool = True) -> DataKey:
        """Return the newest data key of a domain for a purpose; the first call creates it.

        Raises KeyProblem if the root key is missing or another one, if the key was destroyed, and
        without `create` if there is none yet.
        """
        with self._transaction() as db:
            row = db.execute(
                "select version, domain_version, wrapped from data_key where domain = ? and"
                " purpose = ? order by version desc limit 1",
                (domain, purpose),
            ).fetchone()
            if row is None and not create:
                raise KeyProblem(
                    f"there is no key {purpose[:60]} of {domain[:60]} yet",
                    hint="the first mask that needs it creates it; headrace keys status",
                )
            if row is None:
                return self._new_data_key(db, domain, purpose)
            version, domain_version, wrapped = row
            if wrapped is None:
                raise KeyProblem(
                    f"the key {purpose[:60]} of {domain[:60]} was destroyed",
                    hint="data that was encrypted with it can't be read any more",
                )
            domain_key = self._domain_key(db, domain, domain_version)
            secret = domain_key.unwrap(wrapped, _about(domain, purpose, version))
            return DataKey(domain, purpose, version, secret)

    def versions(self) -> list[KeyVersion]:
        """Return the versions of all domain keys, by domain; needs no root key."""
        if not (self._folder / STORE).exists():
            return []
        with self._transaction() as db:
            rows = db.execute(
                "select k.domain, k.version, k.root, k.created_us,"
                " (select count(*) from data_key d where d.domain = k.domain"
                "  and d.domain_version = k.version and d.wrapped is not null),"
                " k.version = (select max(version) from domain_key m where m.domain = k.domain)"
                " from domain_key k order by k.domain, k.version"
            ).fetchall()
        return [
            KeyVersion(domain, version, root, created_us, count, bool(newest))
            for domain, version, root, created_us, count, newest in rows
        ]

    def rotate(self, domain: str | None = None) -> list[tuple[str, int, int]]:
        """Replace the key of a domain, or of all: (domain, new version, data keys moved) of each.

        A rotation that was killed is continued: its new version stays. Raises UsageError for an
        unknown domain, and KeyProblem as `data_key`, before anything has changed.
        """
        return [self._rotate(name) for name in self.check(domain)]

    def check(self, domain: str | None = None) -> list[str]:
        """Return the domains that a rotation would concern. Raises as `rotate`, changes nothing."""
        known = dict.fromkeys(row.domain for row in self.versions())
        if domain is not None and domain not in known:
            raise UsageError(
                f"there are no keys of the domain {domain[:60]!r}",
                hint=f"keys exist for: {', '.join(known)}" if known else "headrace keys status",
            )
        domains = list(known) if domain is None else [domain]
        with self._transaction() as db:
            for name in domains:
                for version in _versions(db, name):
                    self._domain_key(db, name, version)
        return domains

    def _rotate(self, domain: str) -> tuple[str, int, int]:
        with self._transaction() as db:
            versions = _versions(db, domain)
            newest = versions[-1]
            if len(versions) == 1:
                newest = self._new_domain_key(db, domain, newest + 1)
        reached(FaultPoint.KEYS_ROTATING)
        moved = 0
        while count := self._rewrap(domain, newest):
            moved += count
            reached(FaultPoint.KEYS_REWRAPPED)
        with self._transaction() as db:
            db.execute("delete from domain_key where domain = ? and version < ?", (domain, newest))
        return domain, newest, moved

    def _rewrap(self, domain: str, newest: int) -> int:
        """Encrypt some data keys with the domain's newest key; return how many."""
        with self._transaction() as db:
            rows = db.execute(
                "select purpose, version, domain_version, wrapped from data_key where domain = ?"
                " and domain_version < ? and wrapped is not null limit ?",
                (domain, newest, REWRAPPED_AT_ONCE),
            ).fetchall()
            if not rows:
                return 0
            keys = {number: self._domain_key(db, domain, number) for number in {r[2] for r in rows}}
            to = self._domain_key(db, domain, newest)
            for purpose, version, domain_version, wrapped in rows:
                about = _about(domain, purpose, version)
                again = to.wrap(keys[domain_version].unwrap(wrapped, about), about)
                db.execute(
                    "update data_key set wrapped = ?, domain_version = ?"
                    " where domain = ? and purpose = ? and version = ?",
                    (again, newest, domain, purpose, version),
                )
            return len(rows)

    def _new_data_key(self, db: sqlite3.Connection, domain: str, purpose: str) -> DataKey:
        newest = db.execute(
            "select max(version) from domain_key where domain = ?", (domain,)
        ).fetchone()[0]
        if newest is None:
            newest = self._new_domain_key(db, domain, 1)
        secret = secrets.token_bytes(KEY_BYTES)
        domain_key = self._domain_key(db, domain, newest)
        wrapped = domain_key.wrap(secret, _about(domain, purpose, 1))
        db.execute(
            "insert into data_key values (?, ?, 1, ?, ?, ?, null)",
            (domain, purpose, newest, wrapped, real_us()),
        )
        return DataKey(domain, purpose, 1, secret)

    def _new_domain_key(self, db: sqlite3.Connection, domain: str, version: int) -> int:
        root = self._root(db)
        wrapped = root.wrap(secrets.token_bytes(KEY_BYTES), _about(domain, "", version))
        db.execute(
            "insert into domain_key values (?, ?, ?, ?, ?)",
            (domain, version, root.id, wrapped, real_us()),
        )
        return version

    def _domain_key(self, db: sqlite3.Connection, domain: str, version: int) -> LocalKey:
        row = db.execute(
            "select root, wrapped from domain_key where domain = ? and version = ?",
            (domain, version),
        ).fetchone()
        if row is None:
            raise KeyProblem(
                f"the key store has no version {version} of the key of {domain[:60]}",
                hint="restore the folder `keys` from a backup",
            )
        return LocalKey(self._root(db, row[0]).unwrap(row[1], _about(domain, "", version)))

    def _root(self, db: sqlite3.Connection, needed: str | None = None) -> RootKey:
        """Return the root key, or the one with the id that is needed: the present or previous."""
        empty = db.execute("select 1 from domain_key limit 1").fetchone() is None
        return root_key_of(
            self._settings, self._project, self._folder, needed=needed, may_create=empty
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        path = self._folder / STORE
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # created by us, because SQLite would follow the umask
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            db = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error
        try:
            db.execute("pragma secure_delete = on")
            db.execute("pragma synchronous = full")
            db.executescript(_SCHEMA)
            db.execute("begin immediate")
            yield db
            db.execute("commit")
        except sqlite3.Error as error:
            raise _unusable(path, error) from error
        finally:
            db.close()  # rolls back what isn't committed


def _versions(db: sqlite3.Connection, domain: str) -> list[int]:
    rows = db.execute("select version from domain_key where domain = ? order by 1", (domain,))
    return [int(row[0]) for row in rows]


def _about(domain: str, purpose: str, version: int) -> bytes:
    """Return what an encrypted key is bound to: it can't be moved to another row."""
    return msgspec.json.encode(["headrace", domain, purpose, version])


def _unusable(path: Path, error: Exception) -> KeyProblem:
    return KeyProblem(
        f"the key store {path} can't be used: {error}",
        hint="the server's user needs read and write access to its folder",
    )
