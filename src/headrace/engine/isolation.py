"""Asset code in a reused worker: loading modules, capturing output, restoring process state."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import io
import logging
import os
import select
import signal
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self, cast

from headrace.engine.logs import (
    LINE_BYTES_MAX,
    LOG,
    PIPE_BYTES,
    READ_BYTES,
    LogFile,
    OutputPipes,
    Spool,
    drain,
)

# Loads the user's Python as applied: modules of one code folder at a time, never the project's
# current files.
# A reused worker sees several versions. Modules of the previous version are removed, together with
# those that the user's code imported from its own folder, so that a sibling module never meets a
# newer caller. The code folder comes last on `sys.path`, because a user's `queue.py` must not
# replace Python's in the worker. The working directory isn't on the path.
# A module of assets belongs to a package whose path is the code folder, so that relative imports
# work as in the project. Modules next to the file of one asset aren't those of another folder's
# assets, even if both are called `helper`: they are set aside while the other asset runs. A module
# that `PYTHONPATH` or an editable installation finds in the project's folder is imported from the
# code folder instead (`_AppliedOnly`).

_PREFIX = "headrace_applied"
_OURS = str(Path(__file__).parents[2])
"""The folder from which this package itself is imported."""
_NOT_CODE = frozenset({"node_modules", "__pycache__", "venv", "site-packages", "dist-packages"})
"""Folders in a project whose modules aren't the project's code."""


class Loader:
    """Loads modules for a worker, each once per version."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._folder: Path | None = None
        self._paths: list[str] = []
        self._set_aside: dict[Path, dict[str, ModuleType]] = {}
        self._finder: _AppliedOnly | None = None
        self._before = ""
        """The module that was loaded last before those of the code folder."""

    def load(self, root: Path, file: str, project: Path | None = None) -> ModuleType:
        """Return the module of `file` (relative to the code folder `root`), executed once.

        Raises any exception of its code. `project` is the folder of which `root` holds copies of
        files; nothing is imported from there.
        """
        root = resolved(root)
        self._turn_to(root, project)
        self._turn_to_folder(root, _folder_of(root, file))
        name = _module_name(root, file)
        result = sys.modules.get(name)
        if result is None:
            _import_package(root, name.rpartition(".")[0])
            result = sys.modules[name] = _execute(name, root / file)
        return result

    def forget(self) -> None:
        """Remove all modules of the code folder, and the folder from `sys.path`."""
        root, self._root, self._folder = self._root, None, None
        self._set_aside.clear()
        if self._finder is not None:
            sys.meta_path.remove(self._finder)
            self._finder = None
        if root is None:
            return
        ours = [
            name
            for name, module in loaded_after(self._before)
            if name.startswith(_PREFIX) or _comes_from(module, root)
        ]
        for name in ours:  # not earlier: a package's path is looked up through its parent
            del sys.modules[name]
        sys.path[:] = [path for path in sys.path if path not in self._paths]
        self._paths.clear()
        importlib.invalidate_caches()

    def _turn_to(self, root: Path, project: Path | None) -> None:
        if root is self._root or root == self._root:
            return
        self.forget()
        self._root, self._before = root, next(reversed(sys.modules))
        sys.path[:] = [path for path in sys.path if not _is_here(path)]
        if project is not None:
            self._finder = _AppliedOnly(resolved(project), root)
            sys.meta_path.insert(0, self._finder)
        importlib.invalidate_caches()

    def _turn_to_folder(self, root: Path, folder: Path) -> None:
        """Make the modules next to an asset's file importable by their bare names."""
        if folder is self._folder or folder == self._folder:
            return
        if self._folder is not None and self._folder != root:
            neighbours = _found_in(self._folder)
            for name in neighbours:
                del sys.modules[name]
            self._set_aside[self._folder] = neighbours
        self._folder = folder
        sys.modules.update(self._set_aside.pop(folder, {}))
        sys.path[:] = [path for path in sys.path if path not in self._paths]
        self._paths = list(dict.fromkeys((str(root), str(folder))))
        sys.path.extend(self._paths)


