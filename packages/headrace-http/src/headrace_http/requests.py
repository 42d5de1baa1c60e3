"""The requests of an HTTP source: its `http:` field, paging, and pages cached for a later fetch."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_plus, urlencode, urljoin, urlsplit

import msgspec

from headrace.extension import Source
from headrace.extension.sources import (
    PAGES_SECONDS_MAX,
    Access,
    CannotRead,
    Interval,
    Unavailable,
    interval_of,
    printable,
)
from headrace_http.records import cursor_in, flag_in

# A source's `http:` field as values; an interval's dates are inserted, and secrets are resolved
# just before a request.

PAGES_MAX = 10_000
RETRIES = 3
_PLACEHOLDER = re.compile(r"\{(date|end):([^{}]*)\}")
_PORTS = {"http": 80, "https": 443}


class Paging(msgspec.Struct, frozen=True):
    """How to request the pages after the first; fields as declared."""

    by: str
    parameter: str | None = None
    size: int | None = None
    size_parameter: str | None = None
    start: int | None = None
    next: str | None = None
    has_more: str | None = None
    end: int | None = None
    pages_max: int = PAGES_MAX


class Spec(msgspec.Struct, frozen=True):
    """A source's `http:` field, validated by `model.connectors`."""

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
    bytes_max: str | None = None


class HttpRequest(msgspec.Struct, frozen=True):
    """One request with its secrets: never shown, never logged."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: Any = None

    def asking(self, parameters: Mapping[str, str]) -> HttpRequest:
        """Return the request with these parameters.

        They go into the body if that is a mapping, else into the URL.
        """
        if not parameters:
            return self
        if isinstance(self.body, dict):
            return msgspec.structs.replace(
                self,
                body={**self.body, **{name: _number(value) for name, value in parameters.items()}},
            )
        return msgspec.structs.replace(self, url=with_query(self.url, parameters))


def spec_of(source: Source) -> Spec:
    """Return the source's `http:` field as values."""
    http = source.connector["http"]
    return msgspec.convert({"url": http} if isinstance(http, str) else http, Spec)


def for_interval(spec: Spec, source: Source, key: str) -> Spec:
    """Replace `{date:…}` and `{end:…}` by the interval's start and end."""
    if source.partition.grain is None:
        return spec
    interval = interval_of(key, source.partition.grain, source.timezone or "UTC")
    return msgspec.structs.replace(
        spec,
        url=_dated(spec.url, interval, encode=True),
        params=_all_dated(spec.params, interval),
        body=_all_dated(spec.body, interval),
    )


def first_request(spec: Spec, access: Access) -> HttpRequest:
    """Return the first request, secrets included.

    Raises SecretMissing, and Unavailable (`configuration_error`) for a request that can't be sent.
    """
    url, params, headers = (
        access.secrets.resolved(part) for part in (spec.url, spec.params, spec.headers)
    )
    if urlsplit(url).scheme not in _PORTS or not urlsplit(url).hostname:
        raise Unavailable(
            "`url` isn't the URL of a server once its references are resolved",
            code="configuration_error",
            transient=False,
        )
    sendable_headers = tuple((name, _sendable(name, value)) for name, value in headers.items())
    return HttpRequest(
        spec.method, with_query(url, params), sendable_headers, access.secrets.resolved(spec.body)
    )


def with_query(url: str, parameters: Mapping[str, Any]) -> str:
    """Return the URL with these parameters, which replace existing ones of the same name."""
    if not parameters:
        return url
    parts = urlsplit(url)
    remaining = [
        item
        for item in parts.query.split("&")
        if item and unquote_plus(item.partition("=")[0]) not in parameters
    ]
    added = urlencode({name: _texts(value) for name, value in parameters.items()}, doseq=True)
    return parts._replace(query="&".join([*remaining, added])).geturl()


def on_same_server(url: str, target: str) -> str | None:
    """Return the absolute URL of `target` if it is on the server of `url`, else None.

    `target` is a server's relative or absolute reference. A server behind a proxy may call itself
    `http` while `url` is `https`: the result is `https` then. `http` may lead to `https`.
    """
    there = urljoin(url, target)
    try:
        origin, named = urlsplit(url), urlsplit(there)
        ports = (origin.port or _PORTS.get(origin.scheme), named.port or _PORTS.get(named.scheme))
    except ValueError:
        return None
    if named.hostname != origin.hostname or named.scheme not in _PORTS:
        return None
    if origin.scheme == named.scheme:
        return there if ports[0] == ports[1] else None
    if ports not in ((80, 443), (443, 80)) and origin.port != named.port:
        return None
    return (
        there
        if named.scheme == "https"
        else named._replace(scheme="https", netloc=origin.netloc).geturl()
    )


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
    return (
        int(value)
        if value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
        else value
    )


