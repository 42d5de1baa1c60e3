"""The source `mailbox`: attachments of the mails in an mbox file."""

from __future__ import annotations

import mailbox
import re
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from pathlib import Path
from typing import Any

from headrace.connect.connectors import Access, Fetched, SourceKind, Unavailable
from headrace.connect.deliveries import CannotRead, DetectedDelivery, Observation
from headrace.model import PartitionSpec
from headrace.model.fields import Fields

DATE = "{date}"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class Mailbox(SourceKind):
    """`mailbox: {path: inbox.mbox, subject: "Sales of {date}"}`: the first attachment of the newest
    mail with a day's subject is the day's delivery.
    """

    name = "mailbox"
    fields = ("path", "subject")
    meaning = "an mbox file, and the subject of the mails whose attachments are deliveries"

    def read(self, fields: Fields, partition: PartitionSpec) -> dict[str, Any] | None:
        """Return the path and the subject, which has the day as `{date}`."""
        path, subject = fields.required("path"), fields.required("subject")
        if subject is not None and subject.count(DATE) != 1:
            fields.refuse("subject", "`subject` has no day", 'write subject: "Sales of {date}"')
            return None
        if partition.grain != "day" or partition.key is not None:
            fields.refuse("subject", "a mailbox is partitioned by day", "add partition: day")
            return None
        return {"path": path, "subject": subject} if path and subject else None

    def schema(self) -> dict[str, dict[str, Any]]:
        """Return what editors offer."""
        return {"path": {"type": "string"}, "subject": {"type": "string"}}

    def observe(
        self, access: Access, wanted: Sequence[str], known: Mapping[str, tuple[str, str]]
    ) -> Observation:
        """Return the days whose newest mail isn't the known one."""
        newest = {day: message["Message-ID"] or "" for day, message in _mails_of(access)}
        found = tuple(
            DetectedDelivery(
                source=access.source.name,
                partition=day,
                path=f"{_declared(access)['path']}#{newest[day]}",
                size_bytes=-1,
                modified_us=access.now_us,
                version=newest[day],
            )
            for day in wanted
            if day in newest and newest[day] != known.get(day, ("", ""))[1]
        )
        return Observation(found=found, seen=len(newest))

    def fetch(self, access: Access, found: DetectedDelivery) -> Fetched:
        """Write the attachment into a file."""
        messages = [message for day, message in _mails_of(access) if day == found.partition]
        if not messages:
            raise Unavailable(f"the mail of {found.partition} is no longer in the mailbox")
        for part in messages[-1].walk():
            name, content = part.get_filename(), part.get_payload(decode=True)
            if name is not None and isinstance(content, bytes):
                path = access.temporary / f"{found.partition}.attachment"
                path.write_bytes(content)
                return Fetched(path=path, name=Path(name).name)
        raise CannotRead(f"the mail of {found.partition} has no attachment")


def _declared(access: Access) -> Mapping[str, str]:
    declared: Mapping[str, str] = access.source.connector[Mailbox.name]
    return declared


def _mails_of(access: Access) -> Iterator[tuple[str, Message]]:
    return mails_in(access.project, _declared(access))


def mails_in(project: Path, declared: Mapping[str, str]) -> Iterator[tuple[str, Message]]:
    """Yield the day and the mail of each subject that fits, in the mailbox's order."""
    path = project / declared["path"]
    if not path.is_file():
        raise Unavailable(f"{declared['path']}: there is no such mailbox")
    before, _, after = declared["subject"].partition(DATE)
    for message in mailbox.mbox(path, create=False):
        subject = str(message["Subject"] or "")
        day = subject.removeprefix(before).removesuffix(after)
        if subject == f"{before}{day}{after}" and _DAY.fullmatch(day):
            yield day, message
