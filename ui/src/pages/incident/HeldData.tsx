// What an incident is about, as it was delivered: the columns that differ, and rows that wait in quarantine.
import { Link } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { addressOf } from "../../parts/addresses";
import { Panel, Placeholder } from "../../parts/Page";
import { WHOLE, partitionName, targetOf } from "../../parts/partitions";
import { Rivals, scoreText } from "../../parts/Rivals";
import { Table, type Column } from "../../parts/Table";
import { cellText } from "../../parts/values";
import { Held, useHeld } from "../asset/Held";

type Row = Schema["IncidentRow"];
type Change = Schema["ContractChangeRow"];
type Sample = Schema["QuarantineRow"]["sample"];
/** So many values of a column are shown. */
const VALUES_MAX = 3;

/** Nothing where the cause has no partition, its columns don't differ, and no row of it waits. */
export function HeldData({ row }: { row: Row }) {
  const { node, partition, kind } = row.cause;
  const about = partition ?? WHOLE;
  const held = useHeld(node, about, partition !== null && row.state !== "resolved");
  const contract = useResponse(
    "/api/v1/contract/{node}/diff",
    { path: { node: targetOf(node, about) } },
    partition !== null && kind === "schema_change",
  );
  if (partition === null) return null;
  if (contract.isLoading) return <Placeholder problem={null} />;
  const differs = kind === "schema_change" && contract.data && !contract.isPlaceholderData;
  // the rest is what saved files change of the contract
  const changes = differs ? contract.data.changes.filter((change) => change.takes === null) : [];
  const query = new URLSearchParams({ part: "partitions", partition });
  return (
    <>
      {changes.length > 0 && (
        <Panel title="Changed columns" aside={partitionName(partition)}>
          <Table
            label="Changed columns"
            columns={columnsOf(held.flatMap(({ sample }) => sample))}
            rows={changes}
            keyOf={(change) => `${change.kind} ${change.column} ${change.to ?? ""}`}
          />
        </Panel>
      )}
      {held.length > 0 && (
        <Panel
          title="Held data"
          aside={
            <Link
              to={`${addressOf("asset", node)}?${query}`}
            >{`${node} ${partitionName(partition)}`}</Link>
          }
        >
          <div className="body stack">
            {held.map((item) => (
              <Held key={item.attempt} row={{ ...item, repair: null }} />
            ))}
          </div>
        </Panel>
      )}
    </>
  );
}

const columnsOf = (sample: Sample): readonly Column<Change>[] => [
  {
    name: "Column",
    cell: (row) => (
      <>
        <code>{cellText(row.column)}</code>
        <div className="muted small">{row.kind}</div>
      </>
    ),
  },
  {
    name: "Proposal",
    cell: (row) => (
      <>
        {row.to !== null && <code>{cellText(row.to)}</code>}
        <Rivals rows={row.rivals} />
      </>
    ),
  },
  {
    name: "Values",
    cell: (row) =>
      valuesOf(sample, row.to ?? row.column).map((value) => (
        <div key={value}>
          <code>{value}</code>
        </div>
      )),
  },
  {
    name: "Score",
    className: "number",
    cell: (row) => (row.score === null ? "" : scoreText(row.score)),
  },
  { name: "Evidence", className: "why", cell: (row) => row.evidence.join("; ") },
];

/** Different values of a column in held rows. */
function valuesOf(sample: Sample, column: string): string[] {
  const values = sample.flatMap((row) => {
    const value = (row as Record<string, unknown>)[column];
    return value === undefined ? [] : [cellText(value)];
  });
  return [...new Set(values)].slice(0, VALUES_MAX);
}
