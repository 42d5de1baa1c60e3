"""Reading a declaration's fields: each with its type, each problem with its line, and unknown names with the likely one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from headrace.model import other_tools
from headrace.model.documents import Items, LocatedMapping, kind_of, plain
from headrace.model.errors import UsageError
from headrace.model.reporting import Report, did_you_mean, one_of, shown
from headrace.model.sizes import memory_in_bytes
from headrace.model.times import Duration, Offset, local_instant_us
from headrace.model.zones import zone


class Fields:
    """The fields of one mapping. A wrong value is reported and read as if it weren't there, so that reading goes on."""

    def __init__(self, block: LocatedMapping, report: Report, known: Collection[str], *, what: str) -> None:
        """`known` are the names that may be there; all others are reported. `what` names the mapping in messages."""
        self.block = block
        self.report = report
        self.what = what
        for name in block:
            if name not in known:
                self._unknown(name, known)

    def _unknown(self, name: str, known: Collection[str]) -> None:
        elsewhere = other_tools.FIELDS.get(name, "") if "owner" in known else ""
        hint = elsewhere or did_you_mean(name, known) or f"known here: {', '.join(sorted(known))}"
        self.report.error("unknown_field", self.line(name), f"unknown field {shown(name)} in {self.what}", hint)

    def line(self, name: str) -> int:
        """The line of a field, or of the whole where it isn't there."""
        return self.block.lines.get(name, self.block.line)

    def __contains__(self, name: str) -> bool:
        return name in self.block

    def raw(self, name: str) -> Any:
        """The value as written; None where it isn't there."""
        return self.block.get(name)

    def wrong(self, name: str, expected: str, hint: str = "") -> None:
        """Report a value of the wrong type."""
        value = self.block.get(name)
        written = kind_of(value) if isinstance(value, (dict, list)) or value is None else f"{kind_of(value)} ({shown(value)})"
        self.report.error(
            "wrong_type",
            self.line(name),
            f"{shown(name)} must be {expected}, not {written}",
            hint or "`headrace explain wrong_type` shows examples",
        )

    def refuse(self, name: str, message: str, hint: str = "", *, code: str = "wrong_value") -> None:
        """Report a value that is of the right type, and still can't be."""
        self.report.error(code, self.line(name), message, hint)

    def text(self, name: str) -> str | None:
        """Text that isn't empty."""
        value = self.block.get(name)
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self.wrong(name, "text", f'put it in quotes: {name}: "{value}"')
        elif name in self.block:
            self.wrong(name, "text")
        return None

    def required(self, name: str, hint: str = "") -> str | None:
        """Text that has to be there."""
        if name in self.block:
            return self.text(name)
        self.report.error("missing_field", self.block.line, f"{self.what} has no {shown(name)}", hint or f"add `{name}: …`")
        return None

    def whole(self, name: str, *, minimum: int, maximum: int) -> int | None:
        """A whole number between bounds."""
        value = self.block.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            if minimum <= value <= maximum:
                return value
            self.refuse(name, f"{shown(name)} is {value}", f"a whole number from {minimum} to {maximum:,}")
        elif name in self.block:
            self.wrong(name, f"a whole number from {minimum} to {maximum:,}")
        return None

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self.block.get(name)
        if isinstance(value, bool):
            return value
        if name in self.block:
            self.wrong(name, "true or false", "YAML 1.2 has no `yes` and `no`" if value in ("yes", "no", "on", "off") else "")
        return None

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """One of a few words."""
        value = self.text(name) if name in self.block else None
        if value is None:
            return default
        if value in allowed:
            return value
        elsewhere = other_tools.VALUES.get((name, value.lower()), "")
        hint = elsewhere or did_you_mean(value, allowed) or f"write {one_of(allowed)}"
        self.refuse(name, f"{shown(value)} isn't a value of {shown(name)}", hint)
        return default

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; one text alone is a list of one."""
        value = self.block.get(name)
        if isinstance(value, str):
            return (value,) if value.strip() else ()
        if not isinstance(value, list):
            if name in self.block:
                self.wrong(name, "a list of texts", f"write {name}: [a, b]")
            return ()
        return tuple(self._texts_in(name, value))

    def _texts_in(self, name: str, items: list[Any]) -> list[str]:
        results = []
        for index, item in enumerate(items):
            if isinstance(item, str) and item.strip():
                results.append(item)
                continue
            line = items.lines[index] if isinstance(items, Items) else self.line(name)
            self.report.error(
                "wrong_type", line, f"an item of {shown(name)} must be text, not {kind_of(item)}", "put numbers and dates in quotes"
            )
        return results

    def block_of(self, name: str) -> LocatedMapping | None:
        """A mapping."""
        value = self.block.get(name)
        if isinstance(value, LocatedMapping):
            return value
        if name in self.block:
            self.wrong(name, "a mapping", f"write {name}: {{…}}")
        return None

    def mapping(self, name: str) -> dict[str, Any]:
        """A mapping, kept as it is."""
        block = self.block_of(name)
        return {} if block is None else dict(plain(block))

    def duration(self, name: str, default: str) -> str:
        """A duration such as `7d`, as written."""
        return self.checked(name, Duration.parse, "bad_duration") or default

    def moment(self, name: str) -> str | None:
        """A time after an interval such as `05:00` or `+2d 06:00`, as written."""
        return self.checked(name, Offset.parse, "bad_time")

    def instant(self, name: str) -> str | None:
        """A date or a time such as `2013-02-11` or `2013-02-11T07:00`, as written."""
        return self.checked(name, lambda text: local_instant_us(text, "UTC"), "bad_time")

    def timezone(self, name: str) -> str:
        """An IANA name; empty where there is none."""
        return self.checked(name, zone, "unknown_timezone") or ""

    def size(self, name: str) -> str | None:
        """What an attempt may use of memory, such as `2GB`, as written."""
        return self.checked(name, memory_in_bytes, "wrong_value")

    def checked(self, name: str, parse: Callable[[str], object], code: str) -> str | None:
        """A text that `parse` takes, as written; its UsageError is reported under `code`."""
        value = self.text(name) if name in self.block else None
        if value is None:
            return None
        try:
            parse(value)
        except UsageError as error:
            self.refuse(name, f"{shown(name)}: {error}", error.hint, code=code)
            return None
        return value
