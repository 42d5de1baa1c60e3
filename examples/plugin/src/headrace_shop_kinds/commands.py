"""The commands of this package, as `headrace --help` lists them."""

from __future__ import annotations

from headrace.extension import CliCommand

MAILS = CliCommand(
    name="mails",
    group="look",
    summary="list the mails that mailbox sources read",
    home="headrace_shop_kinds.mails",
    permissions={"mails": "read"},
)
