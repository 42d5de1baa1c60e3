"""Routes that a package adds to the server: each is guarded, and one bad package stops nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clilab import Project, call, filled, shop
from door_lab import opened
from serve_lab import Answer, ask

from headrace.model import plugins

__all__ = ["call", "filled", "shop"]
"""Fixtures of the command line's tests."""

PACKAGE = """
from headrace.extension import AUDIT, SEE, HttpProblem, HttpRoute, command
from starlette.responses import PlainTextResponse

def routes(context):
    async def names(request):
        return PlainTextResponse(await context.read(request, listed))

    def listed(session):
        return " ".join(node.name for node in session.project().nodes() if session.shows(node.name))

    async def who(request):
        return PlainTextResponse(request.state.identity.who)

    async def script(request):
        return PlainTextResponse("var a = 1", headers={"content-security-policy": "script-src"})

    async def gone(request):
        raise HttpProblem(404, "it is gone", "look elsewhere")

    async def broken(request):
        raise RuntimeError("secret")

    async def never(request):
        return PlainTextResponse("in place of Headrace's own")

    return [
        HttpRoute(path="/shop/names", handler=names, needs=command("shop", SEE, lists=True)),
        HttpRoute(path="/shop/all", handler=names, needs=command("shop all", SEE)),
        HttpRoute(path="/shop/trail", handler=who, needs=command("shop trail", AUDIT)),
        HttpRoute(path="/shop/who", handler=who, needs=command("who", SEE, own_check=True)),
        HttpRoute(path="/shop/who", handler=who, needs=command("who", SEE), method="POST"),
        HttpRoute(path="/shop/static/{name:path}", handler=script, needs=None),
        HttpRoute(path="/shop/gone", handler=gone, needs=None),
        HttpRoute(path="/shop/broken", handler=broken, needs=None),
        HttpRoute(path="/healthz", handler=never, needs=None),
        HttpRoute(path="/api/v1/status", handler=never, needs=None),
    ]
"""
ENTRY = "[headrace.routes]\n{0} = headrace_{0}:routes\n"


class Installed:
    """A folder of packages on Python's path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, name: str, code: str) -> None:
        metadata = self._folder / f"headrace_{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: headrace-{name}\nVersion: 1.0\n"
        )
        (metadata / "entry_points.txt").write_text(ENTRY.format(name))
        (self._folder / f"headrace_{name}.py").write_text(code)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    before = set(sys.modules)
    plugins._entry_points.cache_clear()
    yield Installed(tmp_path / "packages")
    plugins._entry_points.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("headrace_"):
            del sys.modules[name]


def test_a_package_can_not_forget_the_guard(
    shop: Project, installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a route of a package that answers without a token, to a role that doesn't
    suffice, to a page of another site, or with nodes that a role doesn't see; one that takes the
    place of Headrace's.
    """
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    installed.add("shop", PACKAGE)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(f"- {{role: admin, to: [{who}]}}\n")
    shop.text("apply", "--yes")
    scopes = {"viewer": "viewer", "auditor": "auditor", "scoped": "viewer:owner=core"}
    tokens = {
        name: str(shop.json("token", "create", name, "--scope", scope)["token"])
        for name, scope in scopes.items()
    }
    with opened(shop.root) as door:

        def get(token: str, path: str, method: str = "GET", **headers: str) -> Answer:
            bearer = f"Bearer {tokens[token]}"
            return ask(door.port, path, method=method, Authorization=bearer, **headers)

        for path in ("names", "all", "trail", "who"):
            answer = ask(door.port, f"/shop/{path}")
            assert (answer.status, answer.json["hint"][:8]) == (401, "`headrac"), path
            assert get("viewer", f"/shop/{path}", Host="evil.example").status == 421
        assert ask(door.port, "/shop/who", method="POST", Cookie="headrace=x").status == 401
        everything = door.get("/shop/names").body.split()
        assert b"orders" in everything
        assert get("viewer", "/shop/all").body.split() == everything
        seen = get("scoped", "/shop/names").body.split()
        assert seen and b"orders" not in seen
        assert get("scoped", "/shop/all").status == 403
        refused = get("viewer", "/shop/trail")
        assert (refused.status, refused.json["command"]) == (403, "shop trail")
        assert get("auditor", "/shop/trail").body == b"token:auditor"
        assert get("scoped", "/shop/who").body == b"token:scoped"
        assert get("viewer", "/shop/who", method="POST").body == b"token:viewer"

        script = ask(door.port, "/shop/static/a/b.js")
        assert script.headers["content-security-policy"] == "script-src"
        assert script.headers["x-content-type-options"] == "nosniff"
        assert ask(door.port, "/shop/static/a.js", Host="evil.example").status == 421
        assert ask(door.port, "/shop/gone").json["hint"] == "look elsewhere"
        broken = ask(door.port, "/shop/broken")
        assert broken.status == 500 and b"secret" not in broken.body
        assert door.get("/healthz").json == {"status": "ok"}
        assert door.get("/api/v1/status").json["project"]


BAD = {
    "import no_such_module\n": "No module named 'no_such_module'",
    "def routes(context):\n    raise RuntimeError('no port')\n": "RuntimeError: no port",
    "def routes(context):\n    return ['/a']\n": "'str' object has no attribute 'needs'",
    (
        "from headrace.extension import HttpRoute\n"
        "def routes(context):\n    return [HttpRoute(path='/a', handler=print)]\n"
    ): "Missing required argument 'needs'",
    (
        "from headrace.extension import OPERATE, HttpRoute, command\n"
        "def routes(context):\n"
        "    return [HttpRoute(path='/a', handler=print, needs=command('a', OPERATE))]\n"
    ): "ValueError: /a: only a command may need operate",
}


@pytest.mark.parametrize("code", BAD)
def test_a_bad_package_is_named_and_the_server_goes_on(
    shop: Project, installed: Installed, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    """Would catch: a server that doesn't start because of one package, or one with a route that
    says nothing of what it needs, or that changes something without being a command.
    """
    installed.add("bad", code)
    with caplog.at_level(logging.WARNING), opened(shop.root) as door:
        assert door.get("/api/v1/status").status == 200
        assert door.get("/a").status == 404
    (line,) = [record.message for record in caplog.records if "headrace-bad 1.0" in record.message]
    assert BAD[code] in line
    named = any(BAD[code] in row["detail"] for row in shop.json("doctor"))
    assert named == code.startswith("import"), "doctor calls no package's function"
