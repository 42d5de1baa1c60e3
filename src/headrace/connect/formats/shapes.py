"""What shape the elements of XML records have: which come more than once, and which hold more than text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.connect.deliveries import SourceSchema
from headrace.lake.types import Type, parse
from headrace.model.errors import LakeError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TEXT = "text"
"""The field of an element's own text, where it has attributes or children too."""


_UNKNOWN: tuple[str, None] = ("", None)


class ElementShape:
    """Of all elements with one name at one place. It only grows: once a list, always a list."""

    __slots__ = ("by_tag", "children", "complex", "repeated")

    def __init__(self) -> None:
        self.by_tag: dict[str, tuple[str, ElementShape]] = {}
        """The children once more, by their names with namespaces."""
        self.repeated = False
        self.complex = False
        self.children: dict[str, ElementShape] = {}

    def learn(self, element: Element) -> bool:
        """Take one element in; whether something is known now that changes how earlier ones should have been written."""
        changed = False
        if (element.attrib or len(element)) and not self.complex:
            self.complex = changed = True
        seen: set[str] = set()
        for child in element:
            name = local(child.tag)
            shape = self.children.get(name)
            if shape is None:
                shape = self.children[name] = ElementShape()
                shape.learn(child)
            elif shape.learn(child):
                changed = True
            if name in seen and not shape.repeated:
                shape.repeated = changed = True
            seen.add(name)
            self.by_tag[child.tag] = name, shape
        return changed

    def plain(self, element: Element) -> dict[str, str | None] | None:
        """A record that is nothing but attributes and known children with text, which most are; None for any other."""
        if not self.complex or (element.text and not element.text.isspace()):
            return None
        results: dict[str, str | None] = {local(name): value for name, value in element.attrib.items()} if element.attrib else {}
        for child in element:
            name, shape = self.by_tag.get(child.tag, _UNKNOWN)
            if shape is None or shape.complex or shape.repeated or child.attrib or len(child) or name in results:
                return None
            if child.tail and not child.tail.isspace():
                return None
            results[name] = (child.text.strip() or None) if child.text else None
        return results

    def value(self, element: Element) -> Any:
        """The element as JSON: text, or an object of its attributes, children and text."""
        if not self.complex:
            return _text(element)
        results: dict[str, Any] = {local(name): value for name, value in element.attrib.items()}
        for child in element:
            name = local(child.tag)
            shape = self.children[name]
            if shape.repeated:
                results.setdefault(name, [])
                if not isinstance(results[name], list):
                    results[name] = [results[name]]
                results[name].append(shape.value(child))
            else:
                results[name] = shape.value(child)
        if (text := _text(element)) is not None:
            results[TEXT] = text
        return results

    def flat(self, element: Element, prefix: str = "") -> dict[str, Any]:
        """The element as one object of texts: what is nested is named by its path, and a list stays one."""
        results: dict[str, Any] = {prefix + local(name): value for name, value in element.attrib.items()}
        for child in element:
            name = local(child.tag)
            shape = self.children[name]
            if shape.repeated:
                results.setdefault(prefix + name, []).append(shape.value(child))
                continue
            if (text := _text(child)) is not None or not shape.complex:
                results[prefix + name] = text
            if shape.complex:
                results |= shape.flat(child, f"{prefix}{name}_")
        return results


def shape_of(pinned: SourceSchema | None) -> ElementShape:
    """What a pinned schema says of records: its lists are lists, though a delivery has one of each."""
    shape = ElementShape()
    for column in pinned.columns if pinned else ():
        try:
            _pin(shape.children.setdefault(column.name, ElementShape()), parse(column.type))
        except LakeError:
            continue
    return shape


def _pin(shape: ElementShape, kind: Type) -> None:
    if kind.name == "LIST":
        shape.repeated = True
        kind = kind.fields[0][1]
    if kind.name == "STRUCT":
        shape.complex = True
        for name, inner in kind.fields:
            _pin(shape.children.setdefault(name, ElementShape()), inner)


def _text(element: Element) -> str | None:
    """The element's own text, blanks around it cut; None where there is none."""
    parts = [element.text or "", *(child.tail or "" for child in element)]
    return "".join(parts).strip() or None


def local(tag: str) -> str:
    """A name without its namespace."""
    return tag.rpartition("}")[2]
