"""The environment of asset code (docs/how-to/secrets.md): a fixed list of names.

It has nothing else of Headrace's own environment, because the rest may hold secrets. An asset gets
more only through `environment:`, `secrets:` and `[run] pass_environment`. This module imports
nothing of Headrace: the fork server is started with it before a command imports anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

COMMON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
"""Variables that any program may need; also all that begin with `LC_`."""
COMMON_PREFIX = "LC_"
OF_WORKERS = (
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONUTF8",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
    "HEADRACE_FAULT",
    "HEADRACE_FAULT_ONCE",
    "HEADRACE_FAULT_TRACE",
)
"""Variables that a worker needs to start and to be tested: paths of Python, armed fault points.

Python assets run in a worker and see these as well; commands don't.
"""


def common(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environment` that commands get."""
    return {
        name: value
        for name, value in environment.items()
        if name in COMMON or name.startswith(COMMON_PREFIX)
    }


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of `environment` that workers, and so Python assets, get."""
    return common(environment) | {
        name: environment[name] for name in OF_WORKERS if name in environment
    }
