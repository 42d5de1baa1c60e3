"""Acts over the API, with a server that leads: done as the commands do them, by whoever serves, and
only for who may.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_lab import ME, Answer, Server, ask, deliver, headrace, project, response, serving, until

NOW = "2025-03-04T08:00"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """Over a replay in which the vendor has renamed a column on the third day."""
    root = project(tmp_path_factory.mktemp("acts") / "shop")
    for day in ("2025-03-01", "2025-03-02"):
        deliver(root, day, 10)
    headrace(root, "tick", "--now", NOW)
    (root / "landing/orders_2025-03-03.csv").write_text(
        "day,amount_eur\n2025-03-03,12\n", encoding="utf-8"
    )
    headrace(root, "tick")
    with serving(root) as result:
        yield result, root


def act(server: Server, path: str, said: Any, **headers: str) -> Answer:
    sent = {"Authorization": f"Bearer {server.token}", "Content_Type": "application/json"} | headers
    return ask(
        server.port, f"/api/v1/{path}", method="POST", body=json.dumps(said).encode(), **sent
    )


def done(server: Server, path: str, said: Any) -> Any:
    """The act's document, however long it takes."""
    answer = act(server, path, said)
    if answer.status == 202:
        where = answer.headers["location"]
        over = until(
            lambda: result if (result := server.get(where).json)["state"] != "running" else None
        )
        assert over["state"] == "done", over
        return over["document"]
    assert answer.status == 200, answer.body
    return answer.json


def refusal(server: Server, path: str, said: Any) -> Any:
    """Why the act isn't done, however long that takes."""
    answer = act(server, path, said)
    if answer.status == 202:
        where = answer.headers["location"]
        over = until(
            lambda: result if (result := server.get(where).json)["state"] != "running" else None
        )
        assert over["state"] == "failed", over
        return over["problem"]
    assert answer.headers["content-type"] == "application/problem+json", answer.body
    return answer.json


def session_cookie(server: Server) -> str:
    """The cookie that a browser gets for the start link."""
    answer = ask(server.port, f"/?token={server.token}")
    return str(answer.headers["set-cookie"].partition(";")[0])


def by_cookie(server: Server, path: str = "pause", plan_id: str = "", **headers: str) -> Answer:
    sent = {
        "Cookie": session_cookie(server),
        "Content_Type": "application/json",
    } | headers
    said = {"plan_id": plan_id} if plan_id else {"select": ["nothing"], "reason": "x"}
    return ask(
        server.port, f"/api/v1/{path}", method="POST", body=json.dumps(said).encode(), **sent
    )


@pytest.mark.long
def test_only_our_own_page_acts_with_the_cookie(server: tuple[Server, Path]) -> None:
    """Would catch: a page of another program on this machine, or of another site, that acts in the
    name of who is signed in."""
    result, _ = server
    own = f"http://127.0.0.1:{result.port}"
    assert by_cookie(result).status == 401
    assert by_cookie(result, Origin=own).status == 401
    assert by_cookie(result, X_Headrace_Act="1").status == 403
    for origin in (
        "http://127.0.0.1:1",
        "http://localhost",
        "null",
        "https://evil.example",
        f"http://127.0.0.1:{result.port}1",
    ):
        assert by_cookie(result, X_Headrace_Act="1", Origin=origin).status == 403, origin
    assert (
        by_cookie(result, X_Headrace_Act="1", Origin=own, Sec_Fetch_Site="cross-site").status == 403
    )
    assert (
        by_cookie(result, X_Headrace_Act="1", Origin=own).status == 400
    )  # let in: there is no node of that name
    assert by_cookie(result, X_Headrace_Act="1", Sec_Fetch_Site="same-origin").status == 400
    assert (
        by_cookie(result, X_Headrace_Act="1", Origin=own, Content_Type="text/plain").status == 415
    )
    assert (
        ask(
            result.port, "/api/v1/pause", method="POST", body=b"{}", Content_Type="application/json"
        ).status
        == 401
    )


