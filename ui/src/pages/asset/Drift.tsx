// How the newest delivery that differed did so from what was expected, and what the files change of the contract.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Loaded, Panel } from "../../parts/Page";
import { Rivals, scoreText } from "../../parts/Rivals";
import { Table, type Column } from "../../parts/Table";
import { Time } from "../../parts/Time";

type Change = Schema["ContractChangeRow"];

const COLUMNS: readonly Column<Change>[] = [
  {
    name: "What",
    cell: (row) => (
      <>
        {row.kind}
        {row.policy === "block" && <div className="small tone-bad">blocks</div>}
      </>
    ),
  },
  {
    name: "Column",
    cell: (row) => (
      <span className="mono">
        {row.column}
        {row.to !== null && <> → {row.to}</>}
      </span>
    ),
  },
  {
    name: "Evidence",
    className: "why",
    cell: (row) => (
      <>
        {row.evidence.join("; ")}
        {row.score !== null && <div className="muted small">score {scoreText(row.score)}</div>}
        <Rivals rows={row.rivals} />
      </>
    ),
  },
  { name: "Used by", className: "why", cell: (row) => row.used_by.join(", ") },
];

export function Drift({ name }: { name: string }) {
  const history = (
    <Link to={`/contracts/${encodeURIComponent(name)}`}>
      What it is held to, and how that changed
    </Link>
  );
  return (
    <Loaded document={useResponse("/api/v1/contract/{node}/diff", { path: { node: name } })}>
      {({ changes, partition, at }) => (
        <Panel title="Schema drift" aside={history}>
          {changes.length ? (
            <>
              {partition && at && (
                <p className="body">
                  The newest delivery that differed: <span className="mono">{partition}</span>,{" "}
                  <Time at={at} />.
                </p>
              )}
              <Table
                label="Schema drift"
                columns={COLUMNS}
                rows={changes}
                keyOf={(row) => `${row.kind} ${row.column} ${row.to ?? ""}`}
              />
            </>
          ) : (
            <Empty>
              <strong>No delivery has differed.</strong> A column that is renamed, dropped, added or
              of another type stands here, with why it is thought so and who uses it.
            </Empty>
          )}
        </Panel>
      )}
    </Loaded>
  );
}
