// How a source's deliveries are read, and which deliveries that was learnt from.
import type { Schema } from "../../api/client";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";

type Row = Schema["LearntRow"];

export function Learnt({ row }: { row: Row }) {
  const others = row.disagreed.filter(
    (item) => item.column === null || !row.undecided.includes(item.column),
  );
  return (
    <Panel
      title="Learnt format"
      aside={
        row.by === "contract" ? "types by the contract" : `from ${counted(row.deliveries.length)}`
      }
    >
      <div className="body">
        {row.warnings.map((text) => (
          <p key={text}>{text}</p>
        ))}
        {others.map((other) => (
          <p key={other.text}>Doesn&apos;t agree: {other.text}</p>
        ))}
        <dl className="facts">
          <dt>Format</dt>
          <dd>{row.read_as}</dd>
          <dt>Learnt from</dt>
          <dd>
            <code>{row.deliveries[0]}</code>
            {row.deliveries.length > 1 && ` and ${row.deliveries.length - 1} more`}
          </dd>
        </dl>
        <details>
          <summary>Columns ({row.columns.length})</summary>
          <Table
            label="Learnt columns"
            columns={COLUMNS}
            rows={row.columns}
            keyOf={(row) => row.name}
          />
        </details>
      </div>
    </Panel>
  );
}

const COLUMNS: readonly Column<Row["columns"][number]>[] = [
  { name: "Column", cell: (row) => <span className="mono">{row.name}</span> },
  { name: "Type", cell: (row) => <span className="mono">{row.type}</span> },
];

const counted = (count: number) =>
  count === 1 ? "1 delivery" : `${count.toLocaleString("en")} deliveries`;
