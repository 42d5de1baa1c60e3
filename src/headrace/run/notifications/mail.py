"""`smtp://` and `smtps://`: mail through a server. What belongs together has the same `References`, so that it is read as one thread.

`smtps` speaks TLS from the start on port 465, and STARTTLS on any other; `smtp` speaks in the clear.
"""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from headrace.model.errors import told_by
from headrace.run.notifications.message import Message, NotificationChannel, Unsent
from headrace.store.clock import instant

TIMEOUT_SECONDS = 10.0
SCHEMES = ("smtp", "smtps")
_TLS = 465


def send(channel: NotificationChannel, message: Message) -> str:
    """Hand it to the server; the thread's id. Raises Unsent."""
    try:
        url = urlsplit(channel.url)
        options = {name: values[0] for name, values in parse_qs(url.query).items()}
        to = channel.to or options.get("to", "")
        if not to:
            raise Unsent("nobody to send to: write ?to=ADDRESS in its url, or mailto:ADDRESS as the contact")
        written = _written(message, options.get("from") or f"headrace@{url.hostname or 'localhost'}", to)
        with _connected(url) as server:
            if url.username:
                server.login(unquote(url.username), unquote(url.password or ""))
            server.send_message(written)
    except smtplib.SMTPResponseException as error:
        raise Unsent(f"the mail server answers {error.smtp_code}: {_text(error.smtp_error)}") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(str(code) for code, _ in error.recipients.values())
        raise Unsent(f"the mail server refuses the address: {codes}") from None
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise Unsent(told_by(error)) from None
    return thread_of(message)


def thread_of(message: Message) -> str:
    """The id that all messages about one thing refer to."""
    about = message.incident or message.subject
    mark = hashlib.sha256(f"{message.project}\x1f{about}\x1f{message.recipient}".encode()).hexdigest()[:32]
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
        return smtplib.SMTP_SSL(host, _TLS, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
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