class _AppliedOnly(MetaPathFinder):
    """Finds modules as the other finders do, but replaces project files by their applied copies."""

    def __init__(self, project: Path, root: Path) -> None:
        self._project, self._root = str(project), str(root)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's specification, or None. Raises ImportError if it isn't applied."""
        if name.partition(".")[0] in ("headrace", *sys.stdlib_module_names):
            return None
        spec = self._found_by_others(name, path, target)
        if spec is None:
            return None
        if spec.origin is None and spec.submodule_search_locations is not None:
            spec.submodule_search_locations = [
                self._applied(location) or location for location in spec.submodule_search_locations
            ]
            return spec
        applied = self._applied(spec.origin or "")
        if applied is None:
            return spec
        if not Path(applied).is_file():
            message = (
                f"{name} lies in the project's folder, but isn't a file that was applied:"
                f" {spec.origin}"
            )
            raise ImportError(message, name=name, path=spec.origin)
        folders = None if spec.submodule_search_locations is None else [str(Path(applied).parent)]
        return importlib.util.spec_from_file_location(
            name, applied, submodule_search_locations=folders
        )

    def _found_by_others(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find = getattr(
                finder, "find_spec", None
            )  # old finders have none; Python skips them too
            if (
                finder is not self
                and find is not None
                and (result := find(name, path, target)) is not None
            ):
                return cast("ModuleSpec", result)
        return None

    def _applied(self, place: str) -> str | None:
        """Return the path of the applied copy of a project file or folder; None for other paths."""
        if not _within(place, self._project) or _within(place, self._root):
            return None
        parts = Path(place).relative_to(self._project).parts
        if any(part.startswith(".") or part in _NOT_CODE for part in parts):
            return None
        return str(Path(self._root, *parts))


LOADER = Loader()
"""The worker's loader; modules belong to the process, and so does their loader."""


@functools.lru_cache(maxsize=32)
def resolved(root: Path) -> Path:
    """Return a code folder without links, cached because a folder of applied code never changes."""
    return root.resolve()


@functools.lru_cache(maxsize=1024)
def _folder_of(root: Path, file: str) -> Path:
    return (root / file).parent


@functools.lru_cache(maxsize=1024)
def _module_name(root: Path, file: str) -> str:
    """Return a unique module name: `headrace_applied_….assets.report`.

    Pickles of the module's classes can be read by this name. A path with dots can't be a module
    name, so such a file gets a name without a package and can't import relatively.
    """
    parts = file.removesuffix(".py").split("/")
    if any("." in part or not part for part in parts):
        return f"{_PREFIX}_{_hash(f'{root}/{file}')}"
    return ".".join([_package_name(root), *parts])


def _package_name(root: Path) -> str:
    """Return the name of the package whose path is the code folder."""
    return f"{_PREFIX}_{_hash(str(root))}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _import_package(root: Path, name: str) -> None:
    """Import the package of a module, with the `__init__.py` of each folder above it."""
    if not name:
        return
    top = _package_name(root)
    if top not in sys.modules:
        package = sys.modules[top] = ModuleType(top, "The applied files.")
        package.__path__ = [str(root)]
    importlib.import_module(name)


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} can't be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = (
        module  # before it runs, as `import` does: dataclasses look themselves up there
    )
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def loaded_after(name: str) -> list[tuple[str, ModuleType]]:
    """Return the modules that were loaded after this one; all if it isn't loaded any more.

    Looking at others would take longer than a short attempt in a fork, whose memory is copied page
    by page.
    """
    results = []
    for module_name in reversed(sys.modules):
        if module_name == name:
            break
        results.append((module_name, sys.modules[module_name]))
    return results


def _is_here(path: str) -> bool:
    """Return whether it is the working directory, which may hold files that weren't applied.

    Python's own folders don't count.
    """
    return path == "" or (
        path == str(Path.cwd()) and path not in sysconfig.get_paths().values() and path != _OURS
    )


