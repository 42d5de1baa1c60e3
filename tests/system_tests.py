"""Which tests are of the whole product: those with the marker `system`, for `make test-system`.

A test is one of them if it is in a folder of `FOLDERS`, if its file imports one of `STARTERS`, or
if it takes a database of a server. The marker is set here and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FOLDERS = {
    *(
        TESTS / name
        for name in (
            "acceptance",
            "docs",
            "examples",
            "faults",
            "golden",
            "runtime",
            "semantics",
            "simulation",
            "stories",
        )
    ),
    TESTS.parent / "packages/headrace-ui/tests/ui",
}
"""Folders whose tests run the whole product: leaders, workers, servers, browsers, simulations."""
STARTERS = {
    "runlab.Lab",
    "serve_lab.serving",
    "warm_fork_servers.headrace",
}
"""What starts leaders with their workers, servers, commands as processes."""
DATABASES = {"cluster", "mariadb", "own_cluster", "postgresql", "postgresql_lake"}
"""Fixtures that start a server; the parameters of others name them."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without system tests, whole folders of them needn't be imported."""
    unwanted = "not system" in config.option.markexpr
    return True if unwanted and collection_path in FOLDERS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _in_system_folder(item) or _takes_a_server(item) or _imports_a_starter(item):
            item.add_marker("system")


def _in_system_folder(item: pytest.Item) -> bool:
    return not FOLDERS.isdisjoint(item.path.parents)


def _takes_a_server(item: pytest.Item) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    asked = {*getattr(item, "fixturenames", ()), *map(str, parameters)}
    return not DATABASES.isdisjoint(asked)


def _imports_a_starter(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    names = {
        f"{getattr(value, '__module__', '')}.{name}" for name, value in vars(item.module).items()
    }
    return not STARTERS.isdisjoint(names)
