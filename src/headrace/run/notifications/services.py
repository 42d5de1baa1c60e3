"""All other URLs, by apprise: `slack://`, `msteams://`, `pagerduty://`, `mailto://` and a hundred more."""

from __future__ import annotations

import logging
import warnings
from typing import Any
from urllib.parse import quote, urlsplit

from headrace.run.notifications.message import Message, NotificationChannel, Unsent

_MAIL = ("mailto", "mailtos")
_HOOKS = ("hooks.slack.com", "discord.com", "discordapp.com", "webhook.office.com", "outlook.office.com", "chat.googleapis.com")


def send(channel: NotificationChannel, message: Message) -> None:
    """Send it. Raises Unsent."""
    apprise = _apprise()
    asset = apprise.AppriseAsset(app_id="Headrace", app_desc="Headrace", plugin_paths=[], secure_logging=True)
    with apprise.LogCapture(level=logging.WARNING) as log:
        item = apprise.Apprise.instantiate(_address(channel), asset=asset, suppress_exceptions=True)
        done = item is not None and item.notify(title=message.title, body=message.body, body_format=apprise.NotifyFormat.TEXT)
        said = log.getvalue().strip().splitlines()
    if item is None:
        raise Unsent("its url isn't one of a service that is known, or misses a part")
    if not done:
        raise Unsent(said[-1].split(" - ", 2)[-1][-200:] if said else "the service didn't take it")


def known(url: str) -> bool:
    """Whether a web address is that of a service's own webhook, which takes its own documents."""
    host = (urlsplit(url).hostname or "").lower()
    return any(host == name or host.endswith(f".{name}") for name in _HOOKS)


def _apprise() -> Any:
    """It takes a second to load, and warns of what it uses itself."""
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
