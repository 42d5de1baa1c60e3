"""Observing deliveries behind HTTP, and fetching each into one file."""

from __future__ import annotations

import email.utils
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import msgspec

from headrace.extension.sources import (
    DELIVERY_BYTES_MAX,
    Access,
    CannotRead,
    DetectedDelivery,
    Fetched,
    Note,
    Observation,
    Unavailable,
    printable,
    size_in_bytes,
)
from headrace_http.client import (
    FETCH_SECONDS_MAX,
    HttpClient,
    HttpNotFound,
    NotYet,
    body_of,
)
from headrace_http.records import in_utf8, records_in, records_of_stream
from headrace_http.requests import (
    FetchProgress,
    HttpPage,
    HttpRequest,
    PageCache,
    Pages,
    Position,
    Spec,
    first_request,
    for_interval,
    hash_of,
    spec_of,
)

if TYPE_CHECKING:
    import httpx

LOOK_SECONDS = 55.0
"""55 s: an observation starts no request that may be unanswered by then; the next one goes on."""
LOOK_PATIENCE = 20.0
"""Seconds that an observation waits for a connection, an answer, and the rate limit."""
PAGE_BYTES_MAX = 64 << 20
"""64 MiB: maximum size of one of several pages, which is held in memory."""
HELD_BYTES = 8 << 20
"""8 MiB: larger documents without pages are split into records while they are received."""
SPACE_EVERY_BYTES, FREE_BYTES_MIN = 16 << 20, 512 << 20
"""After each 16 MiB of a fetch, 512 MiB must be free: what runs beside it needs space as well."""
_JSON_LINES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
)
_ENDINGS = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/xml": ".xml",
    "text/xml": ".xml",
    **dict.fromkeys(_JSON_LINES, ".jsonl"),
}
"""Content type → ending of a file that is stored as received."""
_UNKNOWN_TYPES = (
    "",
    "text/plain",
    "application/octet-stream",
    "binary/octet-stream",
    "application/gzip",
    "application/zip",
)
_ETAG, _MODIFIED = "etag ", "modified "


def observe(  # complexipy: ignore (when an observation ends, in order)
    access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
) -> Observation:
    """Request each interval without reading the body.

    404 and 410 mean that it isn't there yet.
    """
    deliveries: list[DetectedDelivery] = []
    spec = spec_of(access.source)
    deadline = time.monotonic() + LOOK_SECONDS
    requested = 0
    with HttpClient(access, spec, first_request(spec, access), LOOK_PATIENCE) as server:
        for key in in_turn(wanted):
            if requested and time.monotonic() + 2 * server.timeout > deadline:
                break
            try:
                delivery = _asked_patiently(access, server, spec, key, known, deadline)
            except Unavailable as error:
                if isinstance(error, NotYet) and error.by_declared_rate and requested:
                    break
                return _observed_until(error, deliveries, server.shown, requested)
            requested += 1
            if delivery is not None:
                deliveries.append(delivery)
    note = Note(
        "look_not_finished",
        server.shown,
        f"{requested} of {len(wanted)} intervals were asked for; the next observation continues",
    )
    return _observe(deliveries, note if requested < len(wanted) else None, requested)


def fetch(access: Access, delivery: DetectedDelivery) -> Fetched:
    """Fetch all pages of one interval as one file."""
    spec = for_interval(spec_of(access.source), access.source, delivery.partition)
    request = first_request(spec, access)
    access.temporary.mkdir(parents=True, exist_ok=True)
    target = access.temporary / f"{uuid.uuid4().hex}.fetched"
    try:
        with HttpClient(access, spec, request) as server:
            try:
                if spec.page is not None:
                    return Paged(server, spec, request, target, access).fetched(delivery.partition)
                return _fetched(server, spec, request, target, access)
            except HttpNotFound:
                pages = "; if the page after the last one isn't there, declare `end: 404`"
                raise Unavailable(
                    f"{server.shown} was there when it was looked for, and isn't any more"
                    f"{pages if spec.page is not None else ''}"
                ) from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _observed_until(
    error: Unavailable, deliveries: list[DetectedDelivery], place: str, asked: int
) -> Observation:
    """Return what was observed before an error; raise it again if that is nothing."""
    if not asked or not (deliveries or error.throttled):
        raise error
    seconds = error.retry_after if error.throttled else None
    return _observe(deliveries, Note(error.code, place, str(error)), asked, seconds)


