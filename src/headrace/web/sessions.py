"""Sessions of browsers: a random id in a cookie, which the server exchanges for who signed in.

The server stores only hashes of ids, in a private file, so that a restart signs nobody out. The
times of TRUST S2 hold: a session ends after IDLE_SECONDS without a request, and after
ABSOLUTE_SECONDS in any case.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import time
from pathlib import Path

import msgspec

SESSIONS_FILE = "sessions.json"
"""In the data folder; readable by the server's user only."""
ID_BYTES = 32
IDLE_SECONDS = 8 * 3600
ABSOLUTE_SECONDS = 7 * 24 * 3600
SESSIONS_MAX = 1_000
"""More sessions end the one that was used least recently."""
STORE_SECONDS = 60
"""The last use of a session is written at most this often."""


class BrowserSession(msgspec.Struct):
    """One session; times are in seconds since 1970 UTC."""

    started_at: float
    used_at: float

    def over(self, now: float) -> bool:
        """Whether the session has expired."""
        return now - self.used_at > IDLE_SECONDS or now - self.started_at > ABSOLUTE_SECONDS


class Sessions:
    """All sessions of a server. Safe for several threads; `path` None keeps them in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path, self._lock = path, threading.Lock()
        self._sessions = _read(path)
        self._stored_at = time.time()

    def start(self) -> str:
        """Start a session and return its id, which only the browser keeps."""
        session_id, now = secrets.token_urlsafe(ID_BYTES), time.time()
        with self._lock:
            self._drop_expired(now)
            while len(self._sessions) >= SESSIONS_MAX:
                del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used_at)]
            self._sessions[_hash(session_id)] = BrowserSession(now, now)
            self._store(now)
        return session_id

    def use(self, session_id: str) -> bool:
        """Whether a session with this id goes on; it counts as used now."""
        now, key = time.time(), _hash(session_id)
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                return False
            if session.over(now):
                del self._sessions[key]
                self._store(now)
                return False
            session.used_at = now
            if now - self._stored_at > STORE_SECONDS:
                self._store(now)
        return True

    def end(self, session_id: str) -> None:
        """End a session; an unknown id is ignored."""
        with self._lock:
            if self._sessions.pop(_hash(session_id), None) is not None:
                self._store(time.time())

    def _drop_expired(self, now: float) -> None:
        for key in [key for key, session in self._sessions.items() if session.over(now)]:
            del self._sessions[key]

    def _store(self, now: float) -> None:
        """Replace the file. A failure is ignored: the sessions last as long as the server."""
        self._stored_at = now
        if self._path is None:
            return
        part = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
                file.write(msgspec.json.encode(self._sessions))
            part.replace(self._path)


def _read(path: Path | None) -> dict[str, BrowserSession]:
    if path is None:
        return {}
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return msgspec.json.decode(file.read(), type=dict[str, BrowserSession])
    except (OSError, msgspec.DecodeError):
        return {}


def _hash(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()
