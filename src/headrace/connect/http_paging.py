"""From one page to the request for the next one: by its number, by an offset, by a cursor, or by a link. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from headrace.connect.deliveries import CannotRead
from headrace.connect.http_records import cursor_in
from headrace.connect.http_request import HttpRequest, Paging, on_same_server
from headrace.connect.shown import shown

PARAMETERS = {"page": "page", "offset": "offset", "cursor": "cursor"}
SIZE_PARAMETERS = {"offset": "limit"}
START = {"page": 1, "offset": 0}


class HttpPage(msgspec.Struct, frozen=True):
    """One page that came. `link` is the Link header's `next`, empty without."""

    url: str
    body: bytes
    records: Sequence[bytes]
    link: str = ""


class Position(msgspec.Struct, frozen=True):
    """Which page is asked for. `mark` is the cursor or the link that leads to it, empty for numbers and for the first page."""

    number: int
    """How many pages came before it."""
    at: int = 0
    mark: str = ""
    seen: tuple[str, ...] = ()
    last: str = ""


class Pages:
    """Gives the requests for one delivery, and notices a server that turns in circles."""

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
        """The request for the first page."""
        paging = self._paging
        if paging is None:
            return self._base
        return self._base.asking({**self._sized(paging), **self._positioned(paging)})

    @property
    def position(self) -> Position:
        """Of the page that is asked for next, to go on there later."""
        return Position(self._number, self._position, self._mark, tuple(self._seen), self._last.hex())

    def at(self, position: Position) -> HttpRequest:
        """The request for the page of a position; what comes after it follows."""
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
        """The request for the next page; None after the last one. Raises CannotRead for a page that came before, and too many."""
        paging = self._paging
        if paging is None:
            return None
        self._number += 1
        self._refuse_repeated(page)
        request = self._next(paging, page)
        if request is not None and self._number >= paging.pages_max:
            raise CannotRead(f"there are more pages than `pages_max` allows ({paging.pages_max:,})", code="too_many_pages")
        return request

    def _next(self, paging: Paging, page: HttpPage) -> HttpRequest | None:
        if paging.by == "cursor":
            assert paging.next is not None, "validated"
            cursor = cursor_in(page.body, paging.next)
            return None if cursor is None else self._by_cursor(paging, cursor)
        if paging.by == "link":
            link = page.link if paging.next is None else cursor_in(page.body, paging.next)
            return self._by_link(page, link) if link else None
        if not page.records:  # a server may give fewer than it was asked for: only an empty page is surely the last
            return None
        self._position += 1 if paging.by == "page" else len(page.records)
        return self._base.asking({**self._sized(paging), **self._positioned(paging)})

    def _by_cursor(self, paging: Paging, cursor: str) -> HttpRequest:
        self._once(cursor, "cursor")
        return self._cursor_request(paging, cursor)

    def _cursor_request(self, paging: Paging, cursor: str) -> HttpRequest:
        return self._base.asking({**self._sized(paging), paging.parameter or PARAMETERS["cursor"]: cursor})

    def _by_link(self, page: HttpPage, link: str) -> HttpRequest:
        target = on_same_server(page.url, link)
        if target is None:
            raise CannotRead("the link to the next page leads to another server")
        self._once(target, "link to a next page")
        return msgspec.structs.replace(self._base, url=target)

    def _once(self, mark: str, what: str) -> None:
        digest = hashlib.sha256(mark.encode()).hexdigest()
        if digest in self._seen:
            raise CannotRead(f"page {self._number:,} names a {what} that came before: the pages go in circles", code="page_repeated")
        self._seen[digest] = None
        self._mark = mark

    def _refuse_repeated(self, page: HttpPage) -> None:
        digest = hashlib.sha256(b"\n".join(page.records)).digest()
        if page.records and digest == self._last:
            raise CannotRead(
                f"page {self._number:,} holds the same {len(page.records):,} records as the one before; "
                f"does the server know the parameter {shown(self._parameter)}?",
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
        return {paging.parameter or PARAMETERS[paging.by]: str(self._position)} if paging.by in START else {}
