// What is checked before anybody sees the data, and what it came to.
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Shape, State, toneOf, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";
import { WHOLE, partitionName } from "../../parts/partitions";

type Check = Schema["CheckStandingRow"];
const HISTORY = 14;

const COLUMNS: readonly Column<Check>[] = [
  { name: "Last", cell: (row) => <State of={row.state === "never" ? "never_ran" : row.state} /> },
  {
    name: "Check",
    cell: (row) => (
      <div>
        <Link className="mono" to={`?${new URLSearchParams({ part: "checks", check: row.check })}`}>
          {row.check}
        </Link>
        <div className="muted small">
          {row.kind !== row.check && `${row.kind}, `}
          {row.severity}; {row.file}:{row.line}
        </div>
      </div>
    ),
  },
  {
    name: "Verdict",
    cell: (row) =>
      row.verdict && (
        <div>
          <State of={row.verdict} />
          <div className="muted small">{row.partition !== WHOLE && row.partition}</div>
        </div>
      ),
  },
  {
    name: "Failing rows",
    className: "number",
    cell: (row) =>
      row.failing === null
        ? ""
        : `${row.failing.toLocaleString("en")}${row.rows === null ? "" : ` of ${row.rows.toLocaleString("en")}`}`,
  },
  { name: "At", cell: (row) => row.at && <Time at={row.at} /> },
  { name: "Earlier outcomes", cell: (row) => <Outcomes rows={row.history} /> },
  { name: "Failed", className: "number", cell: (row) => `${row.failures} of ${row.runs}` },
  { name: "Why", className: "why", cell: (row) => row.reason ?? "" },
];

export function Checks({ name }: { name: string }) {
  const [params] = useSearchParams();
  const check = params.get("check");
  return (
    <Loaded
      document={useResponse("/api/v1/checks", { query: { select: [name], history: HISTORY } })}
    >
      {(all) => {
        const rows = check ? all.filter((row) => row.check === check) : all;
        return (
          <Panel
            title="Checks"
            aside={check ? <Link to="?part=checks">All {all.length}</Link> : `${all.length}`}
          >
            {rows.length ? (
              <Table
                label="Checks"
                columns={COLUMNS}
                rows={rows}
                keyOf={(row) => `${row.node} ${row.check}`}
              />
            ) : (
              <Empty>
                {check ? (
                  "It has no check of that name."
                ) : (
                  <>
                    Nothing is checked of it but its shape.{" "}
                    <code>{`headrace checks suggest ${name}`}</code> says which checks its past
                    allows.
                  </>
                )}
              </Empty>
            )}
          </Panel>
        );
      }}
    </Loaded>
  );
}

function Outcomes({ rows }: { rows: Check["history"] }) {
  const label = rows
    .map((row) => `${partitionName(row.partition)} ${labelOf(row.outcome)}`)
    .join(", ");
  return (
    <span className="outcomes" role="img" aria-label={label || "never ran"} title={label}>
      {rows.map((row) => (
        <span key={row.attempt + row.partition} className={`tone-${toneOf(row.outcome)}`}>
          <Shape of={toneOf(row.outcome)} state={row.outcome} size={12} />
        </span>
      ))}
    </span>
  );
}
