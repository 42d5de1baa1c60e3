// The rows of a backfill: what it makes, what it leaves out, what couldn't be made, what is different now.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { Panel } from "../../parts/Page";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { many } from "../../parts/words";
import "./backfill.css";

const PAGES: Record<string, string> = { source: "sources", export: "consumers" };
const asset = {
  name: "Asset",
  cell: (one: { asset: string; kind?: string }) => (
    <Link to={`/${PAGES[one.kind ?? ""] ?? "assets"}/${encodeURIComponent(one.asset)}`}>{one.asset}</Link>
  ),
};
const count = (value: number) => value.toLocaleString("en");

const MADE: readonly Column<Schema["BackfillRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (one) => count(one.partitions) },
  { name: "From – to", cell: (one) => <span className="mono"><span className="key">{one.from}</span>{one.to !== one.from && <> – <span className="key">{one.to}</span></>}{one.ranges > 1 && <div className="muted small">{many(one.ranges, "range")}, gaps between</div>}</span> },
  { name: "Why", className: "why", cell: (one) => one.why },
  { name: "How", cell: (one) => one.how },
];

export function Planned({ rows }: { rows: readonly Schema["BackfillRow"][] }) {
  return <Table label="What is made" columns={MADE} rows={rows} keyOf={(one) => one.asset} />;
}

type Change = Schema["ChangedRow"];
type Published = Schema["BackfillRow"] & { change: Change | undefined };
/** Rows that differ are known only of what is made beside production. */
const differing = (one: Published, value: (change: Change) => number) =>
  one.change ? count(value(one.change)) : one.how === "staged" ? "0" : "";

const PUBLISHED: readonly Column<Published>[] = [
  { ...asset, name: "Node" },
  { name: "Planned", className: "number", cell: (one) => count(one.partitions) },
  { name: "Published", className: "number", cell: (one) => count(one.published ?? 0) },
  { name: "Rows", className: "number", cell: (one) => count(one.rows ?? 0) },
  { name: "Added", className: "number", cell: (one) => differing(one, (change) => change.rows_added) },
  { name: "Changed", className: "number", cell: (one) => differing(one, (change) => change.rows_changed) },
  { name: "Removed", className: "number", cell: (one) => differing(one, (change) => change.rows_removed) },
];

/** What a backfill that has ended has published, node by node: rows of several nodes are never added up. */
export function Made({ rows, changes }: { rows: readonly Schema["BackfillRow"][]; changes: readonly Change[] }) {
  const published = rows.map((row) => ({ ...row, change: changes.find((one) => one.asset === row.asset) }));
  return <Table label="What was published" columns={PUBLISHED} rows={published} keyOf={(one) => one.asset} />;
}

const SKIPPED: readonly Column<Schema["SkippedRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (one) => count(one.partitions) },
  { name: "Why not", className: "why", cell: (one) => one.why },
];

export function Skipped({ rows }: { rows: readonly Schema["SkippedRow"][] }) {
  return <Table label="What is left out" columns={SKIPPED} rows={rows} keyOf={(one) => `${one.asset}|${one.why}`} />;
}

const FAILURES: readonly Column<Schema["FailureRow"]>[] = [
  asset,
  { name: "Partition", cell: (one) => <span className="mono">{one.partition}</span> },
  { name: "State", cell: (one) => <State of={one.state} /> },
  { name: "Why", className: "why", cell: (one) => (
    <>
      {one.reason}
      {one.checks.filter((check) => check.outcome === "failed").map((check) => <div key={check.name} className="muted small">{check.name}: {check.detail}</div>)}
      {one.first && <p><strong>First, a person’s:</strong> {one.first}</p>}
    </>
  ) },
  { name: "Log", cell: (one) => one.attempt && <Link to={`?${new URLSearchParams({ attempt: one.attempt })}`} preventScrollReset aria-label={`Log of ${one.asset} ${one.partition}`}>Log</Link> },
];

export function Failures({ rows }: { rows: readonly Schema["FailureRow"][] }) {
  return <Panel title="What couldn’t be made" aside={many(rows.length, "partition")}><Table label="What couldn’t be made" columns={FAILURES} rows={rows} keyOf={(one) => `${one.asset}@${one.partition}`} /></Panel>;
}

const CHANGES: readonly Column<Schema["ChangedRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (one) => count(one.partitions) },
  { name: "Rows added", className: "number", cell: (one) => count(one.rows_added) },
  { name: "Changed", className: "number", cell: (one) => count(one.rows_changed) },
  { name: "Removed", className: "number", cell: (one) => count(one.rows_removed) },
];

export function Changes({ rows }: { rows: readonly Schema["ChangedRow"][] }) {
  return <Table label="What changed" columns={CHANGES} rows={rows} keyOf={(one) => one.asset} />;
}
