"""Names, addresses and texts that other formats can hold, made of names that may hold anything."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from headrace_docs.responses.description import DescribedNode, Description

_NO_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile(r"\s+")


def words(text: str) -> str:
    """Return a text without characters that XML can't hold; they become U+FFFD."""
    return _NO_CHARACTERS.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return a text in one line, without characters that XML can't hold."""
    return _BREAKS.sub(" ", words(text)).strip()


def iri(described: Description, kind: str, *names: str) -> str:
    """Return an address of something in the project: the same whenever it is asked for."""
    parts = (described.project, described.env, kind, *names)
    return "urn:headrace:" + ":".join(quote(words(part), safe="") for part in parts)


def short_name(name: str, allowed: str = "A-Za-z0-9_.-", characters_max: int = 63) -> str:
    """Return a name of at most 63 characters, of those allowed, which begins and ends with a letter
    or a digit.

    Whatever had to be changed gets a hash of the whole name, so two names never become one.
    """
    text = re.sub(f"[^{allowed}]+", "-", name).strip("-_.")
    if text == name and len(text) <= characters_max:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: characters_max - 9].rstrip('-_.') or 'x'}-{digest}"


def json_text(document: Any) -> str:
    """Return a document as JSON in ASCII: the same bytes for the same document."""
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"


def by_domain(described: Description) -> Mapping[str, list[DescribedNode]]:
    """Return the nodes of each domain, by name; those without a domain are left out."""
    domains: dict[str, list[DescribedNode]] = defaultdict(list)
    for node in described.nodes:
        if node.domain is not None:
            domains[node.domain].append(node)
    return dict(sorted(domains.items()))


def ports(described: Description) -> Mapping[str, tuple[list[str], list[str]]]:
    """Return what each domain reads of others, and what of it others read; by domain.

    A source is read from outside. What a consumer reads is an output of its domain.
    """
    home = {node.name: node.domain for node in described.nodes}
    return {
        domain: (_inputs(domain, nodes, home), _outputs(domain, nodes, home))
        for domain, nodes in by_domain(described).items()
    }


def _inputs(domain: str, nodes: list[DescribedNode], home: Mapping[str, str | None]) -> list[str]:
    read = {edge.node for node in nodes for edge in node.reads}
    names = {name for name in read & home.keys() if home[name] != domain}
    return sorted(names | {node.name for node in nodes if node.kind == "source"})


def _outputs(domain: str, nodes: list[DescribedNode], home: Mapping[str, str | None]) -> list[str]:
    pairs = [(node.name, edge) for node in nodes for edge in node.read_by]
    return sorted(
        {name for name, edge in pairs if edge.mode == "consumer" or home.get(edge.node) != domain}
    )


def owner_of(nodes: Iterable[DescribedNode]) -> str | None:
    """Return the owner of most of these nodes, the first by name of several; None without any."""
    counts = Counter(node.owner for node in nodes)
    return min(counts, key=lambda owner: (-counts[owner], owner)) if counts else None


def mailboxes(contacts: Iterable[str]) -> list[str]:
    """Return the addresses of mail among contacts. The others may hold a secret."""
    return [contact for contact in contacts if re.fullmatch(r"mailto:[^\s<>\"{}|\\^`?]+", contact)]