def _sendable(name: str, value: str) -> str:
    """Check a header's value here, because a library's message would repeat the value."""
    value = value.strip()
    if not value.isprintable():
        raise Unavailable(
            f"the header {name} holds a line break or another sign that can't be sent",
            code="configuration_error",
            transient=False,
        )
    return value


# The request for the next page: by number, by offset, by cursor, or by link. Pure.

PARAMETERS = {"page": "page", "offset": "offset", "cursor": "cursor"}
SIZE_PARAMETERS = {"offset": "limit"}
START = {"page": 1, "offset": 0}


class HttpPage(msgspec.Struct, frozen=True):
    """One received page. `link` is the Link header's `next`, empty without one."""

    url: str
    body: bytes
    records: Sequence[bytes]
    link: str = ""
    is_end: bool = False
    """Whether it is the answer that the source declares as the end of the pages."""


class Position(msgspec.Struct, frozen=True):
    """The position of a page in a listing.

    `mark` is the cursor or link that leads to it, empty for numbers and for the first page.
    """

    number: int
    """Number of pages before it."""
    at: int = 0
    mark: str = ""
    seen: tuple[str, ...] = ()
    last: str = ""


class Pages:
    """The requests of one delivery; it detects servers whose pages go in circles."""

    def __init__(self, paging: Paging | None, base: HttpRequest) -> None:
        self._paging, self._base = paging, base
        self._number = 0
        self._position = START.get(paging.by, 0) if paging else 0
        if paging and paging.start is not None:
            self._position = paging.start
        self._seen: dict[str, None] = {}
        self._last = b""
        self._mark = ""

    def first(self) -> HttpRequest:
        """Return the request for the first page."""
        paging = self._paging
        if paging is None:
            return self._base
        return self._base.asking({**self._sized(paging), **self._positioned(paging)})

    @property
    def position(self) -> Position:
        """The position of the next page, from which a later fetch can resume."""
        return Position(
            self._number, self._position, self._mark, tuple(self._seen), self._last.hex()
        )

    def at(self, position: Position) -> HttpRequest:
        """Return the request for a position's page, and continue from there."""
        paging = self._paging
        assert paging is not None, "what has no pages has no positions"
        self._number, self._position, self._mark = position.number, position.at, position.mark
        self._seen, self._last = dict.fromkeys(position.seen), bytes.fromhex(position.last)
        if not position.mark:
            return self.first()
        if paging.by == "cursor":
            return self._cursor_request(paging, position.mark)
        return msgspec.structs.replace(self._base, url=position.mark)

    def after(self, page: HttpPage) -> HttpRequest | None:
        """Return the request for the next page; None after the last one.

        Raises CannotRead for a repeated page and for too many pages.
        """
        paging = self._paging
        if paging is None:
            return None
        self._number += 1
        self._refuse_repeated(page)
        request = self._next(paging, page)
        if request is not None and self._number >= paging.pages_max:
            raise CannotRead(
                f"there are more pages than `pages_max` allows ({paging.pages_max:,})",
                code="too_many_pages",
            )
        return request

    def _next(self, paging: Paging, page: HttpPage) -> HttpRequest | None:
        if page.is_end:
            return None
        if paging.has_more is None:
            return self._asked(paging, page, page.records)
        if not flag_in(page.body, paging.has_more):
            return None
        following = self._asked(paging, page, page.records or paging.by == "page")
        if following is None:
            raise CannotRead(
                f"page {self._number:,}: {printable(paging.has_more)} is true, but nothing leads to"
                " the next page"
            )
        return following

    def _asked(
        self, paging: Paging, page: HttpPage, goes_on: Sequence[bytes] | bool
    ) -> HttpRequest | None:
        if paging.by == "cursor":
            assert paging.next is not None, "validated"
            cursor = cursor_in(page.body, paging.next)
            return None if cursor is None else self._by_cursor(paging, cursor)
        if paging.by == "link":
            link = page.link if paging.next is None else cursor_in(page.body, paging.next)
            return self._by_link(page, link) if link else None
        if not goes_on:  # only an empty page is surely the last
            return None
        self._position += 1 if paging.by == "page" else len(page.records)
        return self._base.asking({**self._sized(paging), **self._positioned(paging)})

    def _by_cursor(self, paging: Paging, cursor: str) -> HttpRequest:
        self._once(cursor, "cursor")
        return self._cursor_request(paging, cursor)

    def _cursor_request(self, paging: Paging, cursor: str) -> HttpRequest:
        return self._base.asking(
            {**self._sized(paging), paging.parameter or PARAMETERS["cursor"]: cursor}
        )

    def _by_link(self, page: HttpPage, link: str) -> HttpRequest:
        target = on_same_server(page.url, link)
        if target is None:
            raise CannotRead("the link to the next page leads to another server")
        self._once(target, "link to a next page")
        return msgspec.structs.replace(self._base, url=target)

    def _once(self, mark: str, what: str) -> None:
        digest = hashlib.sha256(mark.encode()).hexdigest()
        if digest in self._seen:
            raise CannotRead(
                f"page {self._number:,} names a {what} that came before: the pages go in circles",
                code="page_repeated",
            )
        self._seen[digest] = None
        self._mark = mark

    def _refuse_repeated(self, page: HttpPage) -> None:
        digest = hashlib.sha256(b"\n".join(page.records)).digest()
        if page.records and digest == self._last:
            raise CannotRead(
                f"page {self._number:,} holds the same {len(page.records):,} records as the one"
                f" before; does the server know the parameter {printable(self._parameter)}?",
                code="page_repeated",
            )
        self._last = digest

    @property
    def _parameter(self) -> str:
        paging = self._paging
        assert paging is not None
        return paging.parameter or PARAMETERS.get(paging.by, "of its link")

    def _sized(self, paging: Paging) -> dict[str, str]:
        name = paging.size_parameter or SIZE_PARAMETERS.get(paging.by, "")
        return {name: str(paging.size)} if paging.size is not None and name else {}

    def _positioned(self, paging: Paging) -> dict[str, str]:
        return (
            {paging.parameter or PARAMETERS[paging.by]: str(self._position)}
            if paging.by in START
            else {}
        )


