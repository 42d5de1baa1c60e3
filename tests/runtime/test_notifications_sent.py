"""Messages as they are sent: to a real mail server, real web servers, folders; by one that hangs,
one that refuses, one that's gone.
"""

from __future__ import annotations

import base64
import email
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import Message as Mail
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from http_server_lab import Reply, Server, reply
from runlab import Lab

from headrace.integrations.notifications.channels import WAITS_SECONDS, Sending
from headrace.model import Settings
from headrace.store import Clock, Store
from headrace.store.queries import notifications
from headrace.store.queries.notifications import Queued

CANARY = "s3cret-c4nary"
BEGAN = datetime(2025, 1, 10, tzinfo=UTC)


class Post:
    """What a mail server was handed."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 taken"


@pytest.fixture
def post() -> Iterator[tuple[str, Post]]:
    handler = Post()
    controller = Controller(handler, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield f"127.0.0.1:{controller.port}", handler
    controller.stop()


@pytest.fixture
def web() -> Iterator[Server]:
    with Server() as server:
        yield server


class Office:
    """A store whose clock stands where it is put, and what waits in it."""

    def __init__(self, root: Path, notify: dict[str, dict[str, Any]]) -> None:
        self.root, self.settings = root, Settings(name="p", notify=notify)
        self.store = Store.open(root, self.settings, create=True)
        self.now = BEGAN
        with self.store.write(None) as tx:
            self.clock = Clock.for_writing(tx, self.now)

    def queue(
        self, *channels: str, kind: str = "opened", incident: int | None = 1, body: str = "b"
    ) -> None:
        with self.store.write(None) as tx:
            if (
                incident is not None
                and tx.execute("select 1 from incident where id = ?", (incident,)).fetchone()
                is None
            ):
                tx.execute(
                    "insert into incident (id, state, kind, node, fingerprint, owner, summary,"
                    " confidence, evidence, affected, began_at, opened_at, updated_at) values (?,"
                    " 'open', 'unknown', 'n', 'f', 'o', 's', '1', '[]', '{}', 0, 0, 0)",
                    (incident,),
                )
            made = [
                Queued(
                    incident=incident,
                    kind=kind,
                    subject=f"INC-{incident}",
                    recipient="team",
                    channel=channel,
                    title=f"[p] {kind}",
                    body=body,
                    not_before=0,
                )
                for channel in channels
            ]
            notifications.put(tx, made, self.clock.mark(tx))

    def send(self, seconds: float = 20.0) -> int:
        return Sending(self.store, self.root, self.settings, send_seconds=seconds).all()

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        with self.store.write(None) as tx:
            self.clock.advance(tx, self.now)

    def rows(self, columns: str = "channel, state") -> list[tuple[Any, ...]]:
        with self.store.read() as tx:
            return [tuple(row) for row in tx.execute(f"select {columns} from notice order by id")]


def test_mail_comes_as_one_thread(tmp_path: Path, post: tuple[str, Post]) -> None:
    """Catches: mail that doesn't arrive, goes to somebody else, breaks at a letter that isn't
    ASCII, or falls apart in the inbox.
    """
    office = Office(tmp_path, {"mail": {"url": f"smtp://{post[0]}?from=headrace@example.com"}})
    office.queue("mailto:team@example.com", body="Verspätet: ✗")
    office.queue("mailto:team@example.com", kind="resolved")
    assert office.send() == 2
    first, second = post[1].mails
    assert (first["To"], first["From"], first["Subject"]) == (
        "team@example.com",
        "headrace@example.com",
        "[p] opened",
    )
    assert first.get_payload(decode=True) == "Verspätet: ✗\r\n".encode()
    assert first["References"] == second["References"]
    assert first["Message-ID"] != second["Message-ID"]
    with office.store.read() as tx:
        texts = [row[0] for row in tx.execute("select what from incident_event order by id")]
    assert texts == [
        "notified team over mailto:team@example.com: it is open",
        "notified team over mailto:team@example.com: it is over",
    ]


def test_one_ticket_for_each_cause(
    tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a second ticket for the same cause, a body that a name breaks out of, a ticket
    changed at another's address.
    """
    monkeypatch.setenv("TICKETS", f"{web.url}/tickets")
    web.answers["/tickets"] = lambda _: reply('{"ticket": {"key": "OPS/7"}}')
    web.answers["/tickets/OPS%2F7"] = reply("{}")
    table = {
        "url": "${TICKETS}",
        "headers": {"Authorization": "Bearer x"},
        "reference": "ticket.key",
        "body": {
            "fields": {
                "summary": "{title}",
                "labels": ["headrace", "{incident}"],
                "text": "{body} {unknown}",
            }
        },
        "update": {"url": "${TICKETS}/{reference}", "method": "PUT", "body": {"text": "{body}"}},
    }
    office = Office(tmp_path, {"tickets": table})
    office.queue("tickets", body='"}, {title} \\')
    assert office.send() == 1
    office.queue("tickets", kind="resolved", body="over")
    assert office.send() == 1
    made, changed = web.asked
    assert json.loads(made.body) == {
        "fields": {
            "summary": "[p] opened",
            "labels": ["headrace", "INC-1"],
            "text": '"}, {title} \\ {unknown}',
        }
    }
    assert (made.method, made.headers["authorization"]) == ("POST", "Bearer x")
    assert (changed.method, changed.path, json.loads(changed.body)) == (
        "PUT",
        "/tickets/OPS%2F7",
        {"text": "over"},
    )
    assert office.rows("state, reference") == [("sent", "OPS/7"), ("sent", "OPS/7")]


