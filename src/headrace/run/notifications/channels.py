"""A message over a channel: the contact as declared, the channel's table, its secrets, what its URL's scheme means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.govern.secrets import SecretMissing, Secrets
from headrace.model.errors import told_by
from headrace.model.nodes import Settings
from headrace.observe.notifications.recipients import MAIL, MAILTO
from headrace.run.notifications import files, mail, services, webhook
from headrace.run.notifications.message import Message, NotificationChannel, Unsent

ERROR_MAX = 300


def send(root: Path, settings: Settings, contact: str, message: Message) -> str | None:
    """Send it; what the channel calls it, where it says. Raises Unsent, whose text holds no secret."""
    secrets = Secrets(root)
    try:
        return _sent(_channel(root, settings, contact, secrets), message)
    except SecretMissing as error:
        raise Unsent(f"{error}; {error.hint}" if error.hint else str(error)) from None
    except Unsent as error:
        raise Unsent(secrets.scrubbed(str(error))[:ERROR_MAX]) from None
    except Exception as error:  # noqa: BLE001
        raise Unsent(secrets.scrubbed(told_by(error))[:ERROR_MAX]) from None


def _channel(root: Path, settings: Settings, contact: str, secrets: Secrets) -> NotificationChannel:
    table, to = _table(settings, contact)
    resolved = secrets.resolved(table)
    secrets.hide(str(resolved.get("url", "")) if resolved.get("url") != table.get("url") else "")
    return NotificationChannel(resolved, root, to)


def _table(settings: Settings, contact: str) -> tuple[dict[str, Any], str | None]:
    name = MAIL if contact.startswith(MAILTO) else contact
    if name in settings.notify:
        return settings.notify[name], contact.removeprefix(MAILTO).partition("?")[0] if name is not contact else None
    if ":" in contact and not contact.startswith(MAILTO):
        return {"url": contact}, None
    raise Unsent(f"there is no [notify.{name}] in headrace.toml")


def _sent(channel: NotificationChannel, message: Message) -> str | None:
    scheme = channel.url.partition(":")[0].lower()
    if scheme == "file":
        return files.send(channel, message)
    if scheme in mail.SCHEMES:
        return mail.send(channel, message)
    if scheme in webhook.SCHEMES and ("body" in channel.table or not services.known(channel.url)):
        return webhook.send(channel, message)
    services.send(channel, message)
    return None