def _found_in(folder: Path) -> dict[str, ModuleType]:
    """Return the modules imported by bare names from a folder, and their submodules."""
    results = list(sys.modules.items())
    tops = {name for name, module in results if "." not in name and _lies_in(module, folder)}
    return {name: module for name, module in results if name.partition(".")[0] in tops}


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Return whether a module is a file or a package directly in the folder."""
    places = [getattr(module, "__file__", None), *_paths_of(module)]
    inside = [str(place) for place in places if str(place).startswith(f"{folder}{os.sep}")]
    return any(Path(place).parent == folder for place in inside)


def _comes_from(module: ModuleType, root: Path) -> bool:
    places = [getattr(module, "__file__", None), *_paths_of(module)]
    return any(isinstance(place, str) and _within(place, str(root)) for place in places)


def _paths_of(module: ModuleType) -> list[str]:
    try:
        return list(getattr(module, "__path__", None) or ())
    except Exception:  # noqa: BLE001 - modules may be anything, some compute their path
        return []


def _within(place: str, root: str) -> bool:
    return place == root or place.startswith(f"{root}{os.sep}")


# Restores what asset code changes in its process, because the next attempt in this worker may
# belong to another asset.

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)
"""Signals that Python programs handle; SIGCHLD decides whether a command's end is noticed."""
_getsignal = getattr(signal, "_signal", signal).getsignal
"""Without the lookup of the enum member, which takes longer than the rest of the restoring."""


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Restore the working directory, the environment and signal handlers on exit.

    Only for the main thread, since only it can set signal handlers. Changes of modules remain.
    """
    environment, folder = _environment().copy(), os.open(".", os.O_RDONLY)
    handlers = _handlers()
    try:
        yield
    finally:
        if _environment() != environment:
            os.environ.clear()
            os.environb.update(environment)
        os.fchdir(folder)
        os.close(folder)
        if _handlers() != handlers:
            _put_back(handlers)


@contextlib.contextmanager
def limits_restored() -> Iterator[None]:
    """Restore the recursion limit and the file mode mask on exit.

    It wraps each call of user code, because Headrace's code right after the call needs both.
    """
    limit, mask = sys.getrecursionlimit(), os.umask(0o077)
    os.umask(mask)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        os.umask(mask)


def _environment() -> dict[bytes, bytes]:
    """Return the bytes under `os.environ`: comparing these takes a hundredth of the time."""
    return os.environ._data  # type: ignore[attr-defined, no-any-return]


def _handlers() -> list[Any]:
    return [_getsignal(number) for number in _SIGNALS]


def _put_back(handlers: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        if handler is not None:  # None: the handler wasn't set from Python
            signal.signal(number, handler)


# Captures the output of asset code while it runs: descriptors 1 and 2, `sys.stdout`, `sys.stderr`
# and Python's logging.
# One thread per worker empties the pipes (`LogListener`); between attempts it discards what
# arrives. An attempt that prints nothing costs a few system calls: the thread sleeps, and the end
# of the attempt reads the pipes itself.

LEVEL = logging.INFO
"""The level of Python's logging from which on lines are logged, unless asset code changes it."""


class LogListener:
    """The thread that empties the pipes into the log of the current attempt.

    Close it before the pipes. While it exists, Python's root logger is at `LEVEL`, and each attempt
    begins with the level of `logging.disable` that the worker had. The root logger's level isn't
    set per attempt, because a change clears the caches of all loggers: with the 200 loggers of a
    large library that takes half as long as the rest of an attempt that prints nothing.
    """

    def __init__(self, channel: OutputPipes) -> None:
        self._root_level = logging.root.level
        self.disabled_level = logging.root.manager.disable
        logging.root.setLevel(LEVEL)
        self._channel = channel
        self._lock = threading.Lock()
        self._file: LogFile | None = None
        self._spools: list[Spool] = []
        self._stop_read, self._stop_write = os.pipe()
        self._ready = select.poll()
        for _, pipe, _ in channel.sources:
            self._ready.register(pipe, select.POLLIN)
        self._thread = threading.Thread(target=self._listen, name="headrace-log", daemon=True)
        self._thread.start()

    def begin(self, file: LogFile) -> None:
        """Start an attempt's log; discard output that arrived since the previous attempt."""
        with self._lock:
            self._discard()
            self._file = file

    def end(self) -> None:
        """Write what is in the pipes now; don't wait for their end, which a child may hold open."""
        with self._lock:
            if self._spools or self._ready.poll(0):
                self._take(PIPE_BYTES)
            for spool in self._spools:
                spool.close()
            self._spools, self._file = [], None

    def close(self) -> None:
        """End the thread and restore the level of the root logger."""
        os.close(self._stop_write)
        self._thread.join()
        os.close(self._stop_read)
        logging.root.setLevel(self._root_level)

    def _listen(self) -> None:
        waiting = select.poll()
        for fd in (self._channel.stdout_read, self._channel.stderr_read, self._stop_read):
            waiting.register(fd, select.POLLIN)
        while all(fd != self._stop_read for fd, _ in waiting.poll()):
            with self._lock:
                if self._file is None:
                    self._discard()
                else:
                    self._take(READ_BYTES)  # at most this much: a child may print forever

    def _take(self, bytes_max: int) -> None:
        assert self._file is not None
        if not self._spools:
            self._spools = [Spool(*source, self._file) for source in self._channel.sources]
        for spool in self._spools:
            spool.take(bytes_max)

    def _discard(self) -> None:
        if self._ready.poll(0):
            for _, pipe, _ in self._channel.sources:
                drain(pipe)


