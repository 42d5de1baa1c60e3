"""A helper process of a cold start, which parses files and analyses SQL.

It reads messages from standard input. A message is its length in four bytes and then msgpack; each
gets one answer. The process ends when its input ends.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Mapping

import msgspec

from headrace.compiler.frames import receive, send
from headrace.model.files import ProjectFile
from headrace.model.parsing import Declared, parse_bytes
from headrace.plan.schemas import (
    AssetText,
    AssetTextAnalysis,
    ColumnLineage,
    OutputSchema,
    OutputSchemaRequest,
)

UNFREED_MAX = 1000
"""Statements whose trees a process may have in its memory (67 KB each)."""


class ReadFiles(msgspec.Struct, frozen=True, tag="files"):
    """A request to parse files; `data` holds their bytes, in order."""

    files: tuple[ProjectFile, ...]
    data: tuple[bytes, ...]
    defaults: dict[str, bytes]
    """The bytes of all `defaults.yaml` by path."""


class ReadTexts(msgspec.Struct, frozen=True, tag="texts"):
    """A request to analyse texts of files that are parsed already."""

    texts: tuple[AssetText, ...]


class OutputSchemaRequests(msgspec.Struct, frozen=True, tag="give"):
    """A request for the output columns of queries."""

    wanted: tuple[OutputSchemaRequest, ...]
    last: bool = True
    """Whether the process has no more texts whose output is asked of it later."""


Message = ReadFiles | ReadTexts | OutputSchemaRequests


class FilesRead(msgspec.Struct, frozen=True):
    """The declarations of each file, in the order of the request."""

    declared: tuple[Declared, ...]


class TextsRead(msgspec.Struct, frozen=True):
    """The analyses, in the order of the request."""

    reads: tuple[AssetTextAnalysis, ...]


class OutputSchemas(msgspec.Struct, frozen=True):
    """The output schemas with their encoded lineage, in the order of the request."""

    given: tuple[tuple[OutputSchema, msgspec.Raw], ...]


Answer = FilesRead | TextsRead | OutputSchemas

ANSWERS: Mapping[type[Message], type[Answer]] = {
    ReadFiles: FilesRead,
    ReadTexts: TextsRead,
    OutputSchemaRequests: OutputSchemas,
}
"""What a message is answered with."""


def answer(message: Message) -> Answer:
    """Return the answer to a message, in any process."""
    if isinstance(message, ReadFiles):
        files = zip(message.files, message.data, strict=True)
        return FilesRead(tuple(parse_bytes(file, data, message.defaults) for file, data in files))
    # loads sqlglot, which isn't needed if everything is cached
    from headrace.plan.sql_analysis import analyse_output, analyse_text

    if isinstance(message, ReadTexts):
        return TextsRead(tuple(analyse_text(text) for text in message.texts))
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
    import headrace.plan.sql_analysis  # noqa: F401 (loaded here, no collection visits it)
    from headrace.sql.parsing import parse

    gc.disable()
    gc.collect()
    gc.freeze()
    decoder = msgspec.msgpack.Decoder(Message)
    unfreed = 0
    while (frame := receive(sys.stdin.buffer)) is not None:
        message = decoder.decode(frame)
        send(answers, msgspec.msgpack.encode(answer(message)))
        unfreed += len(message.texts) if isinstance(message, ReadTexts) else 0
        if unfreed > UNFREED_MAX or (isinstance(message, OutputSchemaRequests) and message.last):
            # Trees are full of cycles. An enabled collector would walk each of them many times, and
            # so would this one if it left some.
            parse.cache_clear()
            gc.collect()
            unfreed = 0


if __name__ == "__main__":
    main()
