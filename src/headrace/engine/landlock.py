"""Linux's Landlock: a process or thread gives up access to files, ports and other processes.

Three system calls through ctypes, as in the kernel's documentation
(https://docs.kernel.org/userspace-api/landlock.html). Rules apply to the calling thread and to all
threads and processes that it starts later; they can never be removed. A kernel with an older ABI
enforces the part that it knows.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import stat
import struct
import sys
from collections.abc import Collection, Iterable
from typing import NamedTuple

from headrace.engine.call_filter import refuse_uncovered_calls

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls, the same on every architecture but Alpha."""
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_NO_NEW_PRIVILEGES = 38
"""`PR_SET_NO_NEW_PRIVS` of prctl(2), which `landlock_restrict_self` requires."""
_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER = 1, 36

_CAPABILITIES_VERSION = 0x20080522
_TRACING = sum(1 << number for number in (16, 17, 19, 21, 38, 39))
"""Capabilities by which root reads or changes other processes in spite of Landlock.

CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON and CAP_BPF.
"""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""Rights that a rule for something else than a folder may name."""
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILES_BY_ABI = ((3, (1 << 15) - 1), (2, (1 << 14) - 1), (1, (1 << 13) - 1))
"""The oldest ABI that knows these rights to files. Renaming between folders needs ABI 2, truncating
a file ABI 3."""
_PORTS_ABI, _SCOPES_ABI = 4, 6
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_MAKE_SPECIAL = 1 << 6 | 1 << 11
"""Making character and block devices, which no rule allows."""


class Access(NamedTuple):
    """What a process may reach: everything below these paths, and these ports."""

    read: tuple[str, ...]
    """Files and folders to read and execute. Paths that don't exist are ignored."""
    write: tuple[str, ...] = ()
    """Files and folders to read and write."""
    ports: tuple[int, ...] | None = None
    """TCP ports to connect to; None: all, and any port may be opened."""


@functools.lru_cache(maxsize=1)
def abi() -> int:
    """Return the version of Landlock's ABI; 0 where the system has none or forbids it."""
    if sys.platform != "linux":
        return 0
    try:
        return _call(_CREATE_RULESET, None, 0, _VERSION)
    except OSError:
        return 0


def ruleset(access: Access) -> int:
    """Return the descriptor of new rules, to be closed by the caller. Raises OSError."""
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if abi() >= _SCOPES_ABI else 0
    rules = _created(_files(), _ports() if access.ports is not None else 0, scopes)
    try:
        allow(rules, access)
        _allow_ports(rules, access.ports or ())
    except BaseException:
        os.close(rules)
        raise
    return rules


def allow(rules: int, access: Access) -> None:
    """Add the paths of `access` to new rules. Raises OSError."""
    _allow(rules, access.read, _files() & _READ)
    _allow(rules, access.write, _files() & ~(_EXECUTE | _MAKE_SPECIAL))


def restrict_ports(ports: Iterable[int]) -> None:
    """Restrict the calling thread further, to connections to these TCP ports. Raises OSError."""
    if not _ports():
        return
    ports, rules = tuple(ports), _created(0, _ports(), 0)
    try:
        _allow_ports(rules, ports)
        restrict(rules, ports=ports)
    finally:
        os.close(rules)


def restrict(rules: int, *, ports: Collection[int] | None) -> None:
    """Restrict the calling thread, and all that it starts from now on. Raises OSError.

    `ports` are the ports that the rules allow; None: the rules aren't about ports. Connections that
    no such rule covers are refused with them, too, and without any port all sockets of TCP. The
    kernel's keyring and what programs share in the kernel are refused in any case. Root also loses
    the capabilities by which it could read other processes' memory.
    """
    give_up_privileges()
    _call(_RESTRICT_SELF, rules, 0)
    refuse_uncovered_calls(ports if _ports() else None)


def give_up_privileges() -> None:
    """Give up what `restrict` takes away besides files and ports. Raises OSError."""
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _drop_capabilities()


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends. Raises OSError."""
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of processes whose own parents below it end. Raises OSError."""
    _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    sets = ctypes.create_string_buffer(24)
    if _libc().capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    low = [number & ~_TRACING for number in struct.unpack_from("=III", sets.raw, 0)]
    high = [number & ~(_TRACING >> 32) for number in struct.unpack_from("=III", sets.raw, 12)]
    capabilities = struct.pack("=IIIIII", *low, *high)
    if capabilities != sets.raw and _libc().capset(header, capabilities) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _created(files: int, ports: int, scopes: int) -> int:
    attributes = struct.pack("=QQQ", files, ports, scopes)[: _attributes_bytes(abi())]
    return _call(_CREATE_RULESET, attributes, len(attributes), 0)


def _files() -> int:
    """Return the rights to files that the kernel knows."""
    return next((rights for known, rights in _FILES_BY_ABI if abi() >= known), 0)


def _ports() -> int:
    """Return the rights to TCP ports that the kernel knows."""
    return _BIND_TCP | _CONNECT_TCP if abi() >= _PORTS_ABI else 0


def _allow_ports(rules: int, ports: Iterable[int]) -> None:
    for port in ports if _ports() else ():
        _call(_ADD_RULE, rules, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)


def _allow(rules: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
                attributes = struct.pack(
                    "=Qi", rights if folder else rights & _OF_FILES, descriptor
                )
                _call(_ADD_RULE, rules, _PATH_BENEATH, attributes, 0)
            finally:
                os.close(descriptor)


def _attributes_bytes(version: int) -> int:
    """Return the size of `struct landlock_ruleset_attr` in this ABI."""
    if version >= _SCOPES_ABI:
        return 24
    return 16 if version >= _PORTS_ABI else 8


@functools.lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _call(number: int, *arguments: int | bytes | None) -> int:
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *converted))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"Landlock: {os.strerror(error)}")
    return result