def test_who_refuses_is_tried_again_then_reported(
    tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a message lost at the first refusal, one tried for ever or without pause, and a
    secret in the store's error.
    """
    monkeypatch.setenv("HOOK", f"{web.url}/{CANARY}/hook")
    answers = iter([503, 429, 200, *[500] * 20])
    web.answers[f"/{CANARY}/hook"] = lambda _: reply("{}", status=next(answers))
    office = Office(
        tmp_path, {"hook": {"url": "${HOOK}"}, "unset": {"url": "secret://env/NOT_SET_AT_ALL"}}
    )
    office.queue("hook", "unset")
    assert office.send() == 0
    assert office.send() == 0
    assert len(web.asked) == 1
    for wait in WAITS_SECONDS[:2]:
        office.later(wait + 1)
        office.send()
    assert office.rows("channel, state, tries")[0] == ("hook", "sent", 3)
    office.queue("hook", kind="changed")
    office.send()
    for wait in WAITS_SECONDS:
        office.later(wait + 1)
        office.send()
    office.later(10**6)
    assert office.send() == 0
    assert [row[:3] for row in office.rows("channel, state, tries, error")] == [
        ("hook", "sent", 3),
        ("unset", "failed", 8),
        ("hook", "failed", 8),
    ]
    errors = [row[0] for row in office.rows("error")]
    assert errors[2] == "the server answers 500"
    assert "NOT_SET_AT_ALL" in errors[1]
    with office.store.read() as tx:
        said = [row[0] for row in tx.execute("select what from incident_event")]
    assert "team couldn't be notified over hook: the server answers 500" in said
    assert CANARY not in (tmp_path / ".headrace/state.db").read_bytes().decode("latin-1")


def test_a_webhook_is_signed(tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a signature that receivers can't recompute from the bytes that came; a repeat
    that looks like another message; a secret that is used as it isn't."""
    new, old = (f"whsec_{base64.b64encode(key).decode()}" for key in (b"n" * 32, b"o" * 24))
    monkeypatch.setenv("HOOK", f"{web.url}/hook")
    monkeypatch.setenv("HOOK_SECRET", f"{new} {old}")
    monkeypatch.setenv("SHORT", f"whsec_{base64.b64encode(b'short').decode()}")
    answers = iter([500, 200])
    web.answers["/hook"] = lambda _: reply("{}", status=next(answers))
    hook = {"url": "${HOOK}", "secret": "secret://env/HOOK_SECRET"}
    office = Office(tmp_path, {"hook": hook, "short": {"url": "${HOOK}", "secret": "${SHORT}"}})
    office.queue("hook", "short", body="Grüße, 7 €")
    office.send()
    office.later(WAITS_SECONDS[0] + 1)
    office.send()
    first, second = web.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"] != ""
    for asked in (first, second):
        sent_at = asked.headers["webhook-timestamp"]
        assert abs(time.time() - int(sent_at)) < 60 and json.loads(asked.body)["body"]
        content = f"{asked.headers['webhook-id']}.{sent_at}.{asked.body.decode()}".encode()
        expected = [
            "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
            for key in (b"n" * 32, b"o" * 24)
        ]
        assert asked.headers["webhook-signature"].split(" ") == expected
    ((_, _, error),) = [row for row in office.rows("channel, state, error") if row[0] == "short"]
    assert "whsec_" in error and base64.b64encode(b"short").decode() not in error


def test_who_hangs_delays_nobody(
    tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: one server that never answers and keeps the others' messages, or a message that is
    neither sent nor tried again."""
    monkeypatch.setenv("HANGS", f"{web.url}/hangs")
    web.answers["/hangs"] = Reply(hang=True)
    office = Office(tmp_path, {"hangs": {"url": "${HANGS}"}, "mail": {"url": "file:out box"}})
    office.queue("hangs", "mailto:team@example.com")
    assert office.send(0.5) == 1
    assert office.rows("channel, state, error") == [
        ("hangs", "waiting", "no answer within 0.5 s"),
        ("mailto:team@example.com", "sent", None),
    ]
    assert "To: team@example.com" in (tmp_path / "out box/INC-1.team.txt").read_text()


def test_a_channel_that_is_down_or_unknown_says_so(tmp_path: Path) -> None:
    """Catches: an error that stops the sending of all others: a closed port, no URL, a scheme of
    nobody, a host that can't be, a folder that is a file, apprise's refusal."""
    (tmp_path / "taken").write_text("")
    urls = {
        "down": f"smtp://127.0.0.1:{_free_port()}?to=a@example.com",
        "nobody": "smtp://127.0.0.1",
        "none": "",
        "odd": "nosuch://x",
        "file": "file:taken",
        "host": "https://[",
        "slack": "slack://nothing",
        "fine": "file:out",
    }
    office = Office(tmp_path, {name: {"url": url} for name, url in urls.items()})
    office.queue(*urls)
    assert office.send() == 1
    errors = dict(office.rows("channel, error"))
    assert errors.pop("fine") is None
    assert all(errors.values()), errors
    assert "Connection refused" in errors["down"]
    assert "?to=ADDRESS" in errors["nobody"]


@pytest.mark.long
def test_a_tick_sends_and_waits_for_nobody(
    tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches: a process that never starts, or doesn't know the project's settings; a tick that
    hangs with its notifier; a command that reports an arrival that didn't happen."""
    monkeypatch.setenv("HOOK", f"{web.url}/hook")
    monkeypatch.setenv("HANGS", f"{web.url}/hangs")
    web.answers["/hook"] = reply("{}")
    web.answers["/hangs"] = Reply(hang=True)
    lab = Lab(tmp_path / "p")
    with (lab.root / "headrace.toml").open("a") as file:
        file.write('\n[notify.hook]\nurl = "${HOOK}"\n[notify.hangs]\nurl = "secret://env/HANGS"\n')
    owners = "acme: {kind: vendor, manager: core, contact: ['mailto:v@x.example']}\n"
    lab.write("owners.yaml", f"ops: {{contact: hook}}\ncore: {{contact: [hook, hangs]}}\n{owners}")
    lab.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: core, reads: [totals], due: '09:00'}\n"
    )
    for day in range(6, 9):
        lab.orders(f"2025-01-{day:02}")
    lab.now -= timedelta(days=1)
    lab.headrace("tick", "--now", lab.now.isoformat())
    lab.now += timedelta(days=1)
    lab.deliver("2025-01-09", ["1,c1,1.50,2025-01-09"], "order_id,client,amount,day")
    assert lab.headrace("tick", "--now", lab.now.isoformat())["incidents_opened"] == ["INC-1"]
    until = time.monotonic() + 20
    while time.monotonic() < until and not any(item.path == "/hook" for item in web.asked):
        time.sleep(0.05)
    (hook,) = [json.loads(item.body) for item in web.asked if item.path == "/hook"]
    assert (hook["incident"], hook["recipient"], hook["title"]) == (
        "INC-1",
        "core",
        "[lab] INC-1 orders: 1 column renamed",
    )
    rows = {row["contact"]: row for row in lab.headrace("notify")}
    assert rows["hook"]["told"] == "core"
    assert [row["state"] for row in lab.headrace("notify", "test", "ops")] == ["ok"]


