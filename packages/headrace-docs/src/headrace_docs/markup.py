"""Elements of HTML and SVG, in which every text is escaped unless it is an element itself."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote

_NO_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f"[&<>\"'{_NO_CHARACTERS.pattern[1:]}")
_VOID = frozenset({"meta", "link", "input", "br"})
_SLUG = re.compile(r"[^a-z0-9]+")


class Html(str):
    """Markup, as opposed to text."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as markup; characters that XML can't hold become U+FFFD."""
    if isinstance(value, Html):
        return value
    words = str(value)
    if _SPECIAL.search(words) is None:  # millions of texts have no such character
        return Html(words)
    return Html(html.escape(_NO_CHARACTERS.sub("\ufffd", words)))


def tag(element: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. A trailing `_` of an attribute is dropped, other `_` become `-`.

    Children and attributes that are None are left out.
    """
    pairs = "".join(
        [
            f' {_attribute(key)}="{value if type(value) is Html else text(value)}"'
            for key, value in attributes.items()
            if value is not None
        ]
    )
    if element in _VOID:
        return Html(f"<{element}{pairs}>")
    return Html(f"<{element}{pairs}>{joined(children)}</{element}>")


@lru_cache(maxsize=100)
def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def joined(parts: Iterable[object], between: str = "") -> Html:
    """Return parts as one piece of markup, without those that are None."""
    # most are markup already, and there are millions
    return Html(
        between.join(
            [part if type(part) is Html else text(part) for part in parts if part is not None]
        )
    )


def bdi(value: object) -> Html:
    """Return a name that keeps its own direction, whatever stands around it."""
    return tag("bdi", value)


def link(href: str, name: object) -> Html:
    """Return a link whose text is a name."""
    return tag("a", bdi(name), href=href)


def slug(name: str) -> str:
    """Return a file name of any name: readable, and different for different names."""
    readable = _SLUG.sub("-", name.lower()).strip("-")[:40]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}" if readable else digest


@lru_cache(maxsize=10_000)
def anchor(kind: str, name: str) -> str:
    """Return the id of a part of a page, which is also its address behind `#`."""
    return f"{kind}-{quote(_NO_CHARACTERS.sub('_', name), safe='')}"


def document(title: str, look: Html, *body: object) -> str:
    """Return a page; `look` is its style, or the link to it."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        look,
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body), lang='en')}\n"
