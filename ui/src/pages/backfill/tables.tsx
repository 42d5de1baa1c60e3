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
  cell: (row: { asset: string; kind?: string }) => (
    <Link to={`/${PAGES[row.kind ?? ""] ?? "assets"}/${encodeURIComponent(row.asset)}`}>
      {row.asset}
    </Link>
  ),
};
const count = (value: number) => value.toLocaleString("en");

const PLANNED: readonly Column<Schema["BackfillRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (row) => count(row.partitions) },
  {
    name: "From – to",
    cell: (row) => (
      <span className="mono">
        <span className="key">{row.from}</span>
        {row.to !== row.from && (
          <>
            {" "}
            – <span className="key">{row.to}</span>
          </>
        )}
        {row.ranges > 1 && (
          <div className="muted small">{many(row.ranges, "range")}, gaps between</div>
        )}
      </span>
    ),
  },
  { name: "Why", className: "why", cell: (row) => row.why },
  { name: "How", cell: (row) => row.how },
];

export function Planned({ rows }: { rows: readonly Schema["BackfillRow"][] }) {
  return (
    <Table label="Planned partitions" columns={PLANNED} rows={rows} keyOf={(row) => row.asset} />
  );
}

type Change = Schema["ChangedRow"];
type Published = Schema["BackfillRow"] & { change: Change | undefined };
/** Rows that differ are known only of what is computed alongside production. */
const differing = (published: Published, value: (change: Change) => number) =>
  published.change ? count(value(published.change)) : published.how === "staged" ? "0" : "";

const PUBLISHED: readonly Column<Published>[] = [
  { ...asset, name: "Node" },
  { name: "Planned", className: "number", cell: (row) => count(row.partitions) },
  { name: "Published", className: "number", cell: (row) => count(row.published ?? 0) },
  { name: "Rows", className: "number", cell: (row) => count(row.rows ?? 0) },
  {
    name: "Added",
    className: "number",
    cell: (row) => differing(row, (change) => change.rows_added),
  },
  {
    name: "Changed",
    className: "number",
    cell: (row) => differing(row, (change) => change.rows_changed),
  },
  {
    name: "Removed",
    className: "number",
    cell: (row) => differing(row, (change) => change.rows_removed),
  },
];

const DIFFERENCE: Column<Published> = {
  name: "Difference",
  cell: (row) =>
    row.published && row.kind !== "export" ? (
      <Link to={`/${PAGES[row.kind] ?? "assets"}/${encodeURIComponent(row.asset)}?part=difference`}>
        What changed
      </Link>
    ) : null,
};

/** What a backfill that has ended has published, node by node: rows of several nodes are never added up. */
export function PublishedNodes({
  rows,
  changes,
  newest = false,
}: {
  rows: readonly Schema["BackfillRow"][];
  changes: readonly Change[];
  /** Whether it has ended just now, so that the newest change of each node is its own. */
  newest?: boolean;
}) {
  const published = rows.map((row) => ({
    ...row,
    change: changes.find((change) => change.asset === row.asset),
  }));
  return (
    <Table
      label="Published partitions"
      columns={newest ? [...PUBLISHED, DIFFERENCE] : PUBLISHED}
      rows={published}
      keyOf={(row) => row.asset}
    />
  );
}

const SKIPPED: readonly Column<Schema["SkippedRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (row) => count(row.partitions) },
  { name: "Reason", className: "why", cell: (row) => row.why },
];

export function Skipped({ rows }: { rows: readonly Schema["SkippedRow"][] }) {
  return (
    <Table
      label="Skipped partitions"
      columns={SKIPPED}
      rows={rows}
      keyOf={(row) => `${row.asset}|${row.why}`}
    />
  );
}

const FAILURES: readonly Column<Schema["FailureRow"]>[] = [
  asset,
  { name: "Partition", cell: (row) => <span className="mono">{row.partition}</span> },
  { name: "State", cell: (row) => <State of={row.state} /> },
  {
    name: "Why",
    className: "why",
    cell: (row) => (
      <>
        {row.reason}
        {row.checks
          .filter((check) => check.outcome === "failed")
          .map((check) => (
            <div key={check.name} className="muted small">
              {check.name}: {check.detail}
            </div>
          ))}
        {row.first && (
          <p>
            <strong>First, a person’s:</strong> {row.first}
          </p>
        )}
      </>
    ),
  },
  {
    name: "Log",
    cell: (row) =>
      row.attempt && (
        <Link
          to={`?${new URLSearchParams({ attempt: row.attempt })}`}
          preventScrollReset
          aria-label={`Log of ${row.asset} ${row.partition}`}
        >
          Log
        </Link>
      ),
  },
];

export function Failures({ rows }: { rows: readonly Schema["FailureRow"][] }) {
  return (
    <Panel title="Failed partitions" aside={many(rows.length, "partition")}>
      <Table
        label="Failed partitions"
        columns={FAILURES}
        rows={rows}
        keyOf={(row) => `${row.asset}@${row.partition}`}
      />
    </Panel>
  );
}

const CHANGES: readonly Column<Schema["ChangedRow"]>[] = [
  asset,
  { name: "Partitions", className: "number", cell: (row) => count(row.partitions) },
  { name: "Rows added", className: "number", cell: (row) => count(row.rows_added) },
  { name: "Changed", className: "number", cell: (row) => count(row.rows_changed) },
  { name: "Removed", className: "number", cell: (row) => count(row.rows_removed) },
];

export function Changes({ rows }: { rows: readonly Schema["ChangedRow"][] }) {
  return <Table label="What changed" columns={CHANGES} rows={rows} keyOf={(row) => row.asset} />;
}
