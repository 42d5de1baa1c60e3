"""The protocol: which request is answered by what, and in which thread."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from headrace.extension import Compilation, HeadraceError, ProjectSession, Refused
from headrace_lsp.captured_names import refuse_for_each
from headrace_lsp.completion import completions
from headrace_lsp.hover import hover_text
from headrace_lsp.index import Index, Location
from headrace_lsp.opened import Documents, OpenProject
from headrace_lsp.projects import Snapshot
from headrace_lsp.renaming import Renaming, renaming
from headrace_lsp.workspace_edits import workspace_edit

PAUSE_SECONDS = 0.5
"""After this pause in typing, DuckDB and the file system are asked as well."""

R = TypeVar("R")


class Placed(Protocol):
    """A request about a place of a document."""

    text_document: types.TextDocumentIdentifier
    position: types.Position


class OwnDocuments(LanguageServerProtocol):
    """The protocol with Headrace's own documents (`headrace_lsp.texts` says why)."""

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        """Take a document."""
        server = _server_of(self)
        server.changed(server.documents.opened(params.text_document))

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        """Take changes of a document."""
        server = _server_of(self)
        server.changed(server.documents.changed(params))

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        """Go on with the file in place of the document."""
        server = _server_of(self)
        server.changed(server.documents.closed(params.text_document.uri))


def _server_of(protocol: LanguageServerProtocol) -> Server:
    server = protocol._server
    assert isinstance(server, Server)
    return server


class Server(LanguageServer):
    """One editor. Projects are compiled in one thread, DuckDB is waited for in another."""

    def __init__(self, environment: str) -> None:
        super().__init__("headrace", version("headrace-lsp"), protocol_cls=OwnDocuments)
        self.environment = environment
        self.documents = Documents()
        self.projects: dict[Path, OpenProject] = {}
        self._compiling = ThreadPoolExecutor(1, "compile")
        self._binding = ThreadPoolExecutor(1, "bind")
        self._waiting: dict[Path, asyncio.Task[None]] = {}
        self._reported_messages: set[str] = set()

    def changed(self, document: Any) -> None:
        """Check a document's project soon: at once, and after a pause as `validate` does."""
        if document is None:
            return
        former = self._waiting.get(document.root)
        if former is not None:
            former.cancel()
        self._waiting[document.root] = asyncio.ensure_future(self._check(document.root))

    async def _check(self, root: Path) -> None:
        await asyncio.sleep(0)  # the other changes that are here already come first
        try:
            snapshot = await self.do(root, self._compiled)
            await asyncio.sleep(PAUSE_SECONDS)
            loop = asyncio.get_running_loop()
            bound = await loop.run_in_executor(
                self._binding, self.projects[root].project.bound, snapshot
            )
            await self.do(root, partial(self._published, compilation=bound))
        except HeadraceError as error:
            self._report(error)

    def _report(self, error: HeadraceError) -> None:
        """Show an error, once."""
        message = f"{error} ({error.hint})" if error.hint else str(error)
        if message not in self._reported_messages:
            self._reported_messages.add(message)
            self.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def _compiled(self, project: OpenProject) -> Snapshot:
        snapshot = project.refresh()
        self._published(project, compilation=snapshot.compilation)
        return snapshot

    def _published(self, project: OpenProject, *, compilation: Compilation) -> None:
        for params in project.news(compilation):
            self._loop.call_soon_threadsafe(self.text_document_publish_diagnostics, params)

    async def do(self, root: Path, action: Callable[[OpenProject], R]) -> R:
        """Run an action on a project, one at a time."""
        self._loop = asyncio.get_running_loop()
        return await self._loop.run_in_executor(self._compiling, self._done, root, action)

    def _done(self, root: Path, action: Callable[[OpenProject], R]) -> R:
        if root not in self.projects:
            self.projects[root] = OpenProject(root, self.environment, self.documents)
        return action(self.projects[root])

    async def at(
        self,
        params: Placed,
        answer: Callable[[OpenProject, Index, str, int], R],
    ) -> R | None:
        """Answer a request about a place; None outside of projects and where nothing compiles."""
        document = self.documents.get(params.text_document.uri)
        if document is None:
            return None

        def answered(project: OpenProject) -> R | None:
            index = project.index()
            if index is None:
                return None
            offset = project.text(document.path).offset(params.position)
            return answer(project, index, document.path, offset)

        try:
            return await self.do(document.root, answered)
        except Refused as refused:
            raise JsonRpcException(str(refused), types.LSPErrorCodes.RequestFailed) from None
        except HeadraceError as error:
            self._report(error)
            return None

    def stop(self) -> None:
        """End the threads; what they do is not waited for."""
        for threads in (self._compiling, self._binding):
            threads.shutdown(wait=False, cancel_futures=True)


