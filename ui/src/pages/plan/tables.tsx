// The rows of a plan: its steps, what becomes stale, whose promise is weaker, and the files.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { Command } from "../../parts/Command";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { many } from "../../parts/words";
import "../backfill/backfill.css";

type Plan = Schema["PlanResponse"];
type StaleRow = Plan["stale"][number];
type Change = Plan["changes"][number];

const count = (value: number | null) => value?.toLocaleString("en") ?? "";
/** Of a hash: enough to tell two files apart by eye; the whole is the cell's title. */
const HASH_SHOWN = 12;

function Span({ from, to }: { from: string | null; to: string | null }) {
  if (!from) return null;
  return (
    <span className="mono">
      <span className="key">{from}</span>
      {to !== from && <> – <span className="key">{to}</span></>}
    </span>
  );
}

const STEPS: readonly Column<Schema["StepRow"]>[] = [
  { name: "Step", className: "number", cell: (one) => one.n },
  { name: "What", cell: (one) => one.kind },
  { name: "Node", cell: (one) => <span className="mono">{one.node}</span> },
  { name: "Partitions", className: "number", cell: (one) => count(one.partitions) },
  { name: "From – to", cell: (one) => <Span from={one.from} to={one.to} /> },
  { name: "How", className: "why", cell: (one) => one.detail },
  { name: "Approval", cell: (one) => (one.needs_approval ? "needed" : "") },
];

export function Steps({ rows }: { rows: readonly Schema["StepRow"][] }) {
  const columns = rows.some((one) => one.needs_approval) ? STEPS : STEPS.slice(0, -1);
  return <Table label="Steps" columns={columns} rows={rows} keyOf={(one) => `${one.n}`} keys />;
}

const STALE: readonly Column<StaleRow>[] = [
  { name: "Node", cell: (one) => <span className="mono">{one.node}</span> },
  { name: "Partitions", className: "number", cell: (one) => count(one.partitions) },
  { name: "From – to", cell: (one) => <Span from={one.from} to={one.to} /> },
  { name: "Because", className: "why", cell: (one) => one.why },
];

export function Stale({ rows }: { rows: readonly StaleRow[] }) {
  return <Table label="Invalidated partitions" columns={STALE} rows={rows} keyOf={(one) => one.node} />;
}

const WEAKENED: readonly Column<Schema["WeakenedRow"]>[] = [
  { name: "Node", cell: (one) => <span className="mono">{one.node}</span> },
  { name: "Promise", cell: (one) => one.what },
  { name: "Before", className: "why", cell: (one) => one.before },
  { name: "After", className: "why", cell: (one) => one.after },
  { name: "Where", cell: (one) => one.file && <code>{one.file}{one.line && `:${one.line}`}</code> },
];

export function Weakened({ rows }: { rows: readonly Schema["WeakenedRow"][] }) {
  return <Table label="Weakened promises" columns={WEAKENED} rows={rows} keyOf={(one) => `${one.node} ${one.what}`} />;
}

const CHANGES: readonly Column<Change>[] = [
  { name: "Node", cell: (one) => <span className="mono">{one.node}</span> },
  { name: "Change", cell: (one) => said(one) },
  { name: "Columns", className: "why", cell: (one) => <Columns row={one} /> },
  { name: "Read by", className: "why", cell: (one) => readers(one).join(", ") },
  { name: "Where", cell: (one) => one.file && <code>{one.file}{one.line && `:${one.line}`}</code> },
];

function said(one: Change): string {
  return [one.change, one.breaking && "breaking", one.kept && "published data kept"].filter(Boolean).join(", ");
}

function readers(one: Change): string[] {
  return [...new Set(one.effects.flatMap((effect) => effect.read_by))];
}

function Columns({ row }: { row: Change }) {
  if (!row.effects.length) return row.columns.join(", ");
  return row.effects.map((effect) => `${effect.column} (${effect.effect})`).join(", ");
}

export function Changes({ rows }: { rows: readonly Change[] }) {
  return <Table label="Changes" columns={CHANGES} rows={rows} keyOf={(one) => `${one.node} ${one.change}`} />;
}

/** Changed files of code that no node declares, and through which lines each asset uses them. */
export function Code({ rows }: { rows: readonly Change[] }) {
  const uses = rows.flatMap((one) => one.code.map((file) => ({ node: one.node, ...file })));
  if (!uses.length) return null;
  return (
    <ul className="body stack small">
      {uses.map((one) => (
        <li key={`${one.node} ${one.path}`}>
          <code>{one.path}</code> {one.change}: {one.node} uses it: <span className="mono">{one.via}</span>
        </li>
      ))}
    </ul>
  );
}

const FILES: readonly Column<Schema["PlannedFileRow"]>[] = [
  { name: "File", cell: (one) => <code>{one.path}</code> },
  { name: "Change", cell: (one) => one.change },
  { name: "SHA-256", cell: (one) => <Hash of={one.sha256} /> },
];

function Hash({ of }: { of: string | null }) {
  return of && <code title={of}>{of.slice(0, HASH_SHOWN)}</code>;
}

export function Files({ rows }: { rows: readonly Schema["PlannedFileRow"][] }) {
  const changed = rows.filter((one) => one.change !== "unchanged");
  const same = rows.length - changed.length;
  if (!changed.length) return null;
  return (
    <Panel title="Files" aside={same > 0 && `${many(same, "other file")} unchanged`}>
      <Table label="Files" columns={FILES} rows={changed} keyOf={(one) => one.path} />
    </Panel>
  );
}

/** The backfills that compute again what a plan invalidates, to be planned on their own page. */
export function Again({ rows }: { rows: readonly Schema["NeededRow"][] }) {
  return (
    <div className="body stack">
      <p>Readers keep what they see until a backfill computes again what became stale:</p>
      {rows.map((one) => {
        const asked = { select: one.select.join(" "), from: one.from, to: one.to, mode: one.mode };
        return (
          <div key={one.command} className="stack">
            <Link to={`/backfills/new?${new URLSearchParams(asked)}`}>
              Backfill {one.select.join(", ")}, {one.from} – {one.to}
            </Link>
            {one.counts && <p className="muted">Makes {one.counts.text}.</p>}
            <Command text={one.command} />
          </div>
        );
      })}
    </div>
  );
}
