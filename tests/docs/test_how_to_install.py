"""The page on installing is typed with the packages that are here: pip fetches nothing, and takes
Headrace itself from the checkout.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest
from page_lab import ROOT, follow

from headrace.model.plugins import IN_PACKAGES, SOURCES

OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
"""pip takes `PIP_NO_BUILD_ISOLATION=0` for "no isolation"."""


@pytest.mark.long
@pytest.mark.timeout(600)
def test_installing_is_as_the_page_says(tmp_path: Path) -> None:
    """Would catch: a wheel without its data, a command that pip doesn't take, an extra that isn't
    there."""
    checkout = tmp_path / "headrace"
    checkout.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    for name in ("src", "packages/headrace-legacy", "packages/headrace-ui"):
        shutil.copytree(
            ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "tests")
        )
    page = ROOT / "docs" / "how-to" / "install.md"
    follow(
        page, tmp_path, PYTHONPATH=sysconfig.get_path("purelib"), HEADRACE_SKIP_UI="1", **OFFLINE
    )


def test_the_page_names_every_extra() -> None:
    """Would catch: an extra that the page doesn't name, or one that is gone."""
    import tomllib

    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    assert [name for name in declared if f"`{name}`" not in page] == []


def test_every_kind_is_in_the_row_of_its_package() -> None:
    """Would catch: a source, format or executor of a package of which the page doesn't say so."""
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    rows = {
        line.split("`")[1].partition("[")[0]: line.lower()
        for line in page.splitlines()
        if line.startswith("| `headrace-")
    }
    kinds = [
        (f"`{name}:`" if group == SOURCES else name.replace("_", " "), package)
        for group, packages in IN_PACKAGES.items()
        for name, package in packages.items()
    ]
    packages = {package: package.strip("'").partition("[")[0] for _, package in kinds}
    assert [kind for kind, package in kinds if kind not in rows[packages[package]]] == []
