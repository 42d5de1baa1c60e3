// How a source's deliveries are read, and which deliveries that was learnt from.
import type { Schema } from "../../api/client";
import { Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";

type Row = Schema["LearntRow"];

export function Learnt({ row }: { row: Row }) {
  const others = row.disagreed.filter((one) => one.column === null || !row.undecided.includes(one.column));
  return (
    <Panel title="Learnt format" aside={row.by === "contract" ? "types by the contract" : `from ${counted(row.deliveries.length)}`}>
      <div className="body">
        {row.warnings.map((text) => <p key={text}>{text}</p>)}
        {others.map((one) => <p key={one.text}>Doesn&apos;t agree: {one.text}</p>)}
        <dl className="facts">
          <dt>Format</dt><dd>{row.read_as}</dd>
          <dt>Learnt from</dt><dd><code>{row.deliveries[0]}</code>{row.deliveries.length > 1 && ` and ${row.deliveries.length - 1} more`}</dd>
        </dl>
        <details>
          <summary>Columns ({row.columns.length})</summary>
          <Table label="Learnt columns" columns={COLUMNS} rows={row.columns} keyOf={(one) => one.name} />
        </details>
      </div>
    </Panel>
  );
}

const COLUMNS: readonly Column<Row["columns"][number]>[] = [
  { name: "Column", cell: (one) => <span className="mono">{one.name}</span> },
  { name: "Type", cell: (one) => <span className="mono">{one.type}</span> },
];

const counted = (count: number) => (count === 1 ? "1 delivery" : `${count.toLocaleString("en")} deliveries`);