class Capture:
    """Sends what the process prints to an attempt's log while the context is open.

    A worker passes the listener that it reuses. Text streams and the handler of Python's logging
    are made anew for each attempt (10 µs): asset code may keep, change or close those that it saw.
    """

    def __init__(
        self, channel: OutputPipes, file: LogFile, listener: LogListener | None = None
    ) -> None:
        self.file = file
        self._channel = channel
        self._listener = listener or LogListener(channel)
        self._own = listener is None
        self._kept: list[tuple[int, int]] = []
        self._streams = (sys.stdout, sys.stderr)
        self._texts: tuple[io.TextIOWrapper, ...] = ()
        self._handler: _Handler | None = None

    def __enter__(self) -> Self:
        self._streams = (sys.stdout, sys.stderr)
        _flush(self._streams)
        self._listener.begin(self.file)
        try:
            self._redirect()
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # asset code may have set other streams, over the attempt's own
        _flush((getattr(sys, "stdout", None), getattr(sys, "stderr", None), *self._texts))
        try:
            self._end_logging()
        finally:
            self._restore()

    def _redirect(self) -> None:
        for target, end in ((1, self._channel.stdout_write), (2, self._channel.stderr_write)):
            self._kept.append((target, os.dup(target)))
            os.dup2(end, target)
        self._texts = (_text(1), _text(2))
        sys.stdout, sys.stderr = self._texts
        self._handler = _Handler(self.file)
        handlers: object = logging.root.handlers
        if not isinstance(handlers, list):  # an earlier attempt replaced it
            logging.root.handlers = []
        logging.root.addHandler(self._handler)

    def _end_logging(self) -> None:
        if self._handler is not None:
            # whatever asset code has made of the object, and of its methods
            _Handler.end(self._handler)
            handlers: object = logging.root.handlers
            if isinstance(handlers, list):
                logging.root.removeHandler(self._handler)
        if logging.root.level != LEVEL:  # the level that asset code set isn't the next attempt's
            logging.root.setLevel(LEVEL)
        if logging.root.manager.disable != self._listener.disabled_level:
            logging.disable(self._listener.disabled_level)

    def _restore(self) -> None:
        sys.stdout, sys.stderr = self._streams
        for target, saved in self._kept:
            os.dup2(saved, target)
            os.close(saved)
        self._kept, self._texts = [], ()
        self._listener.end()
        if self._own:
            self._listener.close()
        self.file.close()


class _Handler(logging.Handler):
    """Handler of Python's logging; it bypasses the pipes, which don't carry levels."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file: LogFile | None = file

    def end(self) -> None:
        """Write nothing more: a thread that outlives its attempt may still log."""
        self._file = None

    def emit(self, record: logging.LogRecord) -> None:
        file = self._file
        if file is None:
            return
        try:
            text = self.format(record)
        # a bad format string is logged as it is, not raised into asset code
        except Exception:  # noqa: BLE001
            text = f"{record.msg!r} {record.args!r}"
        for part in text.splitlines() or [""]:
            file.write(LOG, record.levelname.lower(), part[:LINE_BYTES_MAX])


def _flush(streams: Iterable[Any]) -> None:
    for stream in streams:
        try:  # noqa: SIM105 - `suppress` costs more than the rest
            stream.flush()
        except Exception:  # noqa: BLE001, S110 - asset code may have closed or deleted it
            pass


def _text(fd: int) -> io.TextIOWrapper:
    """Return a line-buffered text stream over a descriptor."""
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