def _observe(
    deliveries: list[DetectedDelivery],
    note: Note | None,
    requested: int,
    throttled_seconds: float | None = None,
) -> Observation:
    arrived = tuple(sorted(deliveries, key=lambda delivery: delivery.partition))
    return Observation(
        arrived, (), (note,) if note else (), seen=requested, throttled_seconds=throttled_seconds
    )


def _asked_patiently(
    access: Access,
    server: HttpClient,
    spec: Spec,
    key: str,
    known: Mapping[str, tuple[str, str]],
    deadline: float,
) -> DetectedDelivery | None:
    """Like `_looked`, but retry after a pause that the server asks for, if there is time for it."""
    while True:
        try:
            return _looked(
                access,
                server,
                for_interval(spec, access.source, key),
                key,
                known.get(key, ("", ""))[1],
            )
        except Unavailable as error:
            wait = error.retry_after if error.throttled and not isinstance(error, NotYet) else None
            if wait is None or time.monotonic() + wait > deadline or not server.may_wait(wait):
                raise
            time.sleep(wait)


def in_turn(intervals: Sequence[str]) -> Iterator[str]:
    """Yield two of the oldest intervals, then one of the newest, and so on.

    Intervals that never arrive then don't block the others.
    """
    first, last = 0, len(intervals) - 1
    while first <= last:
        if (first + len(intervals) - 1 - last) % 3 == 2:
            yield intervals[last]
            last -= 1
        else:
            yield intervals[first]
            first += 1


def _looked(
    access: Access, server: HttpClient, spec: Spec, key: str, version: str
) -> DetectedDelivery | None:
    """Request one interval; None if it isn't there or hasn't changed."""
    path = spec.url
    now = access.now_us
    if spec.method != "GET":  # a POSTed query costs as much as its answer
        return DetectedDelivery(access.source.name, key, path, -1, now)
    pages = Pages(spec.page, first_request(spec, access))
    try:
        with server.send(pages.first(), _conditions(version)) as response:
            if response.status_code == 304:
                return None
            there = "" if spec.page else _version(response)
            if there and there == version:
                return None
            return DetectedDelivery(
                access.source.name,
                key,
                path,
                _size(response, spec),
                _modified(response, now),
                there,
            )
    except HttpNotFound:
        return None


def _conditions(version: str) -> dict[str, str]:
    if version.startswith(_ETAG):
        return {"If-None-Match": version.removeprefix(_ETAG)}
    return (
        {"If-Modified-Since": version.removeprefix(_MODIFIED)}
        if version.startswith(_MODIFIED)
        else {}
    )


def _version(response: httpx.Response) -> str:
    """Return what identifies this version of a delivery; empty if the server doesn't say.

    Empty for pages too: one page's version doesn't cover the others.
    """
    etag, modified = response.headers.get("etag", ""), response.headers.get("last-modified", "")
    return (f"{_ETAG}{etag}" if etag else f"{_MODIFIED}{modified}" if modified else "")[:500]


def _size(response: httpx.Response, spec: Spec) -> int:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 16 and not spec.page else -1


def _modified(response: httpx.Response, now: int) -> int:
    """Return the server's modification time in microseconds, else `now`."""
    try:
        return int(
            email.utils.parsedate_to_datetime(response.headers.get("last-modified", "")).timestamp()
            * 1_000_000
        )
    except (ValueError, TypeError, OverflowError):
        return now


def _fetched(
    server: HttpClient, spec: Spec, request: HttpRequest, target: Path, access: Access
) -> Fetched:
    """Fetch one response, which is JSON with records or a file."""
    deadline = time.monotonic() + FETCH_SECONDS_MAX
    with target.open("xb") as out:
        page = server.with_retries(lambda: _page(server, spec, request, out, deadline, access))
        if isinstance(page, str):
            return Fetched(target, page)
        if not _write(page.records, out):
            out.write(b"\n")
    return Fetched(target, f"{access.source.name}.jsonl")


