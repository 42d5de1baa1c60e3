"""What asset code may reach: its inputs, its code, its own folders, the system's libraries.

Enforced by `engine.landlock` where the system has it. Paths that are named here are those that
programs and libraries need on any machine; none of them holds data or credentials of the project
(docs/decisions/0147-restricted-code.md).
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from headrace.engine import call_filter, landlock
from headrace.engine.attempts import BodyError, BodyTask, DataFolders
from headrace.engine.failures import failed
from headrace.engine.landlock import Access

Result = TypeVar("Result")

SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/nix/store"),
    *("/proc", "/sys", "/run/systemd/resolve", "/run/resolvconf", "/var/lib/ca-certificates"),
    *(
        f"/etc/{name}"
        for name in (
            *(
                "alternatives",
                "ca-certificates",
                "ca-certificates.conf",
                "crypto-policies",
                "dotnet",
            ),
            *("fonts", "gai.conf", "group", "host.conf", "hosts", "java", "ld.so.cache"),
            *("ld.so.conf", "ld.so.conf.d", "locale.alias", "localtime", "magic", "mime.types"),
            *("mono", "nsswitch.conf", "OpenCL", "openssl", "os-release", "passwd", "pki"),
            *("protocols", "R", "resolv.conf", "services", "ssl", "terminfo", "timezone"),
        )
    ),
    *map(str, sorted(Path("/etc").glob("java-*-openjdk"))),  # Debian's settings of each Java
)
"""Programs, libraries and settings of the system, to read and execute."""
KERNEL_FOLDERS = ("/proc", "/sys")
"""What the kernel shows there of other processes stays refused, whatever is declared."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
"""Devices to read and write."""
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - a folder of all programs of the user, so only if declared
LINES_LOOKED_AT = 50
"""The number of last lines of a program's output in which a refused path is searched."""
_DENIED = re.compile(
    r"""['"`‘]?(/[^\s'"`’:,;]+)['"`’]?[^/\n]{0,40}Permission denied"""
    r"""|Permission denied[^/\n]{0,20}['"`‘]?(/[^\s'"`’:,;)]+)"""
)
_OF_SHARED_MEMORY = re.compile(r"multiprocessing/(synchronize|shared_memory|sharedctypes)\.py")
"""Python's calls for shared memory name no path in their errors."""
_NOT_PERMITTED = re.compile(r"Operation not permitted")


@functools.lru_cache(maxsize=1)
def available() -> bool:
    """Return whether this process can restrict code, found by restricting a thread once."""
    if not landlock.abi():
        return False
    try:
        restricted(Access(read=("/",), write=("/",)), lambda: None)
    except OSError:  # a container's rules forbid it, or 16 sandboxes are around this process
        return False
    return True


def is_restricted(task: BodyTask) -> bool:
    """Return whether the task's code runs restricted: declared so, and possible here."""
    return task.sandbox.on and available()


def restricted(access: Access, start: Callable[[], Result]) -> Result:
    """Return what `start` returns in a thread that may reach no more than `access`.

    Processes that it starts have the same limits for ever. Raises its exceptions, and OSError if
    the thread can't be restricted.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            landlock.restrict(rules, ports=access.ports)
            results.append(start())
        except BaseException as error:  # noqa: BLE001 - raised again in the calling thread
            errors.append(error)

    rules = landlock.ruleset(access)
    try:
        thread = threading.Thread(target=run, name="headrace-restricted")
        thread.start()
        thread.join()
    finally:
        os.close(rules)
    if errors:
        raise errors[0]
    return results[0]


def access_of(
    task: BodyTask, folders: DataFolders, *, read: Sequence[Path], write: Sequence[Path]
) -> Access:
    """Return what the task's code may reach, besides these paths of the attempt.

    Raises `BodyFailed` for a declared path that would open the project's data.
    """
    beyond = access_beyond(task, folders, read=read, write=write)
    common = everywhere()
    return Access((*common.read, *beyond.read), (*common.write, *beyond.write), beyond.ports)


def everywhere() -> Access:
    """Return what any restricted code may reach: the system, this Python, and programs."""
    programs = os.environ.get("PATH", "").split(os.pathsep)
    return Access((*SYSTEM, *_python(), *programs), DEVICES)


def access_beyond(
    task: BodyTask, folders: DataFolders, *, read: Sequence[Path], write: Sequence[Path]
) -> Access:
    """Return what the task's code may reach beyond `everywhere`, as `access_of` does."""
    data = os.path.realpath(folders.lake.parent)
    return Access(
        (*map(str, read), *_declared(task, task.sandbox.read, folders, data)),
        (*map(str, write), *_declared(task, task.sandbox.write, folders, data)),
        task.sandbox.ports if task.sandbox.hosts is None else task.sandbox.ports or (),
    )