@pytest.mark.parametrize(
    "said",
    [
        [],
        {},
        {"select": "revenue", "reason": "x"},
        {"select": ["revenue"], "reason": "x", "more": 1},
        "x",
    ],
)
def test_what_is_sent_is_judged(server: tuple[Server, Path], said: Any) -> None:
    """Would catch: an act on everything, because a word was misspelt."""
    answer = act(server[0], "pause", said)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_pausing_is_done_as_by_the_command_and_stands_in_the_trail(
    server: tuple[Server, Path],
) -> None:
    """Would catch: an act that nobody did, or that only the page knows of."""
    result, root = server
    assert result.get("/api/v1/effect?select=revenue").json["consumers"] == ["report"]
    assert act(result, "pause", {"select": ["revenue"], "reason": " "}).status == 409
    changed = done(result, "pause", {"select": ["revenue"], "reason": "<b>because</b>"})
    assert (
        changed["changed"] == ["revenue"]
        and changed["paused"] == result.get("/api/v1/paused").json["paused"]
    )
    entry = response(root, "audit", "show", "--action", "node.paused", "--limit", "1")[0]
    assert (entry["actor"], entry["reason"]) == (ME, "<b>because</b>")
    assert done(result, "resume", {"select": ["revenue"]})["paused"] == []


@pytest.mark.long
def test_a_repair_is_done_only_as_it_was_agreed_to(server: tuple[Server, Path]) -> None:
    """Would catch: a repair of something else than what the page had shown, or one that isn't done
    to its end.
    """
    result, root = server
    (incident,) = result.get("/api/v1/incidents").json
    shown = result.get(f"/api/v1/incidents/{incident['id']}/repair")
    planned = response(root, "fix", incident["id"], "--dry-run")
    assert shown.json["steps"] == planned["steps"] and shown.json["fix"] == "planned"
    assert (
        act(result, f"incidents/{incident['id']}/fix", {"agreed": "something else"}).status == 409
    )
    assert result.get("/api/v1/incidents").json[0]["state"] == "open"
    fixed = done(
        result, f"incidents/{incident['id']}/fix", {"agreed": shown.headers["x-headrace-agree"]}
    )
    assert fixed["fix"] == "done"
    assert (
        result.get("/api/v1/assets/revenue/partitions").json["partitions"][0]["state"]
        == "unchecked"
    )
    assert result.get("/api/v1/incidents").json == response(root, "incidents")


def test_a_backfill_is_planned_and_then_done(server: tuple[Server, Path]) -> None:
    """Would catch: a plan that changes between the page and the act."""
    result, root = server
    asked = {
        "select": ["revenue"],
        "from": "2025-03-01",
        "to": "2025-03-02",
        "mode": "all",
        "reason": "once more",
    }
    shown = result.get(
        "/api/v1/backfills/preview?select=revenue&from=2025-03-01&to=2025-03-02&mode=all"
    )
    assert (
        shown.json["partitions_total"] == 2
        and shown.json["id"] is None
        and shown.json["plan_id"].startswith("p-")
    )
    assert act(result, "backfills", {**asked, "agreed": "x"}).status == 409
    made = done(result, "backfills", {**asked, "agreed": shown.headers["x-headrace-agree"]})
    assert made["state"] == "succeeded" and made["published"] == 2
    assert act(result, f"backfills/{made['plan_id']}/cancel", {"reason": "x"}).status == 400
    listed = response(root, "backfills")["backfills"]
    assert (
        listed == result.get("/api/v1/backfills").json["backfills"]
        and listed[0]["plan_id"] == made["plan_id"]
    )


