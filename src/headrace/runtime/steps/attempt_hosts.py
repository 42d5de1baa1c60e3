"""Declared hosts of an attempt: the proxy while its code runs, and what it says about refusals."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from headrace.connect.host_proxy import (
    HOST_NOT_DECLARED,
    PORT_NOT_DECLARED,
    USUAL_PORTS,
    Endpoint,
    HostProxy,
)
from headrace.engine import sandbox
from headrace.engine.attempts import BodyError, Handed
from headrace.engine.failures import BodyFailed
from headrace.engine.logs import LogFile
from headrace.model.wording import few
from headrace.runtime.messages import ComputeTask

REFUSALS_NAMED_MAX = 5
"""Refused hosts that a failure names."""


@contextlib.contextmanager
def declared_hosts(task: ComputeTask, log: LogFile) -> Iterator[ComputeTask]:
    """Yield the task with a proxy to its declared hosts in its environment, if it declares any.

    Writes the hosts that it asked for to the log. A failure inside the context names refused hosts.
    """
    hosts = task.sandbox.hosts
    if hosts is None or not (task.sandbox.on and sandbox.available()):
        yield task
        return

    def refused(endpoint: Endpoint, reason: str) -> None:
        log.say("warning", f"refused to connect to {endpoint}: {reason}")

    with HostProxy(hosts, task.sandbox.private_addresses, refused).serving() as proxy:
        try:
            yield _over(task, proxy)
        except BodyFailed as failure:
            failure.error = explained(failure.error, proxy.refusals)
            raise
        finally:
            if proxy.connected:
                log.say("info", f"connected to {_listed(proxy.connected)}")
            log.close()


def _over(task: ComputeTask, proxy: HostProxy) -> ComputeTask:
    handed = task.handed or Handed()
    ports = tuple(sorted({*(task.sandbox.ports or ()), proxy.port}))
    return msgspec.structs.replace(
        task,
        sandbox=msgspec.structs.replace(task.sandbox, ports=ports),
        handed=msgspec.structs.replace(handed, variables=handed.variables | proxy.variables()),
    )


def _listed(counts: Mapping[Endpoint, int]) -> str:
    return ", ".join(f"{endpoint} ({number})" for endpoint, number in sorted(counts.items()))


def explained(error: BodyError, refusals: Mapping[Endpoint, str]) -> BodyError:
    """Return a failure with the hosts that were refused, and the declaration that allows them."""
    if not refusals:
        return error
    undeclared = [
        endpoint
        for endpoint, reason in refusals.items()
        if reason in (HOST_NOT_DECLARED, PORT_NOT_DECLARED)
    ]
    declared = [endpoint for endpoint in refusals if endpoint not in undeclared]
    parts: list[str] = []
    hint = ""
    if declared:
        parts.append(f"connections to {_named(declared)} were refused")
        hint = refusals[declared[0]]
    if undeclared:
        parts.append(
            f"it asked for {_named(undeclared)}, outside of the hosts that this asset declares"
        )
        hint = (
            f"declare them, if it needs them: `sandbox: {{hosts: [{_declarations(undeclared)}]}}`"
        )
    return msgspec.structs.replace(error, message=f"{error.message}: {'; '.join(parts)}", hint=hint)


def _named(endpoints: Sequence[Endpoint]) -> str:
    return few(list(map(str, endpoints)), REFUSALS_NAMED_MAX)


def _declarations(endpoints: Sequence[Endpoint]) -> str:
    return ", ".join(
        endpoint.host if endpoint.port in USUAL_PORTS else f'"{endpoint}"'
        for endpoint in endpoints[:REFUSALS_NAMED_MAX]
    )
