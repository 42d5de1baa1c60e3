"""A helper process of a cold start, which parses files and analyses SQL.

It reads messages from standard input. A message is its length in four bytes and then msgpack; each
gets one answer. The process ends when its input ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys

import msgspec

from headrace.compiler.frames import receive, send
from headrace.model import Asset, Source
from headrace.model.files import ProjectFile
from headrace.model.parsing import Declared, parse_bytes
from headrace.plan.schemas import (
    AssetText,
    AssetTextAnalysis,
    ColumnLineage,
    OutputSchema,
    OutputSchemaRequest,
    asset_text,
    digest,
)


class ReadFiles(msgspec.Struct, frozen=True, tag="files"):
    """A request to parse files and analyse the SQL in them; `data` holds their bytes, in order."""

    files: tuple[ProjectFile, ...]
    data: tuple[bytes, ...]


class ReadTexts(msgspec.Struct, frozen=True, tag="texts"):
    """A request to analyse texts of files that are parsed already."""

    texts: tuple[AssetText, ...]


class OutputSchemaRequests(msgspec.Struct, frozen=True, tag="give"):
    """A request for the output columns of queries."""

    wanted: tuple[OutputSchemaRequest, ...]


Message = ReadFiles | ReadTexts | OutputSchemaRequests


class FilesRead(msgspec.Struct, frozen=True):
    """The declarations of each file, and the analysis of each SQL text by its digest."""

    declared: tuple[Declared, ...]
    reads: dict[bytes, AssetTextAnalysis]


class TextsRead(msgspec.Struct, frozen=True):
    """The analyses, in the order of the request."""

    reads: tuple[AssetTextAnalysis, ...]


class OutputSchemas(msgspec.Struct, frozen=True):
    """The output schemas with their encoded lineage, in the order of the request."""

    given: tuple[tuple[OutputSchema, msgspec.Raw], ...]


def read_files(message: ReadFiles) -> FilesRead:
    """Return the answer to a `ReadFiles`, in any process."""
    from headrace.plan.sql_analysis import (
        analyse_text,
    )  # loads sqlglot, which isn't needed if everything is cached

    declared = tuple(
        parse_bytes(file, data) for file, data in zip(message.files, message.data, strict=True)
    )
    nodes: list[Asset | Source] = []
    for item in declared:
        nodes += [*item.assets, *item.sources]
    texts = [text for node in nodes if (text := asset_text(node)) is not None]
    return FilesRead(declared, {digest(text): analyse_text(text) for text in texts})


def read_texts(message: ReadTexts) -> TextsRead:
    """Return the answer to a `ReadTexts`, in any process."""
    from headrace.plan.sql_analysis import analyse_text  # see above

    return TextsRead(tuple(analyse_text(text) for text in message.texts))


def give_all(message: OutputSchemaRequests) -> OutputSchemas:
    """Return the answer to an `OutputSchemaRequests`, in any process."""
    from headrace.plan.sql_analysis import analyse_output  # see above

    return OutputSchemas(tuple(_encoded(*analyse_output(request)) for request in message.wanted))


def _encoded(schema: OutputSchema, lines: ColumnLineage) -> tuple[OutputSchema, msgspec.Raw]:
    return schema, msgspec.Raw(msgspec.msgpack.encode(lines))


def main() -> None:
    """Answer messages until standard input ends; other output goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent ends this by closing its input
    gc.disable()
    decoder = msgspec.msgpack.Decoder(Message)
    while (frame := receive(sys.stdin.buffer)) is not None:
        message = decoder.decode(frame)
        send(answers, msgspec.msgpack.encode(_answer(message)))
        del message
        _forget()


def _forget() -> None:
    """Free the trees of one message at once.

    They are full of cycles, and the collector would otherwise walk them many times.
    """
    parsing = sys.modules.get("headrace.sql.parsing")
    if parsing is not None:
        parsing.parse.cache_clear()
    gc.collect()
    gc.freeze()


def _answer(message: Message) -> FilesRead | TextsRead | OutputSchemas:
    if isinstance(message, ReadFiles):
        return read_files(message)
    return read_texts(message) if isinstance(message, ReadTexts) else give_all(message)


if __name__ == "__main__":
    main()
