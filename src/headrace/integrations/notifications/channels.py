"""Notification channels: text files, mail, webhooks, apprise; and the sender of messages.

`http://` and `https://` post a JSON document to a URL. With `update`, the first message of a cause
creates a ticket, and later ones change it:

    [notify.tickets]
    url = "secret://env/TICKETS"                  # where a ticket is created
    headers = {Authorization = "Bearer ${TICKETS_TOKEN}"}
    body = {title = "{title}", text = "{body}"}   # any JSON; without one, all values
    reference = "ticket.id"                       # where the answer has the ticket's id
    update = {url = "https://…/{reference}", method = "PATCH", body = {text = "{body}"}}
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import queue
import re
import smtplib
import ssl
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

import msgspec

from headrace.connect.destinations import AddressRefused
from headrace.connect.read_deadlines import AnswerTooLong, whole_answer
from headrace.incidents.messages import MAIL, MAILTO
from headrace.model.causes import HEADRACE
from headrace.model.errors import HeadraceError, message_of, words_of
from headrace.model.nodes import ALL_NETWORKS, Settings
from headrace.security.secrets import SecretMissing, Secrets
from headrace.store import Clock, Store, Transaction
from headrace.store.clock import instant
from headrace.store.queries import incidents, notifications
from headrace.store.queries.incidents import Happened
from headrace.store.queries.notifications import DueNotification

# One message as a channel gets it.


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A notification to one recipient.

    `subject` names what it is about, equal for all messages that belong together. `reference` is
    the channel's id of the first message about it. `at` is when it was queued, in microseconds.
    `number` is the same for each attempt to send it.
    """

    project: str
    kind: str
    subject: str
    incident: str | None
    recipient: str
    title: str
    body: str
    at: int
    reference: str | None = None
    number: int = 0

    @property
    def id(self) -> str:
        """The id of a webhook's message: equal for each attempt, so that receivers drop repeats."""
        mark = f"{self.project}\x1f{self.number}\x1f{self.at}\x1f{self.recipient}"
        return f"msg_{hashlib.sha256(mark.encode()).hexdigest()[:32]}"

    @property
    def values(self) -> dict[str, str]:
        """The values that a template may use."""
        return {
            "project": self.project,
            "kind": self.kind,
            "subject": self.subject,
            "incident": self.incident or "",
            "recipient": self.recipient,
            "title": self.title,
            "body": self.body,
            "reference": self.reference or "",
        }


class NotificationChannel(msgspec.Struct, frozen=True):
    """The destination of messages.

    `table` is the channel's table of [notify] with resolved secrets, `root` the project's folder,
    `to` the address if the contact is one.
    """

    table: Mapping[str, Any]
    root: Path
    to: str | None = None
    private_addresses: tuple[str, ...] = ALL_NETWORKS
    """Networks of private addresses that webhooks may be sent to."""

    @property
    def url(self) -> str:
        """The channel's URL."""
        return str(self.table.get("url", ""))


class Unsent(HeadraceError):
    """A channel didn't accept a message."""


# `file:FOLDER`: messages as text files, one per recipient and subject. For trials, and for machines
# without a network that have a collected folder.

_UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._@+-]+")