class Paged:
    """A fetch of a delivery of several pages, which resumes an interrupted one."""

    def __init__(
        self, server: HttpClient, spec: Spec, request: HttpRequest, target: Path, access: Access
    ) -> None:
        self._server, self._spec, self._request = server, spec, request
        self._target, self._access = target, access
        self._deadline = time.monotonic() + FETCH_SECONDS_MAX
        self._room = Room(spec, access)

    def fetched(self, key: str) -> Fetched:
        """Fetch the delivery of the interval `key`.

        Received pages are cached if the server asks for a pause or can't be reached.
        """
        cache = PageCache(self._access, self._spec, key)
        before = cache.take(self._target)
        try:
            if before is not None and self._go_on(cache, before):
                return self._named()
        except (HttpNotFound, CannotRead):
            pass  # an expired cursor, or pages that don't fit the earlier ones
        except Unavailable as error:
            if error.transient:
                raise
        self._target.unlink(missing_ok=True)
        self._go_on(cache, None)
        return self._named()

    def _named(self) -> Fetched:
        if not self._target.stat().st_size:
            self._target.write_bytes(b"\n")
        return Fetched(self._target, f"{self._access.source.name}.jsonl")

    def _go_on(  # complexipy: ignore (the state of a listing, page after page)
        self, cache: PageCache, before: FetchProgress | None
    ) -> bool:
        """Fetch all pages after `before`.

        Return False if the earlier pages belong to another listing.
        """
        pages = Pages(self._spec.page, self._request)
        request: HttpRequest | None = pages.first() if before is None else pages.at(before.position)
        now = before
        last: tuple[tuple[Position, str], ...] = ()
        number = before.position.number if before is not None else 0
        try:
            with self._target.open("xb" if before is None else "ab") as out:
                while request is not None and not (now is not None and now.complete):
                    position = pages.position
                    page = self._page(request, out, position.number)
                    result = hash_of(page.records)
                    number += 1
                    written = (now.written if now is not None else 0) + _write(page.records, out)
                    self._room.check(written)
                    request = pages.after(page)
                    first = now.first if now is not None else result
                    seams = now.seams if now is not None else ()
                    last = ((position, result),)
                    now = FetchProgress(
                        written, pages.position, first, seams, complete=request is None
                    )
        except Unavailable as error:
            if error.transient and now is not None:
                now = msgspec.structs.replace(now, seams=(*now.seams, *last))
                cache.keep(self._target, now)
            raise
        assert now is not None
        return before is None or self._unchanged(cache, now)

    def _page(self, request: HttpRequest, out: BinaryIO, number: int) -> HttpPage:
        """Return a page; `number` is that of the pages before it."""
        assert self._spec.page is not None
        try:
            page = self._server.with_retries(
                lambda: _page(self._server, self._spec, request, out, self._deadline, self._access)
            )
        except HttpNotFound:
            if not number or self._spec.page.end is None:
                raise
            return HttpPage(request.url, b"{}", (), is_end=True)
        assert isinstance(page, HttpPage), "what has pages is never a file that is kept as it came"
        return page

    def _unchanged(self, cache: PageCache, progress: FetchProgress) -> bool:
        """Whether the first page and those before interruptions are unchanged."""
        checks = [(Pages(self._spec.page, self._request).first(), progress.first)]
        checks += [
            (Pages(self._spec.page, self._request).at(position), known)
            for position, known in progress.seams
        ]
        checked = progress.checked
        try:
            with self._target.open("ab") as out:
                for request, known in checks[checked:]:
                    if hash_of(self._page(request, out, checked).records) != known:
                        return False
                    checked += 1
        except Unavailable as error:
            if error.transient:
                cache.keep(self._target, msgspec.structs.replace(progress, checked=checked))
            raise
        return True


def _page(
    server: HttpClient,
    spec: Spec,
    request: HttpRequest,
    out: BinaryIO,
    deadline: float,
    access: Access,
) -> HttpPage | str:
    """Return one page of records; or write a file as received to `out`, and return its name."""
    with server.send(request) as response:
        ending = _ending(response, spec, access)
        if ending:
            return _as_it_is(
                out,
                Room(spec, access).within(body_of(response, DELIVERY_BYTES_MAX, deadline=deadline)),
                f"{access.source.name}{ending}",
            )
        chunks = body_of(
            response, PAGE_BYTES_MAX if spec.page else DELIVERY_BYTES_MAX, deadline=deadline
        )
        if not spec.page:
            chunks = Room(spec, access).within(chunks)
        body = _held(chunks, PAGE_BYTES_MAX if spec.page else HELD_BYTES)
        _refuse_html(server, body)
        if not spec.page and len(body) > HELD_BYTES:
            lines = records_of_stream(chain([body], chunks), spec.records or "$")
            return _as_it_is(out, (line + b"\n" for line in lines), f"{access.source.name}.jsonl")
        url, link, charset = (
            str(response.url),
            response.links.get("next", {}).get("url", ""),
            response.charset_encoding,
        )
    if response.status_code == 204:
        return HttpPage(url, b"{}", (), is_end=True)
    text = in_utf8(body, charset)
    return HttpPage(url, text, records_in(text, spec.records), link)


