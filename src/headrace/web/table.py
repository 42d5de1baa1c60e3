"""All that the API answers: one line an endpoint."""

from __future__ import annotations

from headrace.web import reads, views
from headrace.web.endpoints import Endpoint, Get

TABLE: tuple[Endpoint, ...] = (
    Get("/status", reads.status),
    Get("/figures/{figure}", reads.figure),
    Get("/consumers/{name}", views.consumer),
    Get("/assets", views.catalog),
    Get("/assets/{name}", views.node),
    Get("/assets/{name}/partitions", views.partitions),
    Get("/assets/{name}/code", views.code),
    Get("/why/{subject:path}", reads.why),
    Get("/incidents", reads.incidents),
    Get("/incidents/{incident}", reads.incident),
    Get("/incidents/{incident}/repair", reads.repair),
    Get("/runs", reads.runs),
    Get("/runs/{run}", views.run),
    Get("/attempts/{attempt}/logs", views.logs),
    Get("/backfills", reads.backfills),
    Get("/backfills/{plan}", reads.backfill),
    Get("/deliveries/{source}", reads.deliveries),
    Get("/checks", reads.checks),
    Get("/quarantine", reads.quarantine),
    Get("/paused", reads.paused),
    Get("/contract/{node}", reads.contract),
    Get("/contract/{node}/diff", reads.contract_diff),
    Get("/lineage/{column:path}", reads.lineage),
    Get("/graph/view", views.graph),
    Get("/search", views.search),
    Get("/plan", reads.plan),
    Get("/ls", reads.ls),
    Get("/audit", reads.audit),
    Get("/audit/verify", reads.audit_verify),
)
