"""The documents that an editor has open, and the projects that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lsprotocol import types
from pygls.uris import from_fs_path, to_fs_path, uri_scheme

from headrace.extension import Compilation, Compiled, HeadraceError, file_kind, find_root
from headrace_lsp.diagnostics import by_file, diagnostic
from headrace_lsp.index import Index
from headrace_lsp.projects import EditedProject, Snapshot
from headrace_lsp.texts import Text


class Document(NamedTuple):
    """An open document of a project."""

    root: Path
    path: str
    """Relative to the project, with `/`."""
    version: int
    text: Text


def placed(uri: str) -> tuple[Path, str] | None:
    """Return the project of a document and its path there; None outside of projects."""
    if uri_scheme(uri) != "file" or (name := to_fs_path(uri)) is None:
        return None
    file = Path(name)
    try:
        root = find_root(file.parent)
    except (HeadraceError, OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return root, file.relative_to(root).as_posix()


class Documents:
    """The open documents by address. Changes that don't fit what is open are left out."""

    def __init__(self) -> None:
        self.encoding = "utf-16"
        self._open: dict[str, Document] = {}

    def opened(self, item: types.TextDocumentItem) -> Document | None:
        """Take a document that was opened; return it if it belongs to a project."""
        place = placed(item.uri)
        if place is None:
            return None
        document = Document(*place, item.version, Text(item.text, self.encoding))
        self._open[item.uri] = document
        return document

    def changed(self, params: types.DidChangeTextDocumentParams) -> Document | None:
        """Take changes of a document; return it, or None for one that isn't open or is newer."""
        known = self._open.get(params.text_document.uri)
        if known is None or params.text_document.version <= known.version:
            return None
        text = known.text
        for change in params.content_changes:
            text = text.changed(change)
        document = known._replace(version=params.text_document.version, text=text)
        self._open[params.text_document.uri] = document
        return document

    def closed(self, uri: str) -> Document | None:
        """Forget a document; return it if it was open."""
        return self._open.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        """Return an open document."""
        return self._open.get(uri)

    def of(self, root: Path) -> Mapping[str, tuple[str, Document]]:
        """Return path → address and document of a project's open documents."""
        return {
            item.path: (uri, item) for uri, item in list(self._open.items()) if item.root == root
        }


class OpenProject:
    """A project of open documents. Its methods run in one thread."""

    def __init__(self, root: Path, environment: str, documents: Documents) -> None:
        self.root, self._documents = root, documents
        self.project = EditedProject(root, environment)
        self._snapshot: Snapshot | None = None
        self._seen: Mapping[str, tuple[str, Document]] = {}
        self._usable: Compiled | None = None
        self._index: Index | None = None
        self._published: dict[str, list[types.Diagnostic]] = {}

    def refresh(self) -> Snapshot:
        """Compile the project with the texts that are open now."""
        self._seen = self._documents.of(self.root)
        contents = {
            path: document.text.content.encode("utf-8", "surrogatepass")
            for path, (_, document) in self._seen.items()
            if file_kind(path) is not None or path.endswith(".py")
        }
        self._snapshot = snapshot = self.project.compile(contents)
        self._usable = snapshot.compiled or self._usable
        self._index = None
        return snapshot

    def index(self) -> Index | None:
        """Return what the open texts name; None before the project was ever compiled."""
        if self._snapshot is None or self._documents.of(self.root) != self._seen:
            self.refresh()
        if self._index is None and self._snapshot is not None and self._usable is not None:
            lineage = self.project.lineage(self._usable)
            self._index = Index(self._snapshot, self._usable, lineage)
        return self._index

    def news(self, compilation: Compilation) -> Iterator[types.PublishDiagnosticsParams]:
        """Yield the problems of each file whose problems have changed, and of each open file."""
        if self._snapshot is None:
            return
        now: dict[str, list[types.Diagnostic]] = {}
        for path, problems in by_file(compilation.problems).items():
            text = self.text(path)
            now[path] = [diagnostic(problem, text) for problem in problems]
        for path in {*now, *self._published, *self._seen}:
            listed = now.get(path, [])
            uri, document = self._seen.get(path, (self.uri(path), None))
            if document is not None or listed != self._published.get(path, []):
                version = document.version if document is not None else None
                yield types.PublishDiagnosticsParams(uri, listed, version)
        self._published = now

    def text(self, path: str) -> Text:
        """Return a file's text as it was compiled."""
        content = self._snapshot.text(path) if self._snapshot is not None else ""
        return Text(content, self._documents.encoding)

    def uri(self, path: str) -> str:
        """Return the address of a file: that of its document, if it is open."""
        known = self._seen.get(path)
        return known[0] if known is not None else str(from_fs_path(str(self.root / path)))

    def version(self, path: str) -> int | None:
        """Return the version of a document; None for a file that isn't open."""
        known = self._seen.get(path)
        return known[1].version if known is not None else None
