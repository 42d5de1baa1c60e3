"""Sign-in at a real OpenID Connect provider (npm's oidc-provider, a process of its own)."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from clilab import Project
from door_lab import Opened, opened

FOLDER = Path(__file__).parent / "oidc_provider"
SECRET = "a secret of the client"
SECONDS = 60

pytestmark = pytest.mark.slow


class RealProvider:
    """The process; `stop` and `start` again on the same port rotate its key."""

    def __init__(self, server: str) -> None:
        self._server, self.port, self.issuer = server, "0", ""
        self._process: subprocess.Popen[str] | None = None

    def start(self, key: str) -> None:
        self._process = subprocess.Popen(
            ["node", "server.mjs", self.port, key, self._server],
            cwd=FOLDER,
            env=os.environ | {"CLIENT_SECRET": SECRET},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        until = time.monotonic() + SECONDS
        line = ""
        while not line.startswith("http://"):
            assert select.select([self._process.stdout], [], [], until - time.monotonic())[0]
            line = self._process.stdout.readline()
        self.issuer = line.strip()
        self.port = self.issuer.rpartition(":")[2]

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture
def door(shop: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    who = shop.json("access", "whoami")["who"]
    (shop.root / "access.yaml").write_text(
        f"- {{role: admin, to: [{who}]}}\n- {{role: viewer, to: ['group:ops']}}\n"
    )
    shop.text("apply", "--yes")
    with opened(shop.root) as result:
        yield result


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Install the provider by its lock file, once."""
    if shutil.which("npm") is None:
        pytest.skip("npm installs the provider")
    if not (FOLDER / "node_modules").exists():
        subprocess.run(
            ["npm", "ci", "--ignore-scripts"],
            cwd=FOLDER,
            check=True,
            capture_output=True,
            timeout=200,
        )


@pytest.fixture
def provider(shop: Project, door: Opened) -> Iterator[RealProvider]:
    result = RealProvider(f"http://127.0.0.1:{door.port}")
    result.start("first")
    with (shop.root / "headrace.toml").open("a") as file:
        file.write(
            f'[sign_in]\nissuer = "{result.issuer}"\nclient_id = "headrace"\n'
            'client_secret = "secret://env/CLIENT_SECRET"\n'
            'scopes = ["openid", "profile", "groups"]\n'
        )
    yield result
    result.stop()


def browse(client: httpx.Client, url: str, person: str) -> httpx.Response:
    """Follow redirections and fill in the provider's forms, as a person would."""
    answer = client.get(url)
    for _ in range(30):
        if answer.is_redirect:
            answer = client.get(urljoin(str(answer.url), answer.headers["location"]))
            continue
        action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
        if action is None or "/interaction/" not in action[1]:
            return answer
        fields = dict(re.findall(r'name="(prompt)" value="(\w+)"', answer.text))
        if fields.get("prompt") == "login":
            fields |= {"login": person, "password": "any"}
        answer = client.post(urljoin(str(answer.url), action[1]), data=fields)
    raise AssertionError("too many redirections")


def signed_in(door: Opened, person: str) -> httpx.Client:
    client = httpx.Client(timeout=30)
    url = f"http://127.0.0.1:{door.port}"
    page = client.get(f"{url}/sign-in?next=/runs")
    assert 'href="/sign-in/provider?next=%2Fruns"' in page.text
    last = browse(client, f"{url}/sign-in/provider?next=/runs", person)
    assert str(last.url) == f"{url}/runs", last.text
    return client


def test_a_person_signs_in_at_a_real_provider(
    shop: Project, door: Opened, provider: RealProvider
) -> None:
    """S1. Would catch: a discovery, PKCE or a claim that a real provider has otherwise; roles of
    groups that don't arrive; a key that was rotated; people signed out as the provider is down."""
    url = f"http://127.0.0.1:{door.port}/api/v1"
    with closing(signed_in(door, "ana")) as ana:
        own = ana.get(f"{url}/session").json()
        issuer = provider.issuer.removeprefix("http://")
        assert (own["who"], own["name"]) == (f"user:ana@{issuer}", "Name of ana")
        assert ana.get(f"{url}/status").status_code == 200  # by the group ops
        assert ana.get(f"{url}/audit").status_code == 403
        assert [row["kind"] for row in shop.json("session", "list")] == ["oidc"]
    provider.stop()
    provider.start("second")
    with closing(signed_in(door, "bob")) as bob:
        assert bob.get(f"{url}/status").status_code == 200
        provider.stop()  # who is in stays in
        assert bob.get(f"{url}/status").status_code == 200
        other = httpx.get(f"http://127.0.0.1:{door.port}/sign-in/provider", timeout=30)
        assert other.status_code in (303, 401)


def test_a_sign_out_at_a_real_provider_ends_the_session(
    shop: Project, door: Opened, provider: RealProvider
) -> None:
    """S1, S2. Would catch: a logout token that a real provider writes otherwise, and the session
    of somebody who left that goes on for hours."""
    url = f"http://127.0.0.1:{door.port}/api/v1"
    with closing(signed_in(door, "ana")) as ana, closing(signed_in(door, "bob")) as bob:
        page = ana.get(f"{provider.issuer}/session/end")
        xsrf = re.search(r'name="xsrf" value="(\w+)"', page.text)
        assert xsrf is not None, page.text
        fields = {"xsrf": xsrf[1], "logout": "yes"}
        ana.post(f"{provider.issuer}/session/end/confirm", data=fields)
        assert ana.get(f"{url}/session").status_code == 401
        assert bob.get(f"{url}/session").status_code == 200
        assert [row["name"] for row in shop.json("session", "list")] == ["Name of bob"]
