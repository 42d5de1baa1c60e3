"""How the built files get to a browser: with which headers, for whom, and what is there where they
aren't built."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_lab import ask, deliver, headrace, project, write

from headrace.runtime.runs import LeaderCounters
from headrace.web import HttpServer, listen
from headrace.web.access import Guard, token_of
from headrace.web.app import app
from headrace.web.project_reader import ProjectReader
from headrace_ui.web import bundle
from headrace_ui.web.bundle import Bundle
from headrace_ui.web.page_addresses import PAGES


class Stands:
    """A server that leads nothing."""

    role = "standby"
    figures: LeaderCounters | None = None


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """A port, and its token. The bundle is a page, a script and a secret beside the folder."""
    root = project(tmp_path_factory.mktemp("served") / "shop")
    deliver(root, "2025-03-01")
    headrace(root, "tick", "--now", "2025-03-02T06:00")
    write(root / "bundle/index.html", "<!doctype html><title>ui</title>")
    write(root / "bundle/assets/main-1a2b.js", "export {}")
    write(root / "secret.js", "no")
    token = token_of(root / ".headrace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "BUNDLE", root / "bundle")
        application = app(ProjectReader(root, "prod"), Guard(token, "127.0.0.1"), Stands())
    with HttpServer(application, listen("127.0.0.1", 0)) as door:
        yield door.port, token


def test_each_address_gives_the_page_and_only_with_the_token_as_such(
    served: tuple[int, str],
) -> None:
    """Would catch: a deep link that is 404, or one that says 200 to whoever has no token."""
    port, token = served
    alone = [f"/{name}" for name, page in PAGES.items() if page.alone]
    for path in (
        "/",
        *alone,
        "/backfills/new",
        "/figures/availability",
        "/assets/orders",
        "/sources/orders",
        "/consumers/report",
    ):
        answer = ask(port, path, Authorization=f"Bearer {token}")
        assert (answer.status, b"<title>ui" in answer.body) == (200, True), path
        assert ask(port, path).status == 401, path


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/assets/nope",
        "/assets/orders%2Fnope",
        "/assets/a/b",
        "/sources",
        "/graph/x",
        "/consumers/%E2%80%AEtroper",
        "/incidents/INC-1",
        "/incidents/x",
        "/runs/999",
        "/runs/x",
        "/backfills/7",
        "/backfills/x",
        "/approvals/9",
        "/approvals/A9",
        "/contracts/xx",
        "/figures/xx",
        "/%00",
        "/assets/%ff",
    ],
)
def test_an_address_that_names_nothing_is_a_page_and_404(
    served: tuple[int, str], path: str
) -> None:
    """Would catch: JSON for a person who mistyped a name, or a page that says 200 to a link checker."""
    port, token = served
    sent = {"Authorization": f"Bearer {token}", "Accept": "text/html,*/*;q=0.8"}
    answer = ask(port, path, **sent)
    assert (answer.status, b"<title>ui" in answer.body) == (404, True), path
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src")
    assert answer.headers["cache-control"] == "no-store"
    assert ask(port, f"/api/v1{path}", **sent).headers["content-type"] == "application/problem+json"


def test_the_page_may_run_its_own_scripts_and_no_others(served: tuple[int, str]) -> None:
    """Would catch: a policy that lets injected markup run, or one that keeps the page's own scripts
    out.
    """
    port, token = served
    policy = ask(port, "/", Authorization=f"Bearer {token}").headers["content-security-policy"]
    assert (
        "script-src 'self';" in policy
        and "unsafe" not in policy
        and "frame-ancestors 'none'" in policy
    )


def test_files_need_no_token_are_kept_and_packed(served: tuple[int, str]) -> None:
    """Would catch: scripts that are fetched again with every page, or that browsers refuse for
    their type."""
    port, _ = served
    answer = ask(port, "/ui/assets/main-1a2b.js", Accept_Encoding="gzip")
    assert gzip.decompress(answer.body) == b"export {}"
    assert (
        answer.headers["content-type"].startswith("text/javascript")
        and "immutable" in answer.headers["cache-control"]
    )
    assert ask(port, "/ui/assets/main-1a2b.js").body == b"export {}"


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../secret.js",
        "/ui/%2e%2e/secret.js",
        "/ui/..%2fsecret.js",
        "/ui//etc/passwd",
        "/ui/",
        "/ui/assets",
        "/ui/%00",
        "/ui/" + "a" * 300,
    ],
)
def test_nothing_beside_the_bundle_is_given(served: tuple[int, str], path: str) -> None:
    """Would catch: a path that leads out of the folder."""
    assert ask(served[0], path).status == 404


def test_what_is_built_anew_is_served_at_once(tmp_path: Path) -> None:
    """Would catch: `make ui` beside a server whose page then asks for scripts that it refuses."""
    files = Bundle(tmp_path / "bundle")
    assert not files.built
    write(tmp_path / "bundle/index.html", "")
    assert files.built


def test_a_deep_link_with_the_token_keeps_its_address(served: tuple[int, str]) -> None:
    """Would catch: a link in a message that always ends on the first page, or a token that stays in
    the history."""
    port, token = served
    answer = ask(port, f"/incidents/INC-1?token={token}")
    assert (answer.status, answer.headers["location"]) == (
        303,
        "/incidents/INC-1",
    ) and "HttpOnly" in answer.headers["set-cookie"]
    assert ask(port, "/incidents/INC-1?token=hdr_wrong").status == 401


def test_where_nothing_is_built_the_first_page_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a fresh clone without npm's registry that shows nothing at all."""
    root = project(tmp_path / "shop")
    token = token_of(root / ".headrace")
    monkeypatch.setattr(bundle, "BUNDLE", root / "none")
    application = app(ProjectReader(root, "prod"), Guard(token, "127.0.0.1"), Stands())
    with HttpServer(application, listen("127.0.0.1", 0)) as door:
        assert b"make ui" in ask(door.port, "/incidents", Authorization=f"Bearer {token}").body
        assert ask(door.port, "/").status == 401


def test_a_name_that_is_markup_stays_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored XSS: a project's or a source's words run in the reader's browser."""
    root = project(tmp_path / "shop")
    settings = (root / "headrace.toml").read_text()
    write(root / "headrace.toml", settings.replace('"shop"', '"<script>alert(1)</script>"'))
    token = token_of(root / ".headrace")
    monkeypatch.setattr(bundle, "BUNDLE", root / "none")
    application = app(ProjectReader(root, "prod"), Guard(token, "127.0.0.1"), Stands())
    with HttpServer(application, listen("127.0.0.1", 0)) as door:
        answer = ask(door.port, "/", Authorization=f"Bearer {token}")
    assert b"<script" not in answer.body and b"&lt;script&gt;" in answer.body
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_only_files_whose_names_change_are_kept_for_a_year(served: tuple[int, str]) -> None:
    """Would catch: a page that a browser keeps after the UI was built anew; packed bytes given to
    who can't unpack them."""
    port, _ = served
    page = ask(port, "/ui/index.html")
    assert page.headers["cache-control"] == "no-cache"
    script = ask(port, "/ui/assets/main-1a2b.js", Accept_Encoding="gzip")
    assert script.headers["cache-control"] == f"public, max-age={365 * 24 * 3600}, immutable"
    assert (script.headers["content-encoding"], script.headers["vary"]) == (
        "gzip",
        "accept-encoding",
    )
    assert "content-encoding" not in page.headers
