"""What a worker answers, without secrets: by the worker of those that it was handed, by who sent the task of all that are declared."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from headrace.engine.logs import read
from headrace.govern.redaction import Redactor
from headrace.govern.secrets import Secrets
from headrace.run.messages import Answer, SourceObserved


def scrubbed(answer: Answer, secrets: Secrets) -> Answer:
    """The answer without any secret that this worker resolved: what servers and drivers say may repeat what they were told."""
    if isinstance(answer, SourceObserved):
        notes = tuple(map(secrets.scrubbed, answer.notes))
        return msgspec.structs.replace(answer, notes=notes, error=secrets.scrubbed(answer.error) if answer.error else answer.error)
    error = answer.error
    if error is not None:
        error = msgspec.structs.replace(
            error,
            message=secrets.scrubbed(error.message),
            hint=secrets.scrubbed(error.hint),
            file=None if error.file is None else secrets.scrubbed(error.file),
        )
    return msgspec.structs.replace(answer, error=error, reason=secrets.scrubbed(answer.reason))


def scrub_log(path: Path, redactor: Redactor) -> None:
    """Take secrets out of an attempt's log that its worker couldn't know: those of others, which asset code found somewhere."""
    lines = read(path)
    redacted = [msgspec.structs.replace(line, text=redactor.text(line.text)) for line in lines]
    if redacted == lines:
        return
    other = path.with_name(f"{path.name}.redacted")
    with contextlib.suppress(OSError):
        other.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in redacted))
        other.replace(path)
