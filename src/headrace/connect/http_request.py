"""What a source's `http:` asks for: the field as values, one interval's dates put in, secrets resolved at the last moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode, urljoin, urlsplit

import msgspec

from headrace.connect.kinds import Access, Unavailable
from headrace.model import Source
from headrace.model.intervals import Interval, interval_of

PAGES_MAX = 10_000
RETRIES = 3
_PLACEHOLDER = re.compile(r"\{(date|end):([^{}]*)\}")
_PORTS = {"http": 80, "https": 443}


class Paging(msgspec.Struct, frozen=True):
    """How the pages after the first are asked for; fields as declared."""

    by: str
    parameter: str | None = None
    size: int | None = None
    size_parameter: str | None = None
    start: int | None = None
    next: str | None = None
    pages_max: int = PAGES_MAX


class Spec(msgspec.Struct, frozen=True):
    """`http:` of a source, validated by `model.http_field`."""

    url: str
    method: str = "GET"
    records: str | None = None
    headers: dict[str, str] = {}
    params: dict[str, Any] = {}
    body: Any = None
    page: Paging | None = None
    rate_limit: str | None = None
    timeout: str = "30s"
    retries: int = RETRIES


class HttpRequest(msgspec.Struct, frozen=True):
    """One request with its secrets in it: never shown, never logged."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: Any = None

    def asking(self, parameters: Mapping[str, str]) -> HttpRequest:
        """The same with these parameters: in the body where that is a mapping, else in the URL."""
        if not parameters:
            return self
        if isinstance(self.body, dict):
            return msgspec.structs.replace(self, body={**self.body, **{name: _number(value) for name, value in parameters.items()}})
        return msgspec.structs.replace(self, url=with_query(self.url, parameters))


def spec_of(source: Source) -> Spec:
    """The field as values."""
    http = source.connector["http"]
    return msgspec.convert({"url": http} if isinstance(http, str) else http, Spec)


def for_interval(spec: Spec, source: Source, key: str) -> Spec:
    """The same with `{date:…}` and `{end:…}` replaced by the interval's start and end."""
    if source.partition.grain is None:
        return spec
    interval = interval_of(key, source.partition.grain, source.timezone or "UTC")
    return msgspec.structs.replace(
        spec,
        url=_dated(spec.url, interval, encode=True),
        params=_all_dated(spec.params, interval),
        body=_all_dated(spec.body, interval),
    )


def resolved(spec: Spec, access: Access) -> HttpRequest:
    """The first request, secrets included. Raises SecretMissing, and Unavailable (configuration_error) for what can't be sent."""
    url, params, headers = (access.secrets.resolved(part) for part in (spec.url, spec.params, spec.headers))
    if urlsplit(url).scheme not in _PORTS or not urlsplit(url).hostname:
        raise Unavailable("`url` isn't the URL of a server once its references are resolved", code="configuration_error", transient=False)
    given = tuple((name, _sendable(name, value)) for name, value in headers.items())
    return HttpRequest(spec.method, with_query(url, params), given, access.secrets.resolved(spec.body))


def with_query(url: str, parameters: Mapping[str, Any]) -> str:
    """The URL with these parameters, which take the place of those of the same name."""
    if not parameters:
        return url
    parts = urlsplit(url)
    kept = [item for item in parts.query.split("&") if item and unquote_plus(item.partition("=")[0]) not in parameters]
    added = urlencode({name: _texts(value) for name, value in parameters.items()}, doseq=True)
    return parts._replace(query="&".join([*kept, added])).geturl()


def on_same_server(url: str, target: str) -> str | None:
    """Where `target`, as a server names it (relative or not), leads to, if that is the server of `url`; None if it leads elsewhere.

    A server behind a proxy that calls itself `http` is asked by `https` where `url` was; `http` may lead on to `https`.
    """
    there = urljoin(url, target)
    try:
        asked, named = urlsplit(url), urlsplit(there)
        ports = (asked.port or _PORTS.get(asked.scheme), named.port or _PORTS.get(named.scheme))
    except ValueError:
        return None
    if named.hostname != asked.hostname or named.scheme not in _PORTS:
        return None
    if asked.scheme == named.scheme:
        return there if ports[0] == ports[1] else None
    if ports not in ((80, 443), (443, 80)) and asked.port != named.port:
        return None
    return there if named.scheme == "https" else named._replace(scheme="https", netloc=asked.netloc).geturl()


def _dated(text: str, interval: Interval, *, encode: bool = False) -> str:
    def date(match: re.Match[str]) -> str:
        written = (interval.start if match[1] == "date" else interval.end).strftime(match[2])
        return quote(written, safe=":") if encode else written

    return _PLACEHOLDER.sub(date, text)


def _all_dated(value: Any, interval: Interval) -> Any:
    if isinstance(value, str):
        return _dated(value, interval)
    if isinstance(value, dict):
        return {name: _all_dated(inner, interval) for name, inner in value.items()}
    return [_all_dated(inner, interval) for inner in value] if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    return list(_each(value))


def _each(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        yield str(item).lower() if isinstance(item, bool) else str(item)


def _number(value: str) -> int | str:
    return int(value) if value.isascii() and value.isdigit() and (value == "0" or value[0] != "0") else value


def _sendable(name: str, value: str) -> str:
    """Said here, because a library's own words would repeat the value."""
    value = value.strip()
    if not value.isprintable():
        raise Unavailable(
            f"the header {name} holds a line break or another sign that can't be sent", code="configuration_error", transient=False
        )
    return value
