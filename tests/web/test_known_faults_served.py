"""B12, B13, B15: what a request gets without a credential, by addresses that resemble exempted
ones, and with a session that somebody else chose."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from door_lab import Opened, opened
from serve_lab import ask, project

from headrace.web.endpoints import ENDPOINTS

EXEMPT = ("healthz", "readyz", "health", "ready", "configs", "login", "static", "favicon.ico")
FORMS = (
    "{path}/{name}",
    "{path};/{name}",
    "{path}//{name}",
    "{path}%2f{name}",
    "{path}?/{name}",
    "{path}%3F/{name}",
    "{path}%23/{name}",
    "/{name}/..{path}",
    "/{name}/%2e%2e{path}",
    "/{name}//..{path}",
    "//{name}{path}",
    "{path}/{name}/",
    "{path}/{name}.css",
)
PROTECTED = ("/api/v1/status", "/api/v1/assets/revenue", "/data/revenue.json")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(project(tmp_path_factory.mktemp("faults") / "shop")) as result:
        yield result


def test_b12_no_address_is_exempt_because_of_how_it_begins_or_ends(door: Opened) -> None:
    """B12. Would catch: an exemption by a suffix, a prefix or a decoded path."""
    for path in PROTECTED:
        assert ask(door.port, path).status == 401, path
        for name in EXEMPT:
            for form in FORMS:
                asked = form.format(path=path, name=name)
                answer = ask(door.port, asked)
                assert answer.status in (307, 400, 401, 404), (asked, answer.status)
                assert b"revenue" not in answer.body or answer.status == 404, asked
        for other in (path.upper(), path + "/", path + "%20", path + "/.", path.replace("/", "//")):
            assert ask(door.port, other).status in (307, 400, 401, 404), other


def test_b12_an_object_named_like_an_exempted_address_needs_the_token(door: Opened) -> None:
    """B12. Would catch: a node called `healthz` that everybody reads."""
    for item in ENDPOINTS:
        if item.method != "GET" or "{" not in item.path:
            continue
        for name in EXEMPT:
            path = re.sub(r"{\w+(:path)?}", name, item.path)
            assert ask(door.port, path).status == 401, path


def test_b13_every_endpoint_needs_a_credential(door: Opened) -> None:
    """B13. Would catch: a side door: an endpoint, a stream or a page's data without a token, with
    a forged one, or with a key of another scheme."""
    wrong = (
        {},
        {"Authorization": "Bearer hdr_" + "x" * 43},
        {"Authorization": "Bearer null"},
        {"Authorization": "Basic aGVhZHJhY2U6aGVhZHJhY2U="},
        {"Cookie": "headrace=" + "x" * 43},
        {"X_Forwarded_For": "127.0.0.1", "X_Forwarded_User": "admin"},
    )
    paths = ["/api/v1/events", "/data/revenue.json", "/api/v1/acts/1"]
    paths += [re.sub(r"{\w+(:path)?}", "revenue", item.path) for item in ENDPOINTS]
    for path in paths:
        for headers in wrong:
            statuses = {ask(door.port, path, method=m, **headers).status for m in ("GET", "POST")}
            assert statuses <= {401, 404, 405}, (path, headers, statuses)
            assert 401 in statuses, (path, headers, statuses)


def cookie_of(door: Opened, **headers: str) -> str:
    answer = ask(door.port, f"/?token={door.token}", **headers)
    return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]


def test_b15_a_session_that_somebody_chose_isnt_taken_over(door: Opened) -> None:
    """B15. Would catch: session fixation: a cookie that was there before the sign-in and is valid
    after it."""
    chosen = "A" * 43
    name = ask(door.port, f"/?token={door.token}").headers["set-cookie"].partition("=")[0]
    given = cookie_of(door, Cookie=f"{name}={chosen}")
    assert given != chosen and len(given) >= 43
    assert ask(door.port, "/api/v1/status", Cookie=f"{name}={chosen}").status == 401
    assert ask(door.port, "/api/v1/status", Cookie=f"{name}={given}").status == 200
    again = cookie_of(door, Cookie=f"{name}={given}")
    assert again != given


def test_b15_a_cookie_isnt_sent_to_scripts_or_other_sites(door: Opened) -> None:
    """B15. Would catch: a session that a script reads or a link of another site uses."""
    cookie = ask(door.port, f"/?token={door.token}").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=" in cookie and "domain=" not in cookie
    assert door.token.lower() not in cookie
