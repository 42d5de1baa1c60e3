"""`file:FOLDER`: messages as text files, one for all that is said to somebody about one thing. For trying out, and where a machine
that can't reach anybody has a folder that is collected."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from headrace.model.errors import words_of
from headrace.run.notifications.message import Message, NotificationChannel, Unsent
from headrace.store.clock import instant

_ODD = re.compile(r"[^A-Za-z0-9._@+-]+")


def send(channel: NotificationChannel, message: Message) -> str:
    """Add it to the file of what it is about; the file's name. Raises Unsent."""
    folder = channel.root / unquote(urlsplit(channel.url).path)
    name = f"{_part(message.incident or message.subject)}.{_part(message.recipient)}.txt"
    to = channel.to or message.recipient
    text = f"To: {to}\nDate: {instant(message.at):%Y-%m-%d %H:%M} UTC\nSubject: {message.title}\n\n{message.body}\n\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Unsent(f"{folder.name}/{name}: {error.strerror or words_of(error)}") from None
    return name


def _part(text: str) -> str:
    return _ODD.sub("-", text).strip(".")[:80] or "message"
