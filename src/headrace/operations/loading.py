"""What a server reads once, before anybody asks: of ten thousand assets it takes a second, and adding up their costs a few."""

from __future__ import annotations

from collections.abc import Callable

from headrace.operations.session import ProjectSession


def load(session: ProjectSession) -> None:
    """What is applied, and how all of it stands."""
    from headrace.operations.standing import standing

    if session.store is not None and session.compiled is not None:
        with standing(session, session.clock.now_us()):
            pass


def _today(session: ProjectSession) -> None:
    from headrace.operations.status import status

    status(session)


def _catalog(session: ProjectSession) -> None:
    from headrace.operations.catalog.listing import CatalogQuery, catalog

    if session.compiled is not None:
        catalog(session, CatalogQuery())


def _graph(session: ProjectSession) -> None:
    from headrace.operations.graph.view import GraphViewQuery, view

    if session.compiled is not None:
        view(session, GraphViewQuery())


def _search(session: ProjectSession) -> None:
    from headrace.operations.catalog.searching import search

    search(session, "a", 1)


def _use(session: ProjectSession) -> None:
    from headrace.operations.catalog.use import use

    use(session)


WARMED: tuple[Callable[[ProjectSession], None], ...] = (load, _today, _catalog, _graph, _search, _use)
"""In the order in which they are asked for, as a rule."""
