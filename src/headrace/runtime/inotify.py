"""Linux's notifications about files in folders (inotify): also that a writer has closed a file.

watchfiles, which watches folders elsewhere, doesn't report that, and waits longer. See inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x8, 0x40, 0x80
CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x100, 0x200, 0x400, 0x800
OVERFLOW, IGNORED, IS_FOLDER = 0x4000, 0x8000, 0x40000000
_FOLDERS_ONLY = 0x1000000
_WATCHED = CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF
_HEAD = struct.Struct("iIII")
_READ_BYTES = 1 << 16


class FileEvent(NamedTuple):
    """An event: its bits, and the file or folder that it is about.

    `path` is None if events were lost or a watched folder is gone.
    """

    mask: int
    path: Path | None


class Inotify:
    """Watches folders until `close`. Raises OSError where the system has no (more) watches."""

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "no inotify")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._checked(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._folders: dict[int, Path] = {}
        self._woken, self._wake = os.pipe()

    def add(self, folder: Path, *, deep: bool) -> None:
        """Watch a folder; with `deep`, also those below it."""
        number = self._libc.inotify_add_watch(
            self._descriptor, os.fsencode(folder), ctypes.c_uint32(_WATCHED | _FOLDERS_ONLY)
        )
        self._folders[self._checked(number)] = folder
        if deep:
            with os.scandir(folder) as entries:
                below = [
                    Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)
                ]
            for inner in below:
                self.add(inner, deep=True)

    def wait(self, seconds: float | None) -> None:
        """Wait for events or for `wake`, at most so long."""
        select.select([self._descriptor, self._woken], [], [], seconds)

    def wake(self) -> None:
        """End `wait`, now and from now on, from another thread."""
        os.write(self._wake, b".")

    def events(self) -> Iterator[FileEvent]:
        """Yield the events that have arrived."""
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, mask, _, length = _HEAD.unpack_from(data, at)
            name = data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0")
            at += _HEAD.size + length
            folder = self._folders.get(number)
            if mask & IGNORED:
                self._folders.pop(number, None)
            elif folder is None or mask & (OVERFLOW | DELETE_SELF | MOVE_SELF):
                yield FileEvent(mask, None)
            else:
                yield FileEvent(mask, folder / os.fsdecode(name))

    def close(self) -> None:
        """Stop watching."""
        for descriptor in (self._descriptor, self._woken, self._wake):
            os.close(descriptor)

    @staticmethod
    def _checked(result: int) -> int:
        if result == -1:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def is_written_to(path: Path) -> bool:
    """Whether a process of this machine has the file open for writing.

    False where that can't be found out: the file is another user's, or on a network.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        # A lease for reading isn't given while somebody has the file open for writing. Who opens
        # it during the lease waits for its end, and the system signals that: SIGIO would end this
        # process, SIGURG is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False
