"""`http://` and `https://`: a JSON document to a URL; with `update`, a ticket for each cause, which later messages change.

[notify.tickets]
url = "secret://env/TICKETS"                                # where a ticket is made
headers = {Authorization = "Bearer ${TICKETS_TOKEN}"}
body = {title = "{title}", text = "{body}"}                 # any JSON; without one, all there is
reference = "ticket.id"                                     # where the answer says what it is called
update = {url = "https://…/{reference}", method = "PATCH", body = {text = "{body}"}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from headrace.model.errors import told_by
from headrace.run.notifications.message import Message, NotificationChannel, Unsent

TIMEOUT_SECONDS = 10.0
SCHEMES = ("http", "https")
METHODS = ("POST", "PUT", "PATCH")
REFERENCE_MAX = 200
_NAMED = re.compile(r"\{([a-z]+)\}")


def send(channel: NotificationChannel, message: Message) -> str | None:
    """Send it; what the answer calls the ticket, where that is asked for. Raises Unsent."""
    table, update = channel.table, channel.table.get("update")
    if message.reference is not None and isinstance(update, Mapping):
        answer = _asked({**table, "method": "PATCH", **update}, message)
        return message.reference if answer is not None else None
    answer = _asked(table, message)
    path = table.get("reference")
    return _found(answer, str(path)) if path is not None else None


def filled(template: Any, values: Mapping[str, str]) -> Any:
    """A template with each `{name}` replaced: texts stay texts, whatever the values hold."""
    if isinstance(template, str):
        return _NAMED.sub(lambda match: values.get(match[1], match[0]), template)
    if isinstance(template, Mapping):
        return {name: filled(inner, values) for name, inner in template.items()}
    if isinstance(template, list):
        return [filled(inner, values) for inner in template]
    return template


def _asked(table: Mapping[str, Any], message: Message) -> Any:
    import httpx

    method = str(table.get("method", "POST")).upper()
    if method not in METHODS:
        raise Unsent(f"{method[:20]} isn't a way to send a message: write POST, PUT or PATCH")
    url = filled(str(table.get("url", "")), {name: quote(value, safe="") for name, value in message.values.items()})
    body = filled(table["body"], message.values) if "body" in table else message.values
    headers = {str(name): str(value) for name, value in dict(table.get("headers") or {}).items()}
    try:
        answer = httpx.request(method, url, json=body, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise Unsent(told_by(error)) from None
    if not answer.is_success:
        raise Unsent(f"the server answers {answer.status_code}")
    try:
        return answer.json()
    except ValueError:
        return {}


def _found(answer: Any, path: str) -> str:
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(answer, str | int):
        raise Unsent(f"the answer has no {path[:60]}: what the ticket is called isn't known")
    return str(answer)[:REFERENCE_MAX]
