"""The user's Python, as applied: modules from one code folder at a time, never from the project's files of this moment.

A warm worker sees several versions. Modules of the version before are forgotten (ours and those that the user's code
imported from its own folder), so that a sibling module never mixes with a newer caller. The folder stands last
on `sys.path`: a user's `queue.py` must not take the place of Python's in the worker. The working directory isn't on it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

_PREFIX = "headrace_applied"
_OURS = str(Path(__file__).parents[2])
"""Where this package itself is imported from."""


class Loader:
    """Loads modules for a worker, each once a version."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._paths: list[str] = []

    def load(self, root: Path, file: str) -> ModuleType:
        """The module of `file` (relative to the code folder `root`), executed once. Raises whatever its code raises."""
        self._turn_to(resolved(root), file)
        name = _module_name(root, file)
        found = sys.modules.get(name)
        if found is None:
            found = sys.modules[name] = _execute(name, root / file)
        return found

    def forget(self) -> None:
        """Drop every module that came from the code folder, and the folder from `sys.path`."""
        root, self._root = self._root, None
        if root is None:
            return
        ours = [name for name, module in list(sys.modules.items()) if name.startswith(_PREFIX) or _comes_from(module, root)]
        for name in ours:  # only now: a package's path is looked up through its parent
            del sys.modules[name]
        sys.path[:] = [path for path in sys.path if path not in self._paths]
        self._paths.clear()
        importlib.invalidate_caches()

    def _turn_to(self, root: Path, file: str) -> None:
        if root != self._root:
            self.forget()
            self._root = root
            sys.path[:] = [path for path in sys.path if not _is_here(path)]
            importlib.invalidate_caches()
        for path in (str(root), str((root / file).parent)):
            if path not in sys.path:
                sys.path.append(path)
                self._paths.append(path)


LOADER = Loader()
"""The worker's: modules are a property of the process, and so is what loads them."""


@functools.lru_cache(maxsize=32)
def resolved(root: Path) -> Path:
    """A code folder without links. Remembered: a folder of applied code never changes, and each attempt asks."""
    return root.resolve()


@functools.lru_cache(maxsize=1024)
def _module_name(root: Path, file: str) -> str:
    """A name that nothing else has, and that a pickle of the body's own classes can be read by."""
    digest = hashlib.sha256(f"{root}\0{file}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_PREFIX}_{digest}"


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} can't be loaded as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as `import` does: dataclasses look themselves up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _is_here(path: str) -> bool:
    """Whether it is the working directory, which may hold the project's files of this moment; Python's own folders aren't meant."""
    return path == "" or (path == str(Path.cwd()) and path not in sysconfig.get_paths().values() and path != _OURS)


def _comes_from(module: ModuleType, root: Path) -> bool:
    places = [getattr(module, "__file__", None), *_paths_of(module)]
    return any(isinstance(place, str) and _within(place, root) for place in places)


def _paths_of(module: ModuleType) -> list[str]:
    try:
        return list(getattr(module, "__path__", None) or ())
    except Exception:  # noqa: BLE001 - modules may be anything, some compute their path
        return []


def _within(place: str, root: Path) -> bool:
    return place == str(root) or place.startswith(f"{root}{os.sep}")
