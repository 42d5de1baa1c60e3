"""Every how-to page that needs no server is typed here; a page that does has a test of its own,
named in `WITH_SERVERS`."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_lab import ROOT, follow

HOW_TO = ROOT / "docs" / "how-to"
WITH_SERVERS = {
    "http-api": "test_how_to_http_api",
    "change-data": "test_how_to_change_data",
    "databases": "test_how_to_databases",
    "remote-files": "test_how_to_remote_files",
    "postgresql": "test_how_to_postgresql",
    "secret-managers": "test_how_to_secret_managers",
    "combine-sources": "test_how_to_combine_sources",
    "deploy": "test_how_to_deploy",
    "install": "test_how_to_install",
}
LONG = {
    *("agents", "backfill", "backup", "command-assets", "environments", "erase", "operate"),
    *("optimize", "pull-requests", "python", "query", "sandbox", "secrets", "what-if"),
}
"""Pages that take longest; `make test-system` types them."""
PAGES = sorted(page.stem for page in HOW_TO.glob("*.md"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name in LONG))
        for name in PAGES
        if name not in WITH_SERVERS
    ],
)
def test_a_page_does_what_it_says(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A page that promises what the command no longer does."""
    # a short name: lines with a path would be broken elsewhere than on the page
    follow(HOW_TO / f"{name}.md", tmp_path_factory.mktemp("p"))


@pytest.mark.parametrize("name", [name for name in PAGES if name in WITH_SERVERS])
def test_a_page_with_servers_has_a_test_of_its_own(name: str) -> None:
    """A page that nobody types."""
    assert (Path(__file__).parent / f"{WITH_SERVERS[name]}.py").exists()
