"""Answers of a provider that arrive twice, late, in another browser, or of somebody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from clilab import Project
from door_lab import Opened, opened
from http_server_lab import Reply, Server
from oidc_lab import Liar
from serve_lab import ask, until

from headrace.web.sign_in import PROVIDER_PATH
from headrace_sso import oidc, sign_in
from headrace_sso.oidc import DISCOVERY
from headrace_sso.sign_in import CALLBACK_PATH, LOGOUT_PATH


@pytest.fixture
def liar() -> Iterator[Liar]:
    with Server() as server:
        yield Liar(server)


@pytest.fixture
def door(shop: Project, liar: Liar, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.delenv("HEADRACE_TOKEN", raising=False)
    with (shop.root / "headrace.toml").open("a") as file:
        file.write(f'[sign_in]\nissuer = "{liar.issuer}"\nclient_id = "headrace"\n')
    with opened(shop.root) as result:
        yield result


class Browser:
    """A browser at the server's door; `cookie` is that of the sign-in that it began."""

    def __init__(self, door: Opened, next_path: str = "/runs") -> None:
        self.url = f"http://127.0.0.1:{door.port}"
        answer = httpx.get(f"{self.url}{PROVIDER_PATH}", params={"next": next_path})
        assert answer.status_code == 303, answer.text
        assert "httponly" in answer.headers["set-cookie"].lower()
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        sent = parse_qs(urlsplit(answer.headers["location"]).query)
        self.state, self.nonce = sent["state"][0], sent["nonce"][0]

    def comes_back(self, *, cookie: str | None = None, **changed: str) -> httpx.Response:
        """Bring the provider's answer."""
        sent = self.cookie if cookie is None else cookie
        query = {"state": self.state, "code": "code"} | changed
        headers = {"Cookie": sent.encode("latin-1")}
        return httpx.get(f"{self.url}{CALLBACK_PATH}", params=query, headers=headers)


def session_of(answer: httpx.Response) -> str:
    """Return the session's cookie of an answer that signs in."""
    assert answer.status_code == 303, answer.text
    cookies = [item.partition(";")[0] for item in answer.headers.get_list("set-cookie")]
    return next(cookie for cookie in cookies if "_sign_in=" not in cookie)


def signed_in(door: Opened, liar: Liar, **claims: str) -> str:
    """Return the cookie of somebody who signed in."""
    browser = Browser(door)
    liar.claim(nonce=browser.nonce, **claims)
    return session_of(browser.comes_back())


def status(door: Opened, cookie: str) -> int:
    return ask(door.port, "/api/v1/session", Cookie=cookie).status


def refused(answer: httpx.Response, reason: str) -> None:
    assert answer.status_code == 401 and reason in answer.text, answer.text
    assert "set-cookie" not in answer.headers


def test_an_answer_is_valid_once_and_in_its_browser(door: Opened, liar: Liar) -> None:
    """S1, S3. Would catch: a link that signs somebody else's browser in as the attacker, an answer
    that is replayed, and one whose state nobody began."""
    attacker, victim = Browser(door), Browser(door)
    liar.claim(nonce=attacker.nonce)
    for cookie in ("", victim.cookie, "headrace_sign_in=", "headrace_sign_in=\xe9"):
        stolen = Browser(door)
        liar.claim(nonce=stolen.nonce)
        refused(stolen.comes_back(cookie=cookie), "another browser")
        refused(stolen.comes_back(), "used before")
    assert liar.server.count("/token") == 0
    for state in ("", "x" * 43, victim.nonce):
        refused(attacker.comes_back(state=state), "used before")
    liar.claim(nonce=victim.nonce)
    answer = victim.comes_back()
    assert answer.headers["location"] == "/runs"
    assert status(door, session_of(answer)) == 200
    refused(victim.comes_back(), "used before")
    assert liar.server.count("/token") == 1
    refused(attacker.comes_back(), "nonce")  # the token is that of the victim


