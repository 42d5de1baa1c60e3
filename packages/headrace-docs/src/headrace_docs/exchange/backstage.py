"""`catalog-info.yaml` of Backstage: owners are groups, domains are domains, assets are resources.

Names of Backstage have at most 63 characters of a few kinds; the whole name is the title.
https://backstage.io/docs/features/software-catalog/descriptor-format
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from headrace_docs.exchange.names import by_domain, mailboxes, one_line, owner_of, short_name, words
from headrace_docs.responses.description import (
    DescribedConsumer,
    DescribedNode,
    DescribedOwner,
    Description,
)

_API = "backstage.io/v1alpha1"
_NO_TAG = re.compile(r"[^a-z0-9:+#]+")
TAG_CHARACTERS_MAX = 63
Entity = dict[str, Any]


def backstage_files(described: Description) -> Iterator[tuple[str, str]]:
    """Yield one file with an entity a document."""
    system = short_name(described.project)
    entities = [
        *(_group(owner) for owner in described.owners),
        *(_area("Domain", name, nodes) for name, nodes in by_domain(described).items()),
        _area("System", described.project, described.nodes),
        *(_resource(node, system) for node in described.nodes),
        *(_component(consumer, system) for consumer in described.consumers),
    ]
    yield (
        "catalog-info.yaml",
        "".join(
            "---\n" + yaml.safe_dump(entity, sort_keys=False, allow_unicode=False, width=1000)
            for entity in entities
        ),
    )


def _entity(kind: str, name: str, spec: Entity, **metadata: Any) -> Entity:
    return {
        "apiVersion": _API,
        "kind": kind,
        "metadata": {
            "name": short_name(name),
            "title": one_line(name),
            **{key: value for key, value in metadata.items() if value},
        },
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def _group(owner: DescribedOwner) -> Entity:
    mails = [address.removeprefix("mailto:") for address in mailboxes(owner.contact)]
    profile = {"displayName": one_line(owner.owner), **({"email": mails[0]} if mails else {})}
    parent = None if owner.manager is None else short_name(owner.manager)
    spec: Entity = {"type": owner.kind, "profile": profile, "parent": parent, "children": []}
    return _entity("Group", owner.owner, spec)


def _area(kind: str, name: str, nodes: Sequence[DescribedNode]) -> Entity:
    """Return a domain or a system; its owner is the owner of most of its nodes."""
    owner = owner_of(nodes)
    return _entity(kind, name, {"owner": short_name(owner or "nobody")})


def _resource(node: DescribedNode, system: str) -> Entity:
    reads = [f"resource:{short_name(edge.node)}" for edge in node.reads]
    spec: Entity = {
        "type": "source" if node.kind == "source" else "asset",
        "owner": short_name(node.owner),
        "system": system,
        **({"dependsOn": reads} if reads else {}),
    }
    return _entity(
        "Resource",
        node.name,
        spec,
        description=words(node.description),
        tags=_tags(node.tags),
        annotations={"headrace.dev/state": node.state},
        labels={"headrace.dev/domain": short_name(node.domain)} if node.domain else None,
    )


def _component(consumer: DescribedConsumer, system: str) -> Entity:
    standing = consumer.standing
    spec = {
        "type": "consumer",
        "lifecycle": "production",
        "owner": short_name(standing.owner),
        "system": system,
        "dependsOn": [f"resource:{short_name(read.asset)}" for read in standing.reads],
    }
    return _entity(
        "Component",
        consumer.name,
        spec,
        description=words(consumer.description),
        tags=_tags(consumer.tags),
        annotations={"headrace.dev/state": standing.state},
    )


def _tags(tags: list[str]) -> list[str]:
    """Return tags in the form that Backstage has for them; what has no such form is left out."""
    forms = (_NO_TAG.sub("-", tag.lower()).strip("-")[:TAG_CHARACTERS_MAX] for tag in tags)
    return list(dict.fromkeys(form.strip("-") for form in forms if form.strip("-")))