def create(environment: str) -> Server:
    """Return a server that answers all that Headrace does."""
    server = Server(environment)
    server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", "$"])
    )(_completion)
    server.feature(types.TEXT_DOCUMENT_HOVER)(_hover)
    server.feature(types.TEXT_DOCUMENT_DEFINITION)(_definition)
    server.feature(types.TEXT_DOCUMENT_REFERENCES)(_references)
    server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)(_prepare_rename)
    server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))(_rename)
    server.feature(types.INITIALIZED)(_initialized)
    server.feature(types.TEXT_DOCUMENT_DID_SAVE)(_saved)
    server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)(_files_changed)
    return server


def serve_stdio(environment: str) -> None:
    """Serve one editor until it closes standard input; other output goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    server = create(environment)
    try:
        server.start_io(sys.stdin.buffer, answers)
    finally:
        server.stop()


def _initialized(ls: Server, _: types.InitializedParams) -> None:
    agreed = ls.workspace.position_encoding or types.PositionEncodingKind.Utf16
    ls.documents.encoding = types.PositionEncodingKind(agreed).value


def _saved(ls: Server, params: types.DidSaveTextDocumentParams) -> None:
    ls.changed(ls.documents.get(params.text_document.uri))


def _files_changed(ls: Server, _: types.DidChangeWatchedFilesParams) -> None:
    for root in list(ls.projects):
        for _uri, document in ls.documents.of(root).values():
            ls.changed(document)
            break


async def _completion(ls: Server, params: types.CompletionParams) -> list[types.CompletionItem]:
    return (
        await ls.at(params, lambda _, index, path, offset: completions(index, path, offset)) or []
    )


async def _hover(ls: Server, params: types.HoverParams) -> types.Hover | None:
    def answer(project: OpenProject, index: Index, path: str, offset: int) -> types.Hover | None:
        named = index.at(path, offset)
        if named is None:
            return None
        text = hover_text(index, named, project.project.session)
        markdown = types.MarkupContent(types.MarkupKind.Markdown, text)
        return types.Hover(markdown, project.text(path).range(named.start, named.end))

    return await ls.at(params, answer)


async def _definition(ls: Server, params: types.DefinitionParams) -> types.Location | None:
    def answer(project: OpenProject, index: Index, path: str, offset: int) -> types.Location | None:
        named = index.at(path, offset)
        place = None if named is None else index.definition(named.node, named.column)
        if place is None:
            return None
        if isinstance(place, Location):
            return _location(project, place)
        text = project.text(place.file)
        return types.Location(project.uri(place.file), text.range(*text.line_range(place.line - 1)))

    return await ls.at(params, answer)


async def _references(ls: Server, params: types.ReferenceParams) -> list[types.Location]:
    def answer(project: OpenProject, index: Index, path: str, offset: int) -> list[types.Location]:
        named = index.at(path, offset)
        if named is None:
            return []
        return [_location(project, item) for item in index.everywhere(named.node, named.column)]

    return await ls.at(params, answer) or []


def _location(project: OpenProject, place: Location) -> types.Location:
    text = project.text(place.path)
    return types.Location(project.uri(place.path), text.range(place.at.start, place.at.end))


async def _prepare_rename(ls: Server, params: types.PrepareRenameParams) -> types.Range | None:
    def answer(project: OpenProject, index: Index, path: str, offset: int) -> types.Range | None:
        refuse_for_each(index, path)
        named = index.at(path, offset)
        return None if named is None else project.text(path).range(named.start, named.end)

    return await ls.at(params, answer)


async def _rename(ls: Server, params: types.RenameParams) -> types.WorkspaceEdit | None:
    def answer(
        project: OpenProject, index: Index, path: str, offset: int
    ) -> tuple[Renaming, types.WorkspaceEdit] | None:
        refuse_for_each(index, path)
        named = index.at(path, offset)
        if named is None:
            return None
        applied = _is_applied(project.project.session(), named.node)
        plan = renaming(index, project.project, named, params.new_name, applied=applied)
        return plan, workspace_edit(plan, project, ls.client_capabilities)

    result = await ls.at(params, answer)
    if result is None:
        return None
    plan, edit = result
    ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, plan.summary))
    return edit


def _is_applied(session: ProjectSession, node: str) -> bool:
    try:
        return session.compiled is not None and session.compiled.project.node(node) is not None
    finally:
        session.close()