# Pages of a delivery that a fetch received before the server asked for a pause, cached until it
# continues.
#
# Each page is progress, however few requests a server allows at a time: a resumed fetch requests
# the next page at once. After the last page it checks whether the listing has changed: it requests
# the first page and the last one before each interruption again, and if one differs, everything is
# requested anew.
#
# Cached files hold data, like `raw`; a link that repeats a secret is never written.

_STATE, _DATA = ".json", ".pages"


class FetchProgress(msgspec.Struct, frozen=True):
    """The progress of a fetch. The first `written` bytes of the cached file are whole pages."""

    written: int
    position: Position
    """Position of the next page; of the last one if all were received."""
    first: str
    """The hash of the first page's records."""
    seams: tuple[tuple[Position, str], ...] = ()
    """The last pages before interruptions, with the hashes of their records."""
    complete: bool = False
    """All pages were received; only the check for changes is left."""
    checked: int = 0
    """Number of pages that this check has found unchanged."""


def hash_of(records: Iterable[bytes]) -> str:
    """Return the hash of one page's records, in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record + b"\n")
    return digest.hexdigest()


class PageCache:
    """The cached pages of one interval of one source, for its current declaration."""

    def __init__(self, access: Access, spec: Spec, key: str) -> None:
        identity = msgspec.json.encode([access.source.name, key, spec])  # references, not secrets
        self._folder = access.temporary.with_name("pages")
        self._name = hashlib.sha256(identity).hexdigest()[:32]
        self._secrets = access.secrets

    def take(self, target: Path) -> FetchProgress | None:
        """Move the cached pages to `target`, and return their progress.

        None if there are none, if another worker has taken them, or if they are too old.
        """
        state, data = self._folder / f"{self._name}{_STATE}", self._folder / f"{self._name}{_DATA}"
        claimed = target.with_suffix(_STATE)
        try:
            age = time.time() - state.stat().st_mtime
            state.rename(claimed)  # only one worker succeeds
            data.rename(target)
            progress = msgspec.json.decode(claimed.read_bytes(), type=FetchProgress)
        except (OSError, msgspec.DecodeError):
            target.unlink(missing_ok=True)
            return None
        finally:
            claimed.unlink(missing_ok=True)
        if not 0 <= age <= PAGES_SECONDS_MAX or target.stat().st_size < progress.written:
            target.unlink()
            return None
        os.truncate(target, progress.written)
        return progress

    def keep(self, target: Path, progress: FetchProgress) -> None:
        """Store the whole pages of `target` for the next fetch."""
        state = msgspec.json.encode(progress)
        marks = (progress.position, *(seam for seam, _ in progress.seams))
        if any(self._secrets.scrubbed(mark.mark) != mark.mark for mark in marks):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_old()
        os.truncate(target, progress.written)
        os.utime(target)  # as new as its state, even if no page was received since
        target.replace(self._folder / f"{self._name}{_DATA}")
        written = target.with_suffix(_STATE)
        written.touch(mode=0o600)
        written.write_bytes(state)
        written.replace(self._folder / f"{self._name}{_STATE}")

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > PAGES_SECONDS_MAX:
                    path.unlink()
