// Which partitions of an asset differ on two sides: a cell for each, with a letter; the same as a table.
import { useRef, type KeyboardEvent } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { Empty, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { cellText } from "../../parts/values";
import { many } from "../../parts/words";
import { partitionName } from "../../parts/partitions";
import { changed, countedText, partitionText, STATES } from "./differenceTexts";

type Difference = Schema["SnapshotDifferenceResponse"];
type PartitionRow = Schema["PartitionDifferenceRow"];

const PARTITION_COLUMNS: readonly Column<PartitionRow>[] = [
  { name: "Partition", cell: (row) => <PartitionLink row={row} /> },
  {
    name: "State",
    cell: (row) => (
      <>
        <Letter state={row.state} /> {STATES[row.state]?.words ?? row.state}
      </>
    ),
  },
  { name: "Left rows", className: "number", cell: (row) => row.rows_left?.toLocaleString("en") },
  { name: "Right rows", className: "number", cell: (row) => row.rows_right?.toLocaleString("en") },
  { name: "Rows compared", cell: (row) => row.compared && "yes" },
];

function PartitionLink({ row }: { row: PartitionRow }) {
  const [params] = useSearchParams();
  return (
    <Link
      className="mono"
      to={`?${changed(params, { partition: row.partition })}`}
      preventScrollReset
    >
      {cellText(partitionName(row.partition))}
    </Link>
  );
}

function Letter({ state }: { state: string }) {
  return (
    <span className={`letter ${state}`} aria-hidden="true">
      {STATES[state]?.letter ?? "?"}
    </span>
  );
}

export function PartitionsPanel({ difference }: { difference: Difference }) {
  const [params] = useSearchParams();
  const { partitions, counted, partition } = difference;
  const total = Object.values(counted).reduce((sum, value) => sum + value, 0);
  return (
    <Panel
      title="Partitions"
      aside={
        <>
          {countedText(counted)}
          {partition && (
            <>
              {" "}
              ·{" "}
              <Link to={`?${changed(params, { partition: null })}`} preventScrollReset>
                All partitions
              </Link>
            </>
          )}
        </>
      }
    >
      {partitions.length ? (
        <div className="body stack">
          <Strip partitions={partitions} chosen={partition} />
          <p className="row small legend">
            {Object.entries(STATES).map(([state, { words }]) => (
              <span key={state}>
                <Letter state={state} /> {words}
              </span>
            ))}
          </p>
          {partitions.length < total && (
            <p className="muted small">
              The newest {partitions.length.toLocaleString("en")} of {many(total, "partition")}.
            </p>
          )}
          <details>
            <summary>As a table ({partitions.length.toLocaleString("en")})</summary>
            <Table
              label="Partitions on both sides"
              columns={PARTITION_COLUMNS}
              rows={partitions.toReversed()}
              keyOf={(row) => row.partition}
            />
          </details>
        </div>
      ) : (
        <Empty>Nothing of it is published on either side.</Empty>
      )}
    </Panel>
  );
}

const STEPS: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1 };

/** Tab reaches it once; arrows move in it, Home and End go to its ends. */
function Strip({
  partitions,
  chosen,
}: {
  partitions: readonly PartitionRow[];
  chosen: string | null;
}) {
  const [params] = useSearchParams();
  const listRef = useRef<HTMLUListElement>(null);
  const last = partitions.length - 1;
  const found = partitions.findIndex((row) => row.partition === chosen);
  const entry = found < 0 ? last : found;
  const pressed = (event: KeyboardEvent<HTMLElement>) => {
    const links = [...(listRef.current?.querySelectorAll("a") ?? [])];
    const at = links.indexOf(event.target as HTMLAnchorElement);
    const step = STEPS[event.key];
    const to =
      event.key === "Home" ? 0 : event.key === "End" ? last : step === undefined ? -1 : at + step;
    if (at < 0 || !links[to]) return;
    event.preventDefault();
    links[to].focus();
  };
  return (
    // eslint-disable-next-line jsx-a11y-x/no-noninteractive-element-interactions -- its links take the focus; keys bubble from them
    <ul
      className="partition-strip"
      ref={listRef}
      aria-label="Partitions: arrows move, Enter compares the rows of one"
      onKeyDown={pressed}
    >
      {partitions.map((row, index) => (
        <li key={row.partition}>
          <Link
            className={`letter ${row.state}`}
            to={`?${changed(params, { partition: row.partition })}`}
            preventScrollReset
            tabIndex={index === entry ? 0 : -1}
            aria-current={row.partition === chosen ? "true" : undefined}
            aria-label={cellText(partitionText(row))}
            title={cellText(partitionText(row))}
          >
            {STATES[row.state]?.letter ?? "?"}
          </Link>
        </li>
      ))}
    </ul>
  );
}