class Room:
    """The limits of one fetched delivery: its bytes, and the space that it leaves on the disk."""

    def __init__(self, spec: Spec, access: Access) -> None:
        self._folder, self._declared = access.temporary, spec.bytes_max
        declared = None if spec.bytes_max is None else size_in_bytes(spec.bytes_max)
        self._bytes_max = access.bytes_max if declared is None else declared
        self._checked = 0

    def within(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks. Raise as `check` does."""
        received = 0
        for chunk in chunks:
            received += len(chunk)
            self.check(received)
            yield chunk

    def check(self, received: int) -> None:
        """Raise CannotRead if a delivery has more bytes than it may, and OSError on a full disk."""
        if received > self._bytes_max:
            limit = (
                "`bytes_max` of the source"
                if self._declared is not None
                else "10 times its largest delivery so far, at least 1 GiB, and 10 GiB for the"
                " first: if it may be larger,"
                ' declare `bytes_max: "20GiB"` in `http:`'
                if self._bytes_max < DELIVERY_BYTES_MAX
                else "the most that a delivery may have"
            )
            raise CannotRead(
                f"the fetch was ended after {self._bytes_max:,} bytes ({limit})",
                code="delivery_too_large",
            )
        if received - self._checked >= SPACE_EVERY_BYTES:
            self._checked = received
            free = shutil.disk_usage(self._folder).free
            if free < FREE_BYTES_MIN:
                raise OSError(
                    errno.ENOSPC,
                    f"{os.strerror(errno.ENOSPC)}: the fetch was ended after {received:,} bytes,"
                    f" because only {free >> 20:,} MiB are free",
                    str(self._folder),
                )


def _held(chunks: Iterator[bytes], size: int) -> bytes:
    """Return all chunks, or slightly more than `size` bytes of them."""
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > size:
            break
    return bytes(data)


def _as_it_is(out: BinaryIO, chunks: Iterable[bytes], name: str) -> str:
    """Write all chunks, replacing the output of an earlier attempt."""
    out.seek(0)
    out.truncate()
    out.writelines(chunks)
    return name


def _write(records: Sequence[bytes], out: BinaryIO) -> int:
    data = b"".join(line + b"\n" for line in records)
    out.write(data)
    return len(data)


def _ending(response: httpx.Response, spec: Spec, access: Access) -> str:
    """Return the ending of a file that is stored as received; empty for JSON with records."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    by_url = "".join(PurePosixPath(unquote(urlsplit(spec.url).path)).suffixes[-2:]).lower()
    if kind == "text/html" and not by_url.endswith((".html", ".htm")):
        raise Unavailable(
            f"{printable(spec.url, 300)} answers with a web page where data is expected"
        )
    if spec.page or spec.records:
        return ""
    if kind in _ENDINGS:
        packed = by_url[by_url.rfind(".") :] if by_url.endswith((".gz", ".zip", ".zst")) else ""
        return _ENDINGS[kind] + packed
    if kind == "application/json" or kind.endswith("+json"):
        return ".json" if "json" in access.source.connector else ""
    if kind in _UNKNOWN_TYPES:
        return _by_url(by_url)
    raise CannotRead(f"the answer is {printable(kind)}, which can't be read as a table")


def _by_url(ending: str) -> str:
    """Return the URL's ending, for responses without a useful content type; empty for JSON."""
    if ending.endswith((".json", "/")) or not ending:
        return ""
    return ending


def _refuse_html(server: HttpClient, body: bytes) -> None:
    if (
        body[:512]
        .lstrip(b"\xef\xbb\xbf \t\r\n")[:14]
        .lower()
        .startswith((b"<!doctype html", b"<html"))
    ):
        raise Unavailable(f"{server.shown} answers with a web page where JSON is expected")
