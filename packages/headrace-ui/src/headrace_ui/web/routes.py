"""The routes of the pages, and what their first readers needn't wait for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.extension import SEE, HttpRoute, ProjectSession, ServerContext, command
from headrace_ui.services.catalog_search import CatalogQuery, catalog, search, use
from headrace_ui.services.graph import GraphViewQuery, view
from headrace_ui.web import bundle
from headrace_ui.web.page_addresses import PAGES
from headrace_ui.web.pages import Pages
from headrace_ui.web.saved_files import SavedFiles

SAVED_FILES = command("files events", SEE, own_check=True)


def routes(context: ServerContext) -> Iterator[HttpRoute]:
    """Yield the routes: the page at each of its addresses, its files, and events of saved files."""
    files = bundle.Bundle(bundle.BUNDLE)
    pages = Pages(context, files)
    context.reader.warm_with(_catalog, _graph, _search, use)
    for path in ("/", *(f"/{name}{rest}" for name in PAGES for rest in ("", "/{rest:path}"))):
        yield HttpRoute(path=path, handler=pages.home, needs=None)
    yield HttpRoute(path="/ui/{name:path}", handler=files.file, needs=None)
    saved = SavedFiles(Path(context.reader.project[0]), context.see_again)
    yield HttpRoute(path="/api/v1/files/events", handler=saved.answer, needs=SAVED_FILES)


# For ten thousand assets, the sums of these take a few seconds.


def _catalog(session: ProjectSession) -> None:
    if session.compiled is not None:
        catalog(session, CatalogQuery())


def _graph(session: ProjectSession) -> None:
    if session.compiled is not None:
        view(session, GraphViewQuery())


def _search(session: ProjectSession) -> None:
    search(session, "a", 1)
