"""A seccomp filter that refuses what Landlock's rules don't cover: the keyring and some sockets.

The kernel keeps keys of a user for all its processes, outside of the file system; likewise the
shared memory, queues and semaphores of System V, and POSIX's queues (svipc(7), mq_overview(7)).
Landlock looks at bind(2) and connect(2) of TCP. A program reaches any host and port without them:
by data sent with the request to connect (TCP Fast Open), and by MPTCP, which falls back to TCP.
Where ports are restricted, the filter refuses both, and io_uring, whose requests no filter sees.
listen(2) without bind(2) takes a port that the kernel chooses, and a filter can't tell such a
socket from one of the file system: without any port to connect to, all sockets of TCP are refused,
so that none listens.
The filter holds for the calling thread and for all threads and processes that it starts later.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct
from collections.abc import Collection, Iterable
from typing import NamedTuple

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 6
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`; each argument has eight bytes, the low half first."""
_SET_MODE_FILTER, _ALLOW_SPECULATION = 1, 4
"""Kernels before 5.16 slow filtered processes down without SECCOMP_FILTER_FLAG_SPEC_ALLOW."""
_INET, _INET6, _SMC = 2, 10, 43
_STREAM, _DATAGRAM, _RAW, _KIND_BITS = 1, 2, 3, 0xF
_TCP = 6
_FAST_OPEN = 0x20000000
_X32 = 0x40000000
_IO_URING_SETUP = 425

_Code = list[tuple[int, int, int, int]]


class _Calls(NamedTuple):
    """Numbers of system calls of an architecture."""

    architecture: int
    socket: int
    flags: tuple[tuple[int, int], ...]
    """Calls that send, each with the index of its flags."""
    seccomp: int
    kept: tuple[int, ...]
    """Calls to what the kernel keeps outside of the file system: mq_open, msgget, msgsnd, msgrcv,
    semget, semop, semtimedop, shmget, shmat, add_key, request_key and, last, keyctl (all (2))."""
    foreign: int
    """The 32-bit architecture whose programs run here, too."""
    foreign_calls: tuple[int, ...]
    """Its calls to open sockets and to send, which are all refused with ports."""
    foreign_kept: tuple[int, ...]
    """As `kept`; ipc(2), by which 32-bit programs for x86 do the same, is one of them."""


_MACHINES = {
    "x86_64": _Calls(
        architecture=0xC000003E,
        socket=41,
        flags=((44, 3), (46, 2), (307, 3)),
        seccomp=317,
        kept=(240, 68, 69, 70, 64, 65, 220, 29, 30, 248, 249, 250),
        foreign=0x40000003,
        foreign_calls=(102, 345, 359, 369, 370),
        foreign_kept=(277, 399, 400, 401, 393, 420, 395, 397, 117, 286, 287, 288),
    ),
    "aarch64": _Calls(
        architecture=0xC00000B7,
        socket=198,
        flags=((206, 3), (211, 2), (269, 3)),
        seccomp=277,
        kept=(180, 186, 189, 188, 190, 193, 192, 194, 196, 217, 218, 219),
        foreign=0x40000028,
        foreign_calls=(281, 290, 296, 374),
        foreign_kept=(274, 303, 301, 302, 299, 298, 312, 420, 307, 305, 309, 310, 311),
    ),
}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def refuse_uncovered_calls(ports: Collection[int] | None) -> None:
    """Restrict the calling thread, which must have given up new privileges (`engine.landlock`).

    `ports` are the TCP ports that Landlock allows; None: it restricts no ports, so no sockets are
    refused. Nothing happens on processors whose system calls aren't known, and where the system has
    no filters: `headrace doctor` tries what holds.
    """
    calls = _MACHINES.get(platform.machine())
    if calls is None:
        return
    code = _encoded(platform.machine(), ports is not None, bool(ports))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = map(ctypes.c_long, (calls.seccomp, _SET_MODE_FILTER, _ALLOW_SPECULATION))
    if libc.syscall(*arguments, ctypes.byref(program)) != 0:
        error = ctypes.get_errno()
        if error not in (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EACCES):
            raise OSError(error, "seccomp")


def keyctl_number() -> int:
    """Return the number of keyctl(2), which reads the kernel's keyring; -1 if it isn't known."""
    calls = _MACHINES.get(platform.machine())
    return -1 if calls is None else calls.kept[-1]


def read_keyring() -> None:
    """Read the session's keyring, as restricted code might. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, (keyctl_number(), 0, -3, 0, 0, 0))) == -1:
        raise OSError(ctypes.get_errno(), "keyctl")


@functools.cache
def _encoded(machine: str, sockets: bool, tcp: bool) -> bytes:
    calls = _MACHINES[machine]
    here = [
        (_LOAD, 0, 0, _NUMBER),
        *_unless(_JUMP_AT_LEAST, _X32, [_refused(errno.ENOSYS)]),
        *_all_refused(calls.kept),
    ]
    foreign = [
        (_LOAD, 0, 0, _NUMBER),
        *_all_refused(calls.foreign_kept),
    ]
    if sockets:
        here += _unless(_JUMP_EQUAL, _IO_URING_SETUP, [_refused(errno.ENOSYS)])
        here += _unless(_JUMP_EQUAL, calls.socket, _socket_checks(tcp))
        for number, index in calls.flags:
            here += _unless(_JUMP_EQUAL, number, _flag_checks(index))
        foreign += _all_refused((*calls.foreign_calls, _IO_URING_SETUP))
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_unless(_JUMP_EQUAL, calls.architecture, [*here, _ALLOWED]),
        *_unless(_JUMP_EQUAL, calls.foreign, [*foreign, _ALLOWED]),
        _ALLOWED,
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in code)


_ALLOWED = (_RETURN, 0, 0, 0x7FFF0000)


def _refused(error: int = errno.EACCES) -> tuple[int, int, int, int]:
    return (_RETURN, 0, 0, 0x00050000 | error)


def _unless(jump: int, value: int, block: _Code) -> _Code:
    """Return `block` behind a jump over it, for other values; the block must end by returning."""
    return [(jump, 0, len(block), value), *block]


def _all_refused(numbers: Iterable[int]) -> _Code:
    return [line for number in numbers for line in _unless(_JUMP_EQUAL, number, [_refused()])]


def _argument(index: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)


def _flag_checks(index: int) -> _Code:
    return [_argument(index), *_unless(_JUMP_ANY_BIT, _FAST_OPEN, [_refused()]), _ALLOWED]


def _socket_checks(tcp: bool) -> _Code:
    """Return the checks of socket(2): of the Internet's sockets, TCP, UDP and raw ones only."""
    stream = [
        _argument(2),
        *_unless(_JUMP_EQUAL, 0, [_ALLOWED]),
        *_unless(_JUMP_EQUAL, _TCP, [_ALLOWED]),
        _refused(),
    ]
    kind = [
        _argument(1),
        (_AND, 0, 0, _KIND_BITS),
        *_unless(_JUMP_EQUAL, _DATAGRAM, [_ALLOWED]),
        *_unless(_JUMP_EQUAL, _RAW, [_ALLOWED]),
        *(_unless(_JUMP_EQUAL, _STREAM, stream) if tcp else ()),
        _refused(),
    ]
    return [
        _argument(0),
        *_unless(_JUMP_EQUAL, _SMC, [_refused()]),
        *_unless(_JUMP_EQUAL, _INET, kind),
        *_unless(_JUMP_EQUAL, _INET6, kind),
        _ALLOWED,
    ]
