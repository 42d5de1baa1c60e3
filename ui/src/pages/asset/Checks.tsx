// What is checked before anybody sees the data, and what it came to.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Shape, State, toneOf, wordOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";

type Check = Schema["CheckStandingRow"];
const HISTORY = 14;

const COLUMNS: readonly Column<Check>[] = [
  { name: "Last", cell: (one) => <State of={one.state === "never" ? "never_ran" : one.state} /> },
  { name: "Check", cell: (one) => <div><Link className="mono" to={`?${new URLSearchParams({ part: "checks", check: one.check })}`}>{one.check}</Link><div className="muted small">{one.kind}, {one.severity}; {one.file}:{one.line}</div></div> },
  { name: "Verdict", cell: (one) => one.verdict && <div><State of={one.verdict} /><div className="muted small">{one.partition}</div></div> },
  { name: "Failing rows", className: "number", cell: (one) => (one.failing === null ? "" : `${one.failing.toLocaleString("en")}${one.rows === null ? "" : ` of ${one.rows.toLocaleString("en")}`}`) },
  { name: "At", cell: (one) => one.at && <Time at={one.at} /> },
  { name: "Before, newest first", cell: (one) => <Outcomes rows={one.history} /> },
  { name: "Failed", className: "number", cell: (one) => `${one.failures} of ${one.runs}` },
  { name: "Why", className: "why", cell: (one) => one.reason ?? "" },
];

export function Checks({ name }: { name: string }) {
  const [params] = useSearchParams();
  const wanted = params.get("check");
  return (
    <Loaded document={useResponse("/api/v1/checks", { query: { select: [name], history: HISTORY } })}>
      {(all) => {
        const rows = wanted ? all.filter((one) => one.check === wanted) : all;
        return (
          <Panel title="Checks" aside={wanted ? <Link to="?part=checks">All {all.length}</Link> : `${all.length}`}>
            {rows.length ? <Table label="Checks" columns={COLUMNS} rows={rows} keyOf={(one) => `${one.node} ${one.check}`} /> : <Empty>{wanted ? "It has no check of that name." : <>Nothing is checked of it but its shape. <code>{`headrace checks suggest ${name}`}</code> says which checks its past allows.</>}</Empty>}
          </Panel>
        );
      }}
    </Loaded>
  );
}

function Outcomes({ rows }: { rows: Check["history"] }) {
  const said = rows.map((row) => `${row.partition} ${wordOf(row.outcome)}`).join(", ");
  return (
    <span className="outcomes" role="img" aria-label={said || "never ran"} title={said}>
      {rows.map((row) => <span key={row.attempt + row.partition} className={`tone-${toneOf(row.outcome)}`}><Shape of={toneOf(row.outcome)} state={row.outcome} size={12} /></span>)}
    </span>
  );
}
