// A run's attempts over time: each a bar of phases that follow each other, all on one axis.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { State } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { lasting } from "../../parts/durations";
import { many } from "../../parts/words";
import "../../parts/ledger.css";
import "./gantt.css";

type Attempt = Schema["TimedAttempt"];
type Axis = { from: number; seconds: number };
const PHASES = { retry: "waits to be tried again", queue: "waits for a slot", dispatch: "comes to a worker", run: "runs", audit: "is checked", publish: "is published" } as const;

export function Gantt({ attempts, shown }: { attempts: readonly Attempt[]; shown: readonly Attempt[] }) {
  const [params] = useSearchParams();
  const axis = axisOf(attempts);
  const tries = triesOf(attempts);
  const log = (one: Attempt) => `?${new URLSearchParams({ ...(params.has("failed") ? { failed: "" } : {}), attempt: one.id })}`;
  const columns: readonly Column<Attempt>[] = [
    { name: "Node", cell: (one) => <div><Link to={`/assets/${encodeURIComponent(one.node)}`}>{one.node}</Link><div className="muted small">{spanned(one.partitions)}{tries.get(one.id)! > 1 && `, try ${tries.get(one.id)}`}</div></div> },
    { name: "State", cell: (one) => <State of={one.state} /> },
    { name: `Over ${lasting(axis.seconds)}`, className: "bars", cell: (one) => <Bar attempt={one} axis={axis} /> },
    { name: "Took", className: "number", cell: (one) => lasting(one.phases.reduce((sum, phase) => sum + phase.seconds, 0)) },
    { name: "Rows", className: "number", cell: (one) => one.rows?.toLocaleString("en") ?? "" },
    { name: "Log", cell: (one) => <Link to={log(one)} preventScrollReset aria-label={`Log of ${one.node} ${one.partitions[0] ?? ""}`} aria-current={params.get("attempt") === one.id ? "true" : undefined}>Log</Link> },
  ];
  return (
    <div className="gantt">
      <Table label="Attempts" columns={columns} rows={shown} keyOf={(one) => one.id} opens={(one) => log(one)} keys />
      <p className="row small muted" style={{ padding: "var(--space-3) var(--space-4)" }}>
        {Object.entries(PHASES).map(([kind, said]) => <span key={kind}><span className={`swatch phase ${kind}`} />{kind}: {said}</span>)}
      </p>
    </div>
  );
}

function Bar({ attempt, axis }: { attempt: Attempt; axis: Axis }) {
  const said = attempt.phases.map((phase) => `${phase.kind} ${lasting(phase.seconds)}`).join(", ");
  return (
    <div className="bar" role="img" aria-label={said} title={said}>
      {attempt.phases.map((phase) => {
        const left = ((Date.parse(phase.from) - axis.from) / 1000 / axis.seconds) * 100;
        return <span key={phase.kind} className={`phase ${phase.kind}`} style={{ left: `min(${left}%, calc(100% - 2px))`, width: `max(${(phase.seconds / axis.seconds) * 100}%, 2px)` }} />;
      })}
    </div>
  );
}

export function axisOf(attempts: readonly Attempt[]): Axis {
  const phases = attempts.flatMap((one) => one.phases);
  const from = phases.reduce((least, one) => Math.min(least, Date.parse(one.from)), Infinity);
  const to = phases.reduce((most, one) => Math.max(most, Date.parse(one.to)), -Infinity);
  return { from, seconds: Math.max((to - from) / 1000, 0.001) };
}

/** The how many-th try of its partitions each attempt is. */
function triesOf(attempts: readonly Attempt[]): Map<string, number> {
  const seen = new Map<string, number>();
  return new Map(attempts.map((one) => {
    const key = JSON.stringify([one.node, one.kind, one.partitions]);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    return [one.id, seen.get(key)!];
  }));
}

export function spanned(partitions: readonly string[]): string {
  return partitions.length > 1 ? `${many(partitions.length, "partition")}, ${partitions[0]} to ${partitions.at(-1)}` : (partitions[0] ?? "");
}
