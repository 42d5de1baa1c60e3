"""Messages in XML: what those of ISO 20022 (camt and pain) and UBL have in common."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension import marked
from headrace.extension.formats import CannotRead, Disagrees, printable
from headrace_legacy.text_lines import OneOfRows
from headrace_legacy.xml import growing, local_name, refuse_document_type

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MONEY = "DECIMAL(23,5)"
_AMOUNT = re.compile(r"\+?([0-9]{1,18}(\.[0-9]{0,5})?|\.[0-9]{1,5})")
_COUNT = re.compile(r"[0-9]{1,15}")
_DAY = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Malformed(Exception):
    """A value that isn't what the standard says."""


class Reading:
    """Turns the elements of a file into rows, and keeps the first contradiction."""

    def __init__(self) -> None:
        self.message = ""
        """The kind of the newest message, such as `camt.053.001.08`."""
        self.problem: Disagrees | None = None

    @abstractmethod
    def take(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the rows that are complete once an element begins or ends, with their kinds."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The place of the newest element, for messages."""

    def rows(
        self, event: str, element: Element, around: Element | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Like `take`. Raises CannotRead for a value that isn't what the standard says."""
        try:
            yield from self.take(event, element, around)
        except Malformed as error:
            raise CannotRead(f"{self.where}: {error}") from error


class MessageFormat(OneOfRows):
    """Messages of a family, maybe in an envelope."""

    unmistakable = True
    family: str
    """Its messages, such as `camt.052, 053 or 054`."""
    roots: tuple[str, ...] = ("Document",)
    messages: re.Pattern[str]
    """The tags of its roots, with the kind of message as the only group that matches."""
    names: Collection[str]
    """Elements that are read, each by itself."""

    @abstractmethod
    def reading(self) -> Reading:
        """Return what reads a file."""

    def records(self, path: Path, options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one kind; what all messages state is checked."""
        refuse_document_type(path, None)
        wanted = self._read_kind(options)
        reading = self.reading()
        for event, element, around in growing(path, (*self.roots, *self.names)):
            match = self.messages.fullmatch(element.tag)
            if match is not None:
                reading.message = match[match.lastindex or 0]
            elif local_name(element.tag) in self.roots:
                continue
            yield from (row for kind, row in reading.rows(event, element, around) if kind == wanted)
        if not reading.message:
            raise CannotRead(
                f"it isn't {self.family}: no `{' or '.join(self.roots)}` has its namespace"
            )
        if reading.problem is not None:
            raise reading.problem


def document(numbers: str) -> re.Pattern[str]:
    """Return the pattern of a document's tag, by a pattern of its message's first numbers."""
    name = rf"({numbers}\.\d{{3}}\.\d\d)"
    namespaces = (
        rf"urn:(?:iso:std:iso:20022:tech|swift|sepade):xsd:\$?{name}",
        rf"http://www\.six-interbank-clearing\.com/de/{name}\.ch\.\d\d\.xsd",
        rf"ISO:{name}:APC:STUZZA:payments:\d{{3}}",
    )
    return re.compile(rf"\{{(?:{'|'.join(namespaces)})\}}Document")


def every(element: Element, path: str) -> list[Element]:
    """Return the elements at a path of names, whatever their namespace."""
    elements = [element]
    for name in path.split("/"):
        elements = [
            child for parent in elements for child in parent if local_name(child.tag) == name
        ]
    return elements


def text_at(element: Element, path: str) -> str | None:
    """Return the text of the first element at a path that has some."""
    return next(filter(None, map(own_text, every(element, path))), None)


def own_text(element: Element) -> str | None:
    """Return the text of an element; None if it is empty."""
    return (element.text or "").strip() or None


def code_at(element: Element, path: str) -> str | None:
    """Return a code of the standard, or else of the bank."""
    return text_at(element, f"{path}/Cd") or text_at(element, f"{path}/Prtry")


def lines_at(element: Element, path: str) -> str | None:
    """Return the texts of all elements at a path as lines."""
    return "\n".join(filter(None, map(own_text, every(element, path)))) or None


def party(
    element: Element, name: str, tag: str, inside: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """Return the columns of a debtor or creditor, with paths before those of parties and agents."""
    parties, agents = inside
    account, bank = f"{parties}{tag}Acct/Id", f"{agents}{tag}Agt/FinInstnId"
    return {
        name: text_at(element, f"{parties}{tag}/Nm") or text_at(element, f"{parties}{tag}/Pty/Nm"),
        f"{name}_account": text_at(element, f"{account}/IBAN")
        or text_at(element, f"{account}/Othr/Id"),
        f"{name}_bank": text_at(element, f"{bank}/BICFI") or text_at(element, f"{bank}/BIC"),
    }


def number(text: str | None, what: str) -> Decimal:
    """Return an amount without a sign. Raises Malformed for anything else."""
    if not _AMOUNT.fullmatch(text or ""):
        raise Malformed(f"{what} isn't a number: {marked(printable(text or '', 40))}")
    return Decimal(text or "")


def count(text: str, what: str) -> int:
    """Return a number of elements. Raises Malformed for anything else."""
    if not _COUNT.fullmatch(text):
        raise Malformed(f"{what} isn't a number: {marked(printable(text, 40))}")
    return int(text)


def day_at(element: Element, path: str) -> str | None:
    """Return a day, that of a time in its own zone. Raises Malformed if it isn't one."""
    text = (
        text_at(element, path) or text_at(element, f"{path}/Dt") or text_at(element, f"{path}/DtTm")
    )
    if text is None:
        return None
    match = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1] if match is not None else "").isoformat()
    except ValueError:
        raise Malformed(f"{marked(printable(text, 40))} is no day") from None


def flag_at(element: Element, path: str) -> bool | None:
    """Return what an element says, None if there is none. Raises Malformed for other words."""
    text = text_at(element, path)
    if text not in (None, *_FLAGS):
        raise Malformed(f"{marked(printable(text or '', 40))} is neither true nor false")
    return None if text is None else _FLAGS[text]


def shown(amount: Decimal) -> str:
    """Return an amount for messages."""
    return marked(f"{amount:,}")