def send_to_file(channel: NotificationChannel, message: Message) -> str:
    """Append a message to the file of its subject; return the file's name. Raises Unsent."""
    folder = channel.root / unquote(urlsplit(channel.url).path)
    name = f"{_part(message.incident or message.subject)}.{_part(message.recipient)}.txt"
    to = channel.to or message.recipient
    text = (
        f"To: {to}\nDate: {instant(message.at):%Y-%m-%d %H:%M} UTC\nSubject:"
        f" {message.title}\n\n{message.body}\n\n"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unsent(f"{folder.name}/{name}: {error.strerror or words_of(error)}") from None
    return name


def _part(text: str) -> str:
    return _UNSAFE_CHARACTERS.sub("-", text).strip(".")[:80] or "message"


# `smtp://` and `smtps://`: mail through a server. Messages about one subject have the same
# `References`, so that a mail program shows them as one thread. `smtps` speaks TLS from the start
# on port 465, and STARTTLS on any other port; `smtp` isn't encrypted.

TIMEOUT_SECONDS = 10.0
ANSWER_BYTES_MAX = 1_000_000
MAIL_SCHEMES = ("smtp", "smtps")
_TLS = 465


def send_mail(channel: NotificationChannel, message: Message) -> str:
    """Send a message to the mail server; return the thread's id. Raises Unsent."""
    try:
        url = urlsplit(channel.url)
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        to = channel.to or options.get("to", "")
        if not to:
            raise Unsent(
                "nobody to send to: write ?to=ADDRESS in its url, or mailto:ADDRESS as the contact"
            )
        written = _written(
            message, options.get("from") or f"headrace@{url.hostname or 'localhost'}", to
        )
        with _connected(url) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(written)
    except smtplib.SMTPResponseException as error:
        raise Unsent(
            f"the mail server answers {error.smtp_code}: {_text(error.smtp_error)}"
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(str(code) for code, _ in error.recipients.values())
        raise Unsent(f"the mail server refuses the address: {codes}") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Unsent(message_of(error)) from None
    return thread_of(message)


def thread_of(message: Message) -> str:
    """Return the message id that all messages about one incident or subject refer to."""
    about = message.incident or message.subject
    mark = hashlib.sha256(
        f"{message.project}\x1f{about}\x1f{message.recipient}".encode()
    ).hexdigest()[:32]
    return f"<{mark}@headrace.invalid>"


def _written(message: Message, sender: str, to: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, message.title
    mail["Date"] = format_datetime(instant(message.at))
    mail["Message-ID"] = make_msgid(domain="headrace.invalid")
    mail["References"] = mail["In-Reply-To"] = thread_of(message)
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    return mail


def _connected(url: SplitResult) -> smtplib.SMTP:
    host = url.hostname or "localhost"
    if url.scheme == "smtps" and (url.port or _TLS) == _TLS:
        return smtplib.SMTP_SSL(
            host, _TLS, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context()
        )
    server = smtplib.SMTP(host, url.port or 25, timeout=TIMEOUT_SECONDS)
    if url.scheme == "smtps":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _text(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer


WEBHOOK_SCHEMES = ("http", "https")
METHODS = ("POST", "PUT", "PATCH")
REFERENCE_MAX = 200
_NAMED = re.compile(r"\{([a-z]+)\}")


def send_to_webhook(channel: NotificationChannel, message: Message) -> str | None:
    """Send a message; return the ticket's id if the channel declares where it is. Raises Unsent."""
    table, update = channel.table, channel.table.get("update")
    if message.reference is not None and isinstance(update, Mapping):
        answer = _http_answer(
            {**table, "method": "PATCH", **update}, message, channel.private_addresses
        )
        return message.reference if answer is not None else None
    answer = _http_answer(table, message, channel.private_addresses)
    path = table.get("reference")
    return _reference_in(answer, str(path)) if path is not None else None


SIGNED_BY = "whsec_"
"""How a secret begins; the rest is base64, of 24 to 64 bytes."""


def signed_headers(identifier: str, seconds: int, content: bytes, secrets: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks: id, time (of this attempt, Unix) and signatures.

    `secrets` are one or, while one is replaced, several `whsec_…` with blanks between. Without any,
    nothing is signed. Raises Unsent for another form (https://www.standardwebhooks.com).
    """
    headers = {"webhook-id": identifier, "webhook-timestamp": str(seconds)}
    signed = b".".join((identifier.encode(), str(seconds).encode(), content))
    signatures = []
    for secret in secrets.split():
        try:
            key = base64.b64decode(secret.removeprefix(SIGNED_BY), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith(SIGNED_BY) or not 24 <= len(key) <= 64:
            raise Unsent("`secret` isn't `whsec_` and the base64 of 24 to 64 bytes")
        digest = hmac.digest(key, signed, "sha256")
        signatures.append(f"v1,{base64.b64encode(digest).decode()}")
    return headers | ({"webhook-signature": " ".join(signatures)} if signatures else {})


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """Return a template with each `{name}` replaced; values can't change its structure."""
    if isinstance(template, str):
        return _NAMED.sub(lambda match: values.get(match[1], match[0]), template)
    if isinstance(template, Mapping):
        return {name: filled(inner, values) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, values) for inner in template]
    return template


def _http_answer(
    table: Mapping[str, Any],
    message: Message,
    private_addresses: tuple[str, ...] = ALL_NETWORKS,
) -> Any:
    import httpx

    method = str(table.get("method", "POST")).upper()
    if method not in METHODS:
        raise Unsent(f"{method[:20]} isn't a way to send a message: write POST, PUT or PATCH")
    url = filled(
        str(table.get("url", "")),
        {name: quote(value, safe="") for name, value in message.values.items()},
    )
    body = filled(table["body"], message.values) if "body" in table else message.values
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        **{str(name): str(value) for name, value in dict(table.get("headers") or {}).items()},
        **signed_headers(message.id, int(time.time()), content, str(table.get("secret") or "")),
    }
    try:
        answer = whole_answer(
            method,
            url,
            seconds=TIMEOUT_SECONDS,
            bytes_max=ANSWER_BYTES_MAX,
            private_addresses=private_addresses,
            content=content,
            headers=headers,
        )
    except AnswerTooLong:
        raise Unsent("the server's answer is too long") from None
    except AddressRefused as error:
        raise Unsent(f"{error} ({error.hint})") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Unsent(message_of(error)) from None
    if not 200 <= answer.status < 300:
        raise Unsent(f"the server answers {answer.status}")
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}


def _reference_in(answer: Any, path: str) -> str:
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(answer, str | int):
        raise Unsent(f"the answer has no {path[:60]}: what the ticket is called isn't known")
    return str(answer)[:REFERENCE_MAX]


# All other URLs, by apprise: `slack://`, `msteams://`, `pagerduty://`, `mailto://` and about a
# hundred more.

_MAIL = ("mailto", "mailtos")
_HOOKS = (
    "hooks.slack.com",
    "discord.com",
    "discordapp.com",
    "webhook.office.com",
    "outlook.office.com",
    "chat.googleapis.com",
)


def send_by_apprise(channel: NotificationChannel, message: Message) -> None:
    """Send a message. Raises Unsent."""
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        app_id="Headrace", app_desc="Headrace", plugin_paths=[], secure_logging=True
    )
    with apprise.LogCapture(level=logging.WARNING) as log:
        item = apprise.Apprise.instantiate(_address(channel), asset=asset, suppress_exceptions=True)
        done = item is not None and item.notify(
            title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT
        )
        log_lines = log.getvalue().strip().splitlines()
    if item is None:
        raise Unsent("its url isn't one of a service that is known, or misses a part")
    if not done:
        raise Unsent(
            log_lines[-1].split(" - ", 2)[-1][-200:] if log_lines else "the service didn't take it"
        )


def is_service_webhook(url: str) -> bool:
    """Whether a URL is the webhook of a service that takes only its own format."""
    host = (urlsplit(url).hostname or "").lower()
    return any(host == name or host.endswith(f".{name}") for name in _HOOKS)


def _apprise() -> Any:
    """Import apprise, which takes a second and causes warnings about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import apprise

        apprise.Apprise.instantiate("json://localhost")  # loads its services
    return apprise


def _address(channel: NotificationChannel) -> str:
    url = channel.url
    if channel.to is None or url.partition(":")[0] not in _MAIL:
        return url
    return f"{url}{'&' if '?' in url else '?'}to={quote(channel.to)}"


# Sends a message over a channel: from the contact as declared, the channel's table with its
# secrets, and the scheme of its URL.

ERROR_MAX = 300


def send(root: Path, settings: Settings, contact: str, message: Message) -> str | None:
    """Send a message; return the channel's id of it, if there is one.

    Raises Unsent, whose text contains no secret.
    """
    secrets = Secrets(root)
    try:
        return _sent(_channel(root, settings, contact, secrets), message)
    except SecretMissing as error:
        raise Unsent(f"{error}; {error.hint}" if error.hint else str(error)) from None
    except Unsent as error:
        raise Unsent(secrets.scrubbed(str(error))[:ERROR_MAX]) from None
    except Exception as error:  # noqa: BLE001
        raise Unsent(secrets.scrubbed(message_of(error))[:ERROR_MAX]) from None


def _channel(root: Path, settings: Settings, contact: str, secrets: Secrets) -> NotificationChannel:
    table, to = _table(settings, contact)
    resolved = secrets.resolved(table)
    secrets.hide(str(resolved.get("url", "")) if resolved.get("url") != table.get("url") else "")
    return NotificationChannel(resolved, root, to, settings.private_addresses)


def _table(settings: Settings, contact: str) -> tuple[dict[str, Any], str | None]:
    name = MAIL if contact.startswith(MAILTO) else contact
    if name in settings.notify:
        return settings.notify[name], (
            contact.removeprefix(MAILTO).partition("?")[0] if name is not contact else None
        )
    if ":" in contact and not contact.startswith(MAILTO):
        return {"url": contact}, None
    raise Unsent(f"there is no [notify.{name}] in headrace.toml")


def _sent(channel: NotificationChannel, message: Message) -> str | None:
    scheme = channel.url.partition(":")[0].lower()
    if scheme == "file":
        return send_to_file(channel, message)
    if scheme in MAIL_SCHEMES:
        return send_mail(channel, message)
    if scheme in WEBHOOK_SCHEMES and (
        "body" in channel.table or not is_service_webhook(channel.url)
    ):
        return send_to_webhook(channel, message)
    send_by_apprise(channel, message)
    return None


# Sends waiting messages: each channel in its own thread, one message after the other. A channel
# that hangs is abandoned, and its messages are retried.

BATCH = 50
SEND_SECONDS = 20.0
"""Longest time for one message."""
BATCH_SECONDS = 90.0
"""Longest time for a batch; the process reserves the batch's messages for longer."""
WAITS_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 10_800)
"""Seconds to wait after each failed attempt, by the store's clock; then the message is given up."""
_SECOND_US = 1_000_000


class Sent(msgspec.Struct, frozen=True):
    """The result of one message."""

    notice: DueNotification
    reference: str | None
    error: str | None


class Sending:
    """Sends the waiting messages of one project's state."""

    def __init__(
        self, store: Store, root: Path, settings: Settings, *, send_seconds: float = SEND_SECONDS
    ) -> None:
        self._store, self._root, self._settings, self._patience = (
            store,
            root,
            settings,
            send_seconds,
        )

    def all(self) -> int:
        """Send until no message is due; return the number sent."""
        done = 0
        while batch := self._claimed():
            done += self._batch(batch)
        return done

    def _claimed(self) -> list[DueNotification]:
        with self._store.write(None) as tx:
            return notifications.take(tx, _now(tx), BATCH)

    def _batch(self, batch: Sequence[DueNotification]) -> int:
        """Send a batch, channels concurrently; return the number sent."""
        by_channel = defaultdict[str, list[DueNotification]](list)
        for notification in batch:
            by_channel[notification.channel].append(notification)
        results: queue.SimpleQueue[Sent] = queue.SimpleQueue()
        begun: dict[str, float] = dict.fromkeys(by_channel, time.monotonic())
        for channel, waiting in by_channel.items():
            threading.Thread(
                target=self._over, args=(channel, waiting, results, begun), daemon=True
            ).start()
        return self._store_results(
            {notification.id: notification for notification in batch}, results, begun
        )

    def _over(
        self,
        channel: str,
        waiting: Sequence[DueNotification],
        results: queue.SimpleQueue[Sent],
        begun: dict[str, float],
    ) -> None:
        for notification in waiting:
            begun[channel] = time.monotonic()
            try:
                results.put(
                    Sent(
                        notification,
                        send(
                            self._root,
                            self._settings,
                            channel,
                            _message(self._settings, notification),
                        ),
                        None,
                    )
                )
            except Unsent as error:
                results.put(Sent(notification, None, str(error)))

    def _store_results(
        self,
        left: dict[int, DueNotification],
        results: queue.SimpleQueue[Sent],
        begun: dict[str, float],
    ) -> int:
        """Store the result of each message; those without an answer in time count as failed."""
        done, until = 0, time.monotonic() + BATCH_SECONDS
        while left and (patience := self._patience_left(left, begun, until)) > 0:
            try:
                sent = results.get(timeout=patience)
            except queue.Empty:
                continue
            left.pop(sent.notice.id, None)
            done += sent.error is None
            self._write(sent)
        for notice in left.values():
            self._write(Sent(notice, None, f"no answer within {self._patience:g} s"))
        return done

    def _patience_left(
        self, left: dict[int, DueNotification], begun: dict[str, float], until: float
    ) -> float:
        """Return the seconds until the last unfinished channel is given up."""
        last = max(begun[notification.channel] for notification in left.values()) + self._patience
        return min(last, until) - time.monotonic()

    def _write(self, sent: Sent) -> None:
        with self._store.write(None) as tx:
            now, notice = _now(tx), sent.notice
            if sent.error is None:
                notifications.sent(tx, notice.id, now, sent.reference)
                _note(
                    tx,
                    notice,
                    now,
                    f"notified {notice.recipient} over {notice.channel}:"
                    f" {_EVENT_TEXTS.get(notice.kind, notice.kind)}",
                )
            elif notice.tries < len(WAITS_SECONDS):
                notifications.again(
                    tx, notice.id, now + WAITS_SECONDS[notice.tries] * _SECOND_US, sent.error
                )
            else:
                notifications.fail(tx, notice.id, sent.error)
                _note(
                    tx,
                    notice,
                    now,
                    f"{notice.recipient} couldn't be notified over {notice.channel}: {sent.error}",
                )


_EVENT_TEXTS = {
    "opened": "it is open",
    "changed": "it has changed",
    "resolved": "it is over",
    "escalated": "it is open (as the manager)",
}


def _note(tx: Transaction, notice: DueNotification, now: int, what: str) -> None:
    if notice.incident is not None:
        incidents.happened(tx, notice.incident, [Happened(now, what, HEADRACE)])


def _message(settings: Settings, notification: DueNotification) -> Message:
    return Message(
        project=settings.name,
        kind=notification.kind,
        subject=notification.subject,
        incident=(
            None if notification.incident is None else incidents.display_id(notification.incident)
        ),
        recipient=notification.recipient,
        title=notification.title,
        body=notification.body,
        at=notification.created_at,
        reference=notification.reference,
        number=notification.id,
    )


def _now(tx: Transaction) -> int:
    return Clock.for_reading(tx, None).now_us()
