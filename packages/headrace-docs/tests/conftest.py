"""The shop that several files of tests describe, built once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from documented_shop import documented_shop, opened

from headrace.extension import Silent, apply
from headrace_docs.responses.description import Description
from headrace_docs.services.site import described_as


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, which no test changes."""
    return documented_shop(tmp_path_factory.mktemp("documented") / "shop")


@pytest.fixture(scope="session")
def described(shop: Path) -> Description:
    """All of it, as its admin sees it."""
    return described_as(opened(shop), None)


@pytest.fixture(scope="session")
def changed_shop(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop with a second version: an asset is gone, another one never ran."""
    root = tmp_path_factory.mktemp("changed") / "shop"
    shutil.copytree(shop, root)
    (root / "assets/secret_margin.sql").unlink()
    (root / "consumers.yaml").write_text(
        "- {consumer: morning-report, owner: core, reads: [later], due: '05:00'}\n"
    )
    (root / "assets/later.sql").write_text(
        "/* headrace\nowner: core\ndomain: sales\npartition: {by: day, column: day}\n"
        "start: '2026-01-01'\n*/\nselect day, id from clean\n"
    )
    session = opened(root)
    apply(session, confirm=lambda _: True, progress=Silent())
    return root