def test_an_answer_of_somebody_else_is_refused(door: Opened, liar: Liar) -> None:
    """S1. Would catch: the answer of another provider (mix-up), an error that signs somebody in,
    a next page elsewhere, and HTML of the provider in the page."""
    refused(Browser(door).comes_back(iss="https://evil.example"), "another provider")
    refused(Browser(door).comes_back(error="access_denied"), "access_denied")
    refused(Browser(door).comes_back(code=""), "no code")
    page = Browser(door).comes_back(error="<script>alert(1)</script>")
    assert "<script>" not in page.text and page.status_code == 401
    assert liar.server.count("/token") == 0
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        browser = Browser(door, elsewhere)
        liar.claim(nonce=browser.nonce)
        assert browser.comes_back(iss=liar.issuer).headers["location"] == "/"


def test_a_late_answer_is_refused(
    door: Opened, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1. Would catch: a sign-in that was left open and goes on the next day."""
    browser = Browser(door)
    liar.claim(nonce=browser.nonce)
    monkeypatch.setattr(sign_in, "STARTED_SECONDS", -1.0)
    refused(browser.comes_back(), "has ended")


def test_begun_sign_ins_are_limited(
    door: Opened, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B20. Would catch: a server whose memory fills with sign-ins that nobody ends."""
    monkeypatch.setattr(sign_in, "STARTED_MAX", 3)
    begun = [Browser(door) for _ in range(4)]
    refused(begun[0].comes_back(), "used before")
    liar.claim(nonce=begun[1].nonce)
    assert begun[1].comes_back().status_code == 303


@pytest.mark.long
def test_a_provider_that_hangs_leaves_the_server_free(
    door: Opened, liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B20. Would catch: a server that fifty requests to sign in bring to a stand."""
    monkeypatch.setattr(oidc, "ANSWER_SECONDS", 3.0)
    liar.server.answers[DISCOVERY] = Reply(hang=True)
    address = f"http://127.0.0.1:{door.port}"

    def begin() -> int:
        return httpx.get(f"{address}{PROVIDER_PATH}", timeout=60).status_code

    with ThreadPoolExecutor(50) as browsers:
        asked = [browsers.submit(begin) for _ in range(50)]
        until(lambda: any(future.done() for future in asked))
        started = time.monotonic()
        assert httpx.get(f"{address}/sign-in", timeout=60).status_code == 200
        assert time.monotonic() - started < 2.5
        assert {future.result() for future in asked} <= {401, 503}
    assert liar.server.count(DISCOVERY) == 1


def test_the_provider_ends_sessions(shop: Project, door: Opened, liar: Liar) -> None:
    """S1, S2. Would catch: a logout that ends nothing, or sessions of others, and a message of
    somebody who isn't the provider."""

    def send(token: str) -> int:
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        body = urlencode({"logout_token": token}).encode()
        return ask(door.port, LOGOUT_PATH, method="POST", body=body, **form).status

    first, second = signed_in(door, liar, sid="1"), signed_in(door, liar, sid="2")
    bare, bob = signed_in(door, liar), signed_in(door, liar, sub="bob", sid="3")  # bare: no sid
    everybody = (first, second, bare, bob)
    for token in (
        "", "x", liar.logout_token(), liar.logout_token(sub="ana", events={}),
        liar.logout_token(sub="ana", aud="other"), liar.logout_token(sub="ana", nonce="n"),
    ):  # fmt: skip
        assert send(token) == 400
    assert send(liar.logout_token(sub="eve", sid="1")) == 200
    assert [status(door, cookie) for cookie in everybody] == [200] * 4
    once = liar.logout_token(sid="1")
    assert send(once) == 200 and send(once) == 400
    assert [status(door, cookie) for cookie in everybody] == [401, 200, 200, 200]
    assert send(liar.logout_token(sub="ana")) == 200
    assert [status(door, cookie) for cookie in everybody] == [401, 401, 401, 200]
    shop.text("tick")  # leads, and records
    ended = [row for row in shop.json("audit", "show") if row["action"] == "session.ended"]
    assert len(ended) == 3
    assert all(row["actor"].startswith("user:ana@") for row in ended)