LIBRARIES = (
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/sys/fs/cgroup"),
)
"""What Python and DuckDB load while they run queries."""
CGROUP = "/proc/self/cgroup"
"""DuckDB reads its limits of memory when it opens a database; without it, it ends the process."""


def access_of_queries(*, read: Sequence[Path], write: Sequence[Path]) -> Access:
    """Return what the thread that runs queries may reach, besides these folders; no port."""
    return Access(
        read=(*LIBRARIES, CGROUP, *_python(), *map(str, read)),
        write=("/dev/null", *map(str, write)),
        ports=(),
    )


SHIMS = "shims"
"""The folder of pyenv, asdf and mise with programs that start the chosen version of another one."""


def program_paths(name: str, path: str) -> list[Path]:
    """Return the folders that a program outside of the system's needs: its own installation."""
    program = shutil.which(name, path=path)
    if program is None:
        return []
    results = [Path(program).parent]
    for place in (Path(program), Path(program).resolve()):
        prefix = place.parent.parent
        of_python = (prefix / "pyvenv.cfg").is_file() or (prefix / "conda-meta").is_dir()
        if of_python or place.parent.name == SHIMS:
            results.append(prefix)
        elif place.parent.name == "bin":
            results += [prefix / folder for folder in ("bin", "lib", "lib64", "libexec")]
    return results


@functools.lru_cache(maxsize=1)
def _python() -> tuple[str, ...]:
    """Return the folders of this Python, of its packages and of Headrace."""
    here = str(Path(__file__).parents[1])
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    folders = [path for path in sys.path if path and path != str(Path.cwd())]
    return tuple(dict.fromkeys((*prefixes, here, *folders)))


def _declared(
    task: BodyTask, paths: Iterable[str], folders: DataFolders, data: str
) -> Iterator[str]:
    for path in paths:
        real = os.path.realpath(folders.project / Path(path).expanduser())
        if Path(data).is_relative_to(real) or Path(real).is_relative_to(data):
            raise failed(
                f"`sandbox`: `{path}` would open the project's data folder, with its state",
                code="configuration_error",
                file=task.body.file,
                line=task.body.line,
                hint="name folders beside it; an input gives the code the data of other assets",
                everywhere=True,
            )
        yield real


def explained(error: BodyError, lines: Sequence[str], access: Access, data: Path) -> BodyError:
    """Return a failure with the path or act that was refused, if its texts name one.

    `data` is the project's data folder, which no declaration opens.
    """
    texts = [*reversed(lines[-LINES_LOOKED_AT:]), error.message]
    path = next((path for text in texts if (path := _refused_path(text, access))), None)
    if path is not None:
        return msgspec.structs.replace(
            error,
            message=f"{error.message}: {path} is outside of what this asset may read or write",
            hint=_declaration_hint(path, access, data),
        )
    if any(_OF_SHARED_MEMORY.search(text) for text in texts) and SHARED_MEMORY not in access.write:
        return msgspec.structs.replace(
            error,
            hint=f"locks and memory that processes share: `sandbox: {{write: [{SHARED_MEMORY}]}}`"
            " opens those of all programs of this user",
        )
    if any(_NOT_PERMITTED.search(text) for text in texts):
        return msgspec.structs.replace(
            error,
            hint="asset code may not signal or trace processes that it didn't start",
        )
    if access.ports is not None and any("Permission denied" in text for text in texts):
        hint = (
            "it may connect to the TCP ports of its `sandbox: {ports: […]}`, to its `hosts` over"
            " the proxy that HTTPS_PROXY names, and to no other"
        )
        return msgspec.structs.replace(error, hint=hint)
    return error