def test_readers_hear_that_rows_were_withdrawn(tmp_path: Path) -> None:
    """Catches a consumer that is wrong since somebody withdrew what it is made of, and whose owner
    hears nothing; "no cause is known yet" once the rest is withdrawn too."""
    lab = Lab(tmp_path / "p")
    with (lab.root / "headrace.toml").open("a") as file:
        file.write('\n[notify.mail]\nurl = "file:outbox"\n')
    lab.write(
        "owners.yaml",
        "core: {}\nreaders: {contact: 'mailto:r@x.example'}\nacme: {kind: vendor, manager: core}\n",
    )
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    lab.write(
        "consumers.yaml", "- {consumer: report, owner: readers, reads: [totals], due: '13:00'}\n"
    )
    day = "2025-01-09"
    lab.orders("2025-01-08")
    lab.orders(day)
    lab.tick()
    lab.now += timedelta(hours=2)
    for name in ("orders", "totals"):
        lab.headrace(
            "unpublish", f"{name}@{day}", "--reason", "cents", "--now", lab.now.isoformat()
        )
    by = r"cents \(by [^)]+\)"
    told = [
        (kind, body.splitlines()[0])
        for kind, body in lab.rows("select kind, body from notice order by id")
    ]
    assert [kind for kind, _ in told] == ["wrong", "late"]
    wrong, late = (said for _, said in told)
    assert re.fullmatch(
        rf"It is wrong since Fri .* 14:01: orders@{day} was withdrawn: {by}; totals@{day} was"
        r" computed from it\.",
        wrong,
    )
    assert re.fullmatch(
        rf"It is late since Fri .* 13:00; it waits for orders@{day}, withdrawn: {by}\.", late
    )


@pytest.mark.slow
def test_the_same_with_the_state_in_postgresql(postgresql_lab: Lab) -> None:
    """Catches: a query that only SQLite takes: nothing is told, or nothing sent, and only a log
    says so.
    """
    lab = postgresql_lab
    with (lab.root / "headrace.toml").open("a") as file:
        file.write('\n[notify.mail]\nurl = "file:outbox"\n')
    lab.write(
        "owners.yaml",
        "core: {contact: 'mailto:c@x.example', digest: '08:00'}\nacme: {kind: vendor, manager:"
        " core}\n",
    )
    lab.orders("2025-01-08")
    lab.tick()
    lab.deliver("2025-01-09", ["1,c1,1.50,2025-01-09"], "order_id,client,amount,day")
    lab.tick()
    assert [(row["sent"], row["undelivered"]) for row in lab.headrace("notify")] == [(1, 0), (1, 0)]
    assert lab.headrace("status")["undelivered"] == 0
    assert "INC-1 orders: 1 column renamed" in (lab.root / "outbox/INC-1.core.txt").read_text()


def _free_port() -> int:
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        return int(item.getsockname()[1])
