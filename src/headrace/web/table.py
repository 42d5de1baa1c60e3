"""All that the API answers: one line an endpoint."""

from __future__ import annotations

from headrace.web import reads
from headrace.web.endpoints import Endpoint, Get

TABLE: tuple[Endpoint, ...] = (
    Get("/status", reads.status),
    Get("/figures/{figure}", reads.figure),
    Get("/why/{subject:path}", reads.why),
    Get("/incidents", reads.incidents),
    Get("/incidents/{incident}", reads.incident),
    Get("/incidents/{incident}/repair", reads.repair),
    Get("/runs", reads.runs),
    Get("/backfills", reads.backfills),
    Get("/backfills/{plan}", reads.backfill),
    Get("/deliveries/{source}", reads.deliveries),
    Get("/checks", reads.checks),
    Get("/quarantine", reads.quarantine),
    Get("/paused", reads.paused),
    Get("/contract/{node}", reads.contract),
    Get("/contract/{node}/diff", reads.contract_diff),
    Get("/lineage/{column:path}", reads.lineage),
    Get("/plan", reads.plan),
    Get("/ls", reads.ls),
    Get("/audit", reads.audit),
    Get("/audit/verify", reads.audit_verify),
)
