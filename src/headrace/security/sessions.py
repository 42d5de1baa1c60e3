"""Sessions of browsers: a random id in a cookie, which the server exchanges for who signed in.

The store has only hashes of ids, in a private file next to the state, so that a restart signs
nobody out, and `headrace session end` ends a session of a server that runs. TRUST S2.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from headrace.security.private_files import exclusive, replace_private

SESSIONS_FILE = "sessions.json"
"""In the data folder; readable by the server's user only."""
ID_BYTES = 32
SHOWN_ID_DIGITS = 16
LOCAL_IDLE_SECONDS = 8 * 3600
LOCAL_ABSOLUTE_SECONDS = 7 * 24 * 3600
"""Limits of sessions of the user who runs the server, by the start link."""
IDLE_SECONDS = 30 * 60
ABSOLUTE_SECONDS = 12 * 3600
"""Limits of all other sessions."""
SESSIONS_MAX = 1_000
"""More sessions end the one that was used least recently."""
STORE_SECONDS = 60
"""The last use of a session is written at most this often."""


class SignInKind(enum.StrEnum):
    """How somebody signed in."""

    START_LINK = "start_link"
    """The user who runs the server, by the address that it prints."""
    PASSWORD = "password"  # noqa: S105 - the name of a kind
    OIDC = "oidc"


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in, and how."""

    kind: SignInKind
    who: str = ""
    """The subject of `access.yaml`: `user:ana`; empty with the start link."""
    label: str = ""
    """The name that the provider reports, for people; it decides nothing."""
    groups: tuple[str, ...] = ()
    """The groups that the rules named at sign-in."""
    named_groups: str = ""
    """Identifies the groups that the rules named, if others were left out."""
    roles: str = ""
    """Identifies the roles at sign-in. Other roles end the session."""
    credential: str = ""
    """Identifies the password at sign-in. Another password ends the session."""
    issuer: str = ""
    subject: str = ""
    provider_session: str = ""
    """`iss`, `sub` and `sid` of the provider, by which it ends sessions."""


START_LINK = SignedIn(kind=SignInKind.START_LINK)


class BrowserSession(msgspec.Struct):
    """One session; times are in seconds since 1970 UTC."""

    started_at: float
    used_at: float
    signed_in: SignedIn = START_LINK

    @property
    def ends_at(self) -> float:
        """When the session ends if it isn't used any more."""
        if self.signed_in.kind is SignInKind.START_LINK:
            idle, absolute = LOCAL_IDLE_SECONDS, LOCAL_ABSOLUTE_SECONDS
        else:
            idle, absolute = IDLE_SECONDS, ABSOLUTE_SECONDS
        return min(self.used_at + idle, self.started_at + absolute)

    def over(self, now: float) -> bool:
        """Whether the session has expired; also one from the future, after the clock was set."""
        return now > self.ends_at or self.started_at > now + STORE_SECONDS


_Stored = dict[str, BrowserSession]
"""Hash of a session's id → session."""


class Sessions:
    """All sessions of a server. Safe for several threads and processes.

    `path` None keeps them in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._sessions: _Stored = {}
        self._version: tuple[int, ...] | None = None
        self._stored_at = time.time()
        with self._lock:
            self._refresh()

    def start(self, signed_in: SignedIn = START_LINK) -> str:
        """Start a session and return its id, which only the browser keeps."""
        session_id, now = secrets.token_urlsafe(ID_BYTES), time.time()
        with self._changing(now) as sessions:
            while len(sessions) >= SESSIONS_MAX:
                del sessions[min(sessions, key=lambda key: sessions[key].used_at)]
            sessions[_hash(session_id)] = BrowserSession(now, now, signed_in)
        return session_id

    def use(self, session_id: str) -> BrowserSession | None:
        """Return the session with this id, which counts as used now; None if it is over."""
        now, key = time.time(), _hash(session_id)
        with self._lock:
            self._refresh()
            session = self._sessions.get(key)
            if session is None or session.over(now):
                return None
            session.used_at = max(session.used_at, now)
        if now - self._stored_at > STORE_SECONDS:
            with self._changing(now):
                pass
        return session

    def lasts(self, session_id: str) -> bool:
        """Whether a session with this id goes on; it doesn't count as used."""
        with self._lock:
            self._refresh()
            session = self._sessions.get(_hash(session_id))
            return session is not None and not session.over(time.time())

    def end(self, session_id: str) -> None:
        """End a session by the id in the cookie; an unknown id is ignored."""
        key = _hash(session_id)
        with self._lock:
            self._refresh()
            if key not in self._sessions:
                return
        with self._changing(time.time()) as sessions:
            sessions.pop(key, None)

    def end_where(self, ends: Callable[[str, SignedIn], bool]) -> dict[str, BrowserSession]:
        """End sessions by their shown id and by who signed in; return those that ended."""
        ended: dict[str, BrowserSession] = {}
        with self._changing(time.time()) as sessions:
            for key, session in list(sessions.items()):
                if ends(shown_id(key), session.signed_in):
                    ended[shown_id(key)] = sessions.pop(key)
        return ended

    def current(self) -> dict[str, BrowserSession]:
        """Return the sessions that go on, by their shown ids."""
        now = time.time()
        with self._lock:
            self._refresh()
            return {
                shown_id(key): session
                for key, session in self._sessions.items()
                if not session.over(now)
            }

    @contextmanager
    def _changing(self, now: float) -> Iterator[_Stored]:
        """Read the newest sessions, let the block change them, and write them."""
        with self._lock, _file_lock(self._path):
            self._refresh()
            for key in [key for key, session in self._sessions.items() if session.over(now)]:
                del self._sessions[key]
            yield self._sessions
            self._store(now)

    def _refresh(self) -> None:
        """Read the file if another process has changed it."""
        if self._path is None or (version := _version(self._path)) == self._version:
            return
        read = _read(self._path)
        for key, session in read.items():
            if key in self._sessions:
                session.used_at = max(session.used_at, self._sessions[key].used_at)
        self._sessions, self._version = read, version

    def _store(self, now: float) -> None:
        """Replace the file. A failure is ignored: the sessions last as long as the server."""
        self._stored_at = now
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            replace_private(self._path, msgspec.json.encode(self._sessions))
            self._version = _version(self._path)


def hash_of_id(session_id: str) -> str:
    """Return the shown id of the session with this id in its cookie."""
    return shown_id(_hash(session_id))


def shown_id(key: str) -> str:
    """Return the id by which people name a session, of the hash of its secret id."""
    return f"session-{key[:SHOWN_ID_DIGITS]}"


@contextmanager
def _file_lock(path: Path | None) -> Iterator[None]:
    """Keep other processes from changing the sessions; without it where no file can be written."""
    with contextlib.ExitStack() as held:
        if path is not None:
            with contextlib.suppress(OSError):
                held.enter_context(exclusive(path))
        yield


def _version(path: Path) -> tuple[int, ...] | None:
    """Return what changes when the file is replaced; None without a file."""
    try:
        facts = path.lstat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _read(path: Path) -> _Stored:
    """Return the stored sessions; none if the file is damaged, or isn't this user's alone."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(opened, "rb") as file:
            facts = os.fstat(opened)
            if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
                return {}
            return msgspec.json.decode(file.read(), type=_Stored)
    except (OSError, msgspec.DecodeError):
        return {}


def _hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
