"""An editor for tests: pygls' client, which starts `headrace lsp` and speaks with it over stdio."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.client import LanguageClient

T = TypeVar("T")
SECONDS_MAX = 60.0

MOVES_FILES = types.ClientCapabilities(
    workspace=types.WorkspaceClientCapabilities(
        workspace_edit=types.WorkspaceEditClientCapabilities(
            document_changes=True,
            resource_operations=[types.ResourceOperationKind.Rename],
            change_annotation_support=types.ChangeAnnotationsSupportOptions(),
        )
    )
)


class Editor:
    """One editor with its server. Places are given by a text that the document has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.messages: list[str] = []
        self.texts: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._news: list[types.PublishDiagnosticsParams] = []
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.client = LanguageClient("tests", "1")
        # pygls sets attributes of what it is given, which a method doesn't take
        publish = partial(self._published)
        self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(publish)
        self.client.feature(types.WINDOW_SHOW_MESSAGE)(
            lambda params: self.messages.append(params.message)
        )

    def start(self, capabilities: types.ClientCapabilities) -> types.InitializeResult:
        """Start the server."""
        self.run(self.client.start_io(sys.executable, "-m", "headrace", "lsp"))
        result = self.run(
            self.client.initialize_async(
                types.InitializeParams(capabilities=capabilities, root_uri=self.root.as_uri())
            )
        )
        self.send(lambda: self.client.initialized(types.InitializedParams()))
        return result

    def stop(self) -> int | None:
        """End the server as an editor does; return its exit code."""
        self.run(self.client.shutdown_async(None))
        self.send(lambda: self.client.exit(None))
        server = self.client._server
        assert server is not None
        self.run(asyncio.wait_for(server.wait(), SECONDS_MAX))
        self.run(self.client.stop())  # type: ignore[no-untyped-call]
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        return server.returncode

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a request."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS_MAX)

    def send(self, notify: Callable[[], None]) -> None:
        """Send a notification."""

        async def sent() -> None:
            notify()

        self.run(sent())

    def _published(self, params: types.PublishDiagnosticsParams) -> None:
        with self._arrived:
            self._news.append(params)
            self._arrived.notify_all()

    def uri(self, path: str) -> str:
        """Return the address of a file of the project."""
        return (self.root / path).as_uri()

    def open(self, path: str, text: str | None = None) -> None:
        """Open a document, with another text than its file's if one is given."""
        self.texts[path] = (self.root / path).read_text(encoding="utf-8") if text is None else text
        self._versions[path] = 1
        item = types.TextDocumentItem(self.uri(path), "text", 1, self.texts[path])
        params = types.DidOpenTextDocumentParams(item)
        self.send(lambda: self.client.text_document_did_open(params))

    def write(self, path: str, text: str) -> None:
        """Replace a document's whole text."""
        self.texts[path] = text
        self.change(path, types.TextDocumentContentChangeWholeDocument(text))

    def type(self, path: str, before: str, after: str) -> None:
        """Replace the first place of a text, in the document and as a change of a range."""
        text = self.texts[path]
        at = text.index(before)
        ends = self.position(text, at), self.position(text, at + len(before))
        self.texts[path] = text[:at] + after + text[at + len(before) :]
        self.change(path, types.TextDocumentContentChangePartial(types.Range(*ends), after))

    def change(
        self,
        path: str,
        *changes: types.TextDocumentContentChangeEvent,
        version: int | None = None,
    ) -> None:
        """Send changes of a document."""
        self._versions[path] = self._versions.get(path, 0) + 1 if version is None else version
        document = types.VersionedTextDocumentIdentifier(self._versions[path], self.uri(path))
        params = types.DidChangeTextDocumentParams(document, list(changes))
        self.send(lambda: self.client.text_document_did_change(params))

    @staticmethod
    def position(text: str, at: int) -> types.Position:
        """Return a position as the protocol counts it: lines, and units of UTF-16."""
        line = text.count("\n", 0, at)
        start = text.rfind("\n", 0, at) + 1
        return types.Position(line, len(text[start:at].encode("utf-16-le")) // 2)

    def place(self, path: str, around: str) -> types.Position:
        """Return the place of `|` in a text that the document has without it."""
        lead, _, rest = around.partition("|")
        return self.position(self.texts[path], self.texts[path].index(lead + rest) + len(lead))

    def problems(self, path: str, *, until: Callable[[list[str]], bool] | None = None) -> list[str]:
        """Return code, line and underlined text of a file's problems at its newest version.

        Later ones are waited for until they are as wanted.
        """

        def known() -> list[str] | None:
            for params in reversed(self._news):
                newest = params.version in (None, self._versions.get(path))
                if params.uri == self.uri(path) and newest:
                    rows = [self._row(path, item) for item in params.diagnostics]
                    return rows if until is None or until(rows) else None
            return None

        with self._arrived:
            assert self._arrived.wait_for(lambda: known() is not None, SECONDS_MAX), self._news
            return known() or []

    def _row(self, path: str, item: types.Diagnostic) -> str:
        line = self.texts[path].split("\n")[item.range.start.line].encode("utf-16-le")
        part = line[2 * item.range.start.character : 2 * item.range.end.character]
        return f"{item.range.start.line + 1}: {item.code}: {part.decode('utf-16-le')}"

    def _at(self, path: str, around: str) -> dict[str, Any]:
        return {
            "text_document": types.TextDocumentIdentifier(self.uri(path)),
            "position": self.place(path, around),
        }

    def completions(self, path: str, around: str) -> list[str]:
        """Return the labels of what fits at a place."""
        params = types.CompletionParams(**self._at(path, around))
        result = self.run(self.client.text_document_completion_async(params))
        assert result is not None and not isinstance(result, types.CompletionList)
        return [item.label for item in result]

    def hover(self, path: str, around: str) -> str:
        """Return what is shown of a place."""
        params = types.HoverParams(**self._at(path, around))
        result = self.run(self.client.text_document_hover_async(params))
        if result is None:
            return ""
        assert isinstance(result.contents, types.MarkupContent)
        return result.contents.value

    def definition(self, path: str, around: str) -> str:
        """Return the file and line where a place's name is declared."""
        params = types.DefinitionParams(**self._at(path, around))
        result = self.run(self.client.text_document_definition_async(params))
        return "" if result is None else self._location(result)  # type: ignore[arg-type]

    def references(self, path: str, around: str) -> list[str]:
        """Return the files and lines where a place's name is."""
        params = types.ReferenceParams(types.ReferenceContext(True), **self._at(path, around))
        result = self.run(self.client.text_document_references_async(params))
        return sorted(self._location(item) for item in result or ())

    def _location(self, item: types.Location) -> str:
        return f"{item.uri.removeprefix(self.uri('') + '/')}:{item.range.start.line + 1}"

    def rename(self, path: str, around: str, new: str) -> types.WorkspaceEdit:
        """Return the edit of a rename."""
        params = types.RenameParams(new_name=new, **self._at(path, around))
        result = self.run(self.client.text_document_rename_async(params))
        assert result is not None
        return result

    def apply(self, edit: types.WorkspaceEdit) -> None:
        """Make an edit in the files, as an editor does that saves them."""
        for change in edit.document_changes or ():
            if isinstance(change, types.TextDocumentEdit):
                file = self._file(change.text_document.uri)
                text = file.read_text(encoding="utf-8")
                for item in sorted(change.edits, key=lambda item: item.range.start, reverse=True):
                    assert not isinstance(item, types.SnippetTextEdit)
                    start, end = (
                        self._offset(text, item.range.start),
                        self._offset(text, item.range.end),
                    )
                    text = text[:start] + item.new_text + text[end:]
                file.write_text(text, encoding="utf-8")
            else:
                assert isinstance(change, types.RenameFile)
                self._file(change.old_uri).rename(self._file(change.new_uri))

    def _file(self, uri: str) -> Path:
        return self.root / uri.removeprefix(self.uri("") + "/")

    @staticmethod
    def _offset(text: str, position: types.Position) -> int:
        lines = text.split("\n")
        before = lines[position.line].encode("utf-16-le")[: 2 * position.character]
        return sum(len(line) + 1 for line in lines[: position.line]) + len(
            before.decode("utf-16-le")
        )


@contextmanager
def editing(root: Path, capabilities: types.ClientCapabilities = MOVES_FILES) -> Iterator[Editor]:
    """Start an editor in a project's folder; its server has to end by itself."""
    editor = Editor(root)
    editor.start(capabilities)
    try:
        yield editor
    finally:
        code = editor.stop()
    assert code == 0
