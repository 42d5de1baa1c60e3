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
      {to !== from && (
        <>
          {" "}
          – <span className="key">{to}</span>
        </>
      )}
    </span>
  );
}

const STEPS: readonly Column<Schema["StepRow"]>[] = [
  { name: "Step", className: "number", cell: (row) => row.n },
  { name: "What", cell: (row) => row.kind },
  { name: "Node", cell: (row) => <span className="mono">{row.node}</span> },
  { name: "Partitions", className: "number", cell: (row) => count(row.partitions) },
  { name: "From – to", cell: (row) => <Span from={row.from} to={row.to} /> },
  { name: "How", className: "why", cell: (row) => row.detail },
  { name: "Approval", cell: (row) => (row.needs_approval ? "needed" : "") },
];

export function Steps({ rows }: { rows: readonly Schema["StepRow"][] }) {
  const columns = rows.some((row) => row.needs_approval) ? STEPS : STEPS.slice(0, -1);
  return <Table label="Steps" columns={columns} rows={rows} keyOf={(row) => `${row.n}`} keys />;
}

const STALE: readonly Column<StaleRow>[] = [
  { name: "Node", cell: (row) => <span className="mono">{row.node}</span> },
  { name: "Partitions", className: "number", cell: (row) => count(row.partitions) },
  { name: "From – to", cell: (row) => <Span from={row.from} to={row.to} /> },
  { name: "Because", className: "why", cell: (row) => row.why },
];

export function Stale({ rows }: { rows: readonly StaleRow[] }) {
  return (
    <Table label="Invalidated partitions" columns={STALE} rows={rows} keyOf={(row) => row.node} />
  );
}

const WEAKENED: readonly Column<Schema["WeakenedRow"]>[] = [
  { name: "Node", cell: (row) => <span className="mono">{row.node}</span> },
  { name: "Promise", cell: (row) => row.what },
  { name: "Before", className: "why", cell: (row) => row.before },
  { name: "After", className: "why", cell: (row) => row.after },
  {
    name: "Where",
    cell: (row) =>
      row.file && (
        <code>
          {row.file}
          {row.line !== null && `:${row.line}`}
        </code>
      ),
  },
];

export function Weakened({ rows }: { rows: readonly Schema["WeakenedRow"][] }) {
  return (
    <Table
      label="Weakened promises"
      columns={WEAKENED}
      rows={rows}
      keyOf={(row) => `${row.node} ${row.what}`}
    />
  );
}

const AGREEMENTS: readonly Column<Schema["AgreementRow"]>[] = [
  { name: "Contract of", cell: (row) => <span className="mono">{row.node}</span> },
  { name: "Takes back", className: "why", cell: (row) => row.changes.join("; ") },
  { name: "Domain", cell: (row) => row.domain },
  { name: "Owner", cell: (row) => row.owners.join(", ") },
  { name: "Agreement", className: "why", cell: agreementText },
];

function agreementText(row: Schema["AgreementRow"]): string {
  const { agreed } = row;
  if (agreed.length) return agreed.map((item) => `${item.by}: ${item.reason}`).join("; ");
  return row.needed ? "must agree" : "should agree; no rule asks for it";
}

/** The domains that read a contract which takes something back, and who agrees for them. */
export function Agreements({ rows }: { rows: readonly Schema["AgreementRow"][] }) {
  return (
    <Table
      label="Other domains"
      columns={AGREEMENTS}
      rows={rows}
      keyOf={(row) => `${row.node} ${row.domain}`}
    />
  );
}

const CHANGES: readonly Column<Change>[] = [
  { name: "Node", cell: (row) => <span className="mono">{row.node}</span> },
  { name: "Change", cell: (row) => changeText(row) },
  { name: "Columns", className: "why", cell: (row) => <Columns row={row} /> },
  { name: "Read by", className: "why", cell: (row) => readers(row).join(", ") },
  {
    name: "Where",
    cell: (row) =>
      row.file && (
        <code>
          {row.file}
          {row.line !== null && `:${row.line}`}
        </code>
      ),
  },
];

/** Kinds of changes that have another name for readers. */
const CHANGED: Record<string, string> = { body: "asset code" };

function changeText(change: Change): string {
  return [
    CHANGED[change.change] ?? change.change,
    change.breaking && "breaking",
    change.kept && "published data kept",
  ]
    .filter(Boolean)
    .join(", ");
}

function readers(change: Change): string[] {
  return [...new Set(change.effects.flatMap((effect) => effect.read_by))];
}

function Columns({ row }: { row: Change }) {
  if (!row.effects.length) return row.columns.join(", ");
  return row.effects.map((effect) => `${effect.column} (${effect.effect})`).join(", ");
}

export function Changes({ rows }: { rows: readonly Change[] }) {
  return (
    <Table
      label="Changes"
      columns={CHANGES}
      rows={rows}
      keyOf={(row) => `${row.node} ${row.change}`}
    />
  );
}

/** Changed files of code that no node declares, and through which lines each asset uses them. */
export function Code({ rows }: { rows: readonly Change[] }) {
  const uses = rows.flatMap((row) => row.code.map((file) => ({ node: row.node, ...file })));
  if (!uses.length) return null;
  return (
    <ul className="body stack small">
      {uses.map((use) => (
        <li key={`${use.node} ${use.path}`}>
          <code>{use.path}</code> {use.change}: {use.node} uses it:{" "}
          <span className="mono">{use.via}</span>
        </li>
      ))}
    </ul>
  );
}

const FILES: readonly Column<Schema["PlannedFileRow"]>[] = [
  { name: "File", cell: (row) => <code>{row.path}</code> },
  { name: "Change", cell: (row) => row.change },
  { name: "SHA-256", cell: (row) => <Hash of={row.sha256} /> },
];

function Hash({ of }: { of: string | null }) {
  return of && <code title={of}>{of.slice(0, HASH_SHOWN)}</code>;
}

export function Files({ rows }: { rows: readonly Schema["PlannedFileRow"][] }) {
  const changed = rows.filter((row) => row.change !== "unchanged");
  const same = rows.length - changed.length;
  if (!changed.length) return null;
  return (
    <Panel title="Files" aside={same > 0 && `${many(same, "other file")} unchanged`}>
      <Table label="Files" columns={FILES} rows={changed} keyOf={(row) => row.path} />
    </Panel>
  );
}

/** The backfills that compute again what a plan invalidates, to be planned on their own page. */
export function NeededBackfills({ rows }: { rows: readonly Schema["NeededRow"][] }) {
  return (
    <div className="body stack">
      <p>Readers keep what they see until a backfill computes again what became stale:</p>
      {rows.map((row) => {
        const query = { select: row.select.join(" "), from: row.from, to: row.to, mode: row.mode };
        const what = `Backfill ${query.select.replaceAll(" ", ", ")}, ${row.from} – ${row.to}`;
        return (
          <div key={what + row.mode} className="stack">
            {row.command ? (
              <Link to={`/backfills/new?${new URLSearchParams(query)}`}>{what}</Link>
            ) : (
              <span>{what}</span>
            )}
            {row.counts && <p className="muted">Makes {row.counts.text}.</p>}
            {row.command && <Command text={row.command} />}
          </div>
        );
      })}
    </div>
  );
}