def test_data_is_taken_back_and_made_again(server: tuple[Server, Path]) -> None:
    """Would catch: an act of the page that does something else than its command."""
    result, _ = server
    taken = done(result, "withdraw", {"target": "revenue@2025-03-01", "reason": "wrong"})
    assert (taken["state"], taken["consumers"]) == ("withdrawn", ["report"])
    assert (
        result.get("/api/v1/assets/revenue/partitions?from=2025-03-01&to=2025-03-01").json[
            "partitions"
        ][0]["state"]
        == "withdrawn"
    )
    again = done(
        result,
        "runs",
        {"select": ["revenue"], "partitions": ["2025-03-01"], "again": True, "reason": "right"},
    )
    assert again["state"] == "succeeded"
    assert act(result, f"runs/{again['run_id']}/cancel", {}).json["state"] == "succeeded"
    assert done(result, "retry", {"target": "revenue"})["state"] == "nothing_due"


def test_an_act_that_there_is_not_is_not_found(server: tuple[Server, Path]) -> None:
    """Would catch: a page that waits for ever after the server was started again."""
    assert server[0].get("/api/v1/acts/999").status == 404


@pytest.mark.long
def test_stopping_doesnt_wait_for_acts(tmp_path: Path) -> None:
    """Would catch: a server that can't be stopped while somebody waits for a leader."""
    root = project(tmp_path / "shop")
    headrace(root, "tick", "--now", NOW)
    with serving(root) as first, serving(root, leads=False) as second:
        assert act(second, "pause", {"select": ["revenue"], "reason": "x"}).status in (200, 202)
        assert second.stop() == 0
        assert first.stop() == 0


def test_files_are_applied_as_they_were_planned(server: tuple[Server, Path]) -> None:
    """Would catch: another text that comes into force than the one that was looked at
    over the API."""
    result, root = server
    path = root / "assets/revenue.sql"
    path.write_text(path.read_text().replace("sum(amount)", "sum(amount) * 2"))
    shown = result.get("/api/v1/plan").json
    assert [item["node"] for item in shown["changes"]] == ["revenue"] and shown["steps"]
    path.write_text(path.read_text().replace("* 2", "* 1000"))
    refused = refusal(result, "apply", {"plan_id": shown["plan_id"]})
    assert (
        refused["status"] == 409
        and "assets/revenue.sql isn't as it was in the plan" in refused["detail"]
    )
    row = refused["refused"]
    assert (refused["code"], row["files"]) == ("plan_changed", ["assets/revenue.sql"])
    assert row["plan_id_now"] == result.get("/api/v1/plan").json["plan_id"]
    assert by_cookie(result, "apply", shown["plan_id"]).status == 401
    kept = result.get("/api/v1/plan?keep=revenue").json
    assert kept["plan_id"] != row["plan_id_now"] and kept["next"].endswith(
        "--keep revenue --reason TEXT"
    )
    assert not any(step["kind"] == "invalidate" for step in kept["steps"])
    asked = {"plan_id": kept["plan_id"], "keep": ["revenue"]}
    assert refusal(result, "apply", asked)["status"] == 409  # without a reason
    assert refusal(result, "apply", {**asked, "keep": [], "reason": "x"})["code"] == "plan_changed"
    assert result.get("/api/v1/plan?keep=nothing").status == 400
    assert result.get("/api/v1/plan?keep=revenue&against=HEAD").status == 400
    assert act(result, "apply", {"plan_id": "garbage"}).status == 400
    assert act(result, "apply", {}).status == 400
    before = result.get("/api/v1/versions").json
    now = result.get("/api/v1/plan").json["plan_id"]
    applied = done(result, "apply", {"plan_id": now})
    assert (applied["state"], applied["plan_id"], applied["version"]) == (
        "applied",
        now,
        before[0]["version"] + 1,
    )
    assert result.get("/api/v1/versions").json == response(root, "versions")
    assert result.get("/api/v1/versions").json[0]["plan_id"] == now
    assert done(result, "apply", {"plan_id": now})["state"] == "nothing"
