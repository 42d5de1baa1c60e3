"""A helper process of a cold start: it parses files and analyses SQL.

Messages on standard input control it.

A message is four bytes of length and msgpack; each gets one answer. The process ends when its input does.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from typing import BinaryIO

import msgspec

from headrace.model import Asset, Source
from headrace.model.files import ProjectFile
from headrace.model.parsing import Declared, parse_bytes
from headrace.plan.cache import digest
from headrace.plan.schemas import AssetText, AssetTextAnalysis, ColumnLineage, OutputSchema, OutputSchemaRequest, asset_text


class ReadFiles(msgspec.Struct, frozen=True, tag="files"):
    """Parse these files, and read the SQL in them. `data` are their bytes, in the same order."""

    files: tuple[ProjectFile, ...]
    data: tuple[bytes, ...]


class ReadTexts(msgspec.Struct, frozen=True, tag="texts"):
    """Read these texts, of files that are parsed already."""

    texts: tuple[AssetText, ...]


class OutputSchemaRequests(msgspec.Struct, frozen=True, tag="give"):
    """Say what these bodies give."""

    wanted: tuple[OutputSchemaRequest, ...]


Message = ReadFiles | ReadTexts | OutputSchemaRequests


class FilesRead(msgspec.Struct, frozen=True):
    """Per file what it declares, and what was read, by the digest of the text that it was read of."""

    declared: tuple[Declared, ...]
    reads: dict[bytes, AssetTextAnalysis]


class TextsRead(msgspec.Struct, frozen=True):
    """In the order of the request."""

    reads: tuple[AssetTextAnalysis, ...]


class OutputSchemas(msgspec.Struct, frozen=True):
    """In the order of the request."""

    given: tuple[tuple[OutputSchema, msgspec.Raw], ...]


def read_files(message: ReadFiles) -> FilesRead:
    """The work of a `ReadFiles`, in whichever process."""
    from headrace.plan.sql_analysis import analyse_text  # sqlglot: not paid for where everything is cached

    declared = tuple(parse_bytes(file, data) for file, data in zip(message.files, message.data, strict=True))
    nodes: list[Asset | Source] = []
    for item in declared:
        nodes += [*item.assets, *item.sources]
    texts = [text for node in nodes if (text := asset_text(node)) is not None]
    return FilesRead(declared, {digest(text): analyse_text(text) for text in texts})


def read_texts(message: ReadTexts) -> TextsRead:
    """The work of a `ReadTexts`, in whichever process."""
    from headrace.plan.sql_analysis import analyse_text  # see above

    return TextsRead(tuple(analyse_text(text) for text in message.texts))


def give_all(message: OutputSchemaRequests) -> OutputSchemas:
    """The work of a `OutputSchemaRequests`, in whichever process."""
    from headrace.plan.sql_analysis import analyse_output  # see above

    return OutputSchemas(tuple(_encoded(*analyse_output(request)) for request in message.wanted))


def _encoded(given: OutputSchema, lines: ColumnLineage) -> tuple[OutputSchema, msgspec.Raw]:
    return given, msgspec.Raw(msgspec.msgpack.encode(lines))


def receive(stream: BinaryIO) -> bytes | None:
    """The next frame; None at the end of the stream."""
    length = stream.read(4)
    if len(length) < 4:
        return None
    return stream.read(int.from_bytes(length, "big"))


def send(stream: BinaryIO, data: bytes) -> None:
    """One frame."""
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def main() -> None:
    """Answer until standard input ends. What else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started this ends it by closing its input
    gc.disable()
    decoder = msgspec.msgpack.Decoder(Message)
    while (frame := receive(sys.stdin.buffer)) is not None:
        message = decoder.decode(frame)
        send(answers, msgspec.msgpack.encode(_answer(message)))
        del message
        _forget()


def _forget() -> None:
    """Collect the trees of one message at once: they are full of cycles, and the collector would look at them many times."""
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