def _declaration_hint(path: str, access: Access, data: Path) -> str:
    """Return which declaration opens a refused path, or that none does."""
    real = os.path.realpath(path)
    if _is_below(real, str(data)) or Path(os.path.realpath(data)).is_relative_to(real):
        return "no declaration opens the project's data folder: make other assets' data an input"
    if any(_is_below(os.path.normpath(path), folder) for folder in KERNEL_FOLDERS):
        return "no declaration opens other processes, or settings of the kernel"
    if any(_is_below(real, allowed) for allowed in access.read):
        return f"declare it, if it writes there: `sandbox: {{write: [{path}]}}`"
    return f"declare it, if it needs it: `sandbox: {{read: [{path}]}}`, or `write`"


def _refused_path(text: str, access: Access) -> str | None:
    """Return the path that a text says permission was denied for, if it is one out of reach."""
    for match in _DENIED.finditer(text):
        path = os.path.realpath(match[1] or match[2])
        readable = any(_is_below(path, allowed) for allowed in (*access.read, *access.write))
        writable = any(_is_below(path, allowed) for allowed in access.write)
        if not readable or not writable:
            return match[1] or match[2]
    return None


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(os.path.realpath(folder))


class Protections(NamedTuple):
    """The parts that hold for restricted processes on this machine, found by a real one."""

    reading: bool
    writing: bool
    ports: bool
    signals: bool
    keyring: bool


def protections(folder: Path) -> Protections:
    """Return which protections hold, tested by a restricted process.

    It tries what asset code may not do to a file in `folder`, to a port, and to this process.
    """
    if not available():
        return _NOTHING_KNOWN
    victim = folder / "probe"
    victim.write_text("readable")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = map(str, (victim, port, call_filter.keyctl_number()))
        command = [sys.executable, "-I", "-S", "-c", _PROBE, *arguments]
        process = restricted(
            Access((*SYSTEM, *_python()), DEVICES, ()),
            lambda: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL),
        )
        answer = process.communicate(timeout=PROBE_SECONDS_MAX)[0].decode().split()
    refused = [word == PROBE_REFUSED for word in answer]
    return Protections(*refused) if len(refused) == len(Protections._fields) else _NOTHING_KNOWN


PROBE_SECONDS_MAX = 30
PROBE_REFUSED = "refused"
"""What the probe prints of something that it may not do."""
_NOTHING_KNOWN = Protections(*[False] * len(Protections._fields))
_PROBE = """
import ctypes, os, socket, sys

def attempt(act):
    try:
        act()
    except PermissionError:
        print("refused")
    except OSError as error:
        print(type(error).__name__)
    else:
        print("possible")

def connection():
    for connect in (  # by TCP Fast Open, and by MPTCP
        lambda: socket.socket().sendto(b"x", 0x20000000, address),
        lambda: socket.socket(proto=262).connect(address),
    ):
        try:
            connect()
        except OSError:
            continue
        return
    socket.create_connection(address).close()

def keyring():  # the session's own keys
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(int(sys.argv[3]), 0, -3, 0, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "keyctl")

path, address = sys.argv[1], ("127.0.0.1", int(sys.argv[2]))
attempt(lambda: open(path).close())
attempt(lambda: os.truncate(path, 0))
attempt(connection)
attempt(lambda: os.kill(os.getppid(), 0))
attempt(keyring)
"""
