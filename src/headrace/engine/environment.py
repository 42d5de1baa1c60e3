"""The environment that asset code gets: nothing of Headrace's own but a fixed list of names (docs/how-to/secrets.md).

Everything else of the parent's environment may hold a secret. An asset gets more only by what it declares (`environment:`,
`secrets:`) and by `[run] pass_environment`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

COMMON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
"""What any program may need, with all that begin with `LC_`."""
COMMON_PREFIX = "LC_"
OF_WORKERS = (
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX", "HEADRACE_FAULT", "HEADRACE_FAULT_ONCE", "HEADRACE_FAULT_TRACE",
)  # fmt: skip
"""What the worker itself needs to start, and to be tested: where Python and its libraries lie, and armed fault points. Python assets
run in a worker and see these as well; commands don't."""


class Handed(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What one attempt gets beyond the clean environment, sent to its worker through the pipe of tasks."""

    variables: dict[str, str] = {}
    """Name → value, those of secrets included."""
    secrets: tuple[str, ...] = ()
    """Names of variables whose values must not be kept anywhere."""
    missing: str = ""
    """Why a declared secret can't be handed over: the attempt can't begin."""


def common(environment: Mapping[str, str]) -> dict[str, str]:
    """What commands get of `environment`."""
    return {name: value for name, value in environment.items() if name in COMMON or name.startswith(COMMON_PREFIX)}


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """What workers, and so Python assets, get of `environment`."""
    return common(environment) | {name: environment[name] for name in OF_WORKERS if name in environment}


@contextmanager
def surrounded(handed: Handed | None) -> Iterator[None]:
    """While it is entered, the process's environment has what was handed over; afterwards it is as before."""
    if handed is None or not handed.variables:
        yield
        return
    before = dict(os.environ)
    os.environ.update(handed.variables)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ.update(before)
