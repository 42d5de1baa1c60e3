// One asset on two sides, two snapshots or two environments: which partitions, columns and rows differ.
import { useRef, type KeyboardEvent } from "react";
import { Link, useSearchParams } from "react-router";
import type { Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { CopyButton } from "../../parts/CopyButton";
import { Empty, Panel, Refusal } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { instantText } from "../../parts/times";
import { Time } from "../../parts/Time";
import { cellText } from "../../parts/values";
import { useZone } from "../../parts/zone";
import { many } from "../../parts/words";
import {
  changeText,
  countedText,
  COLUMNS_SHOWN,
  cutText,
  differs,
  figureText,
  partitionText,
  rowColumns,
  rowsText,
  STATES,
  valueText,
  type Spread,
} from "./differenceTexts";
import "./snapshotDifference.css";

type Difference = Schema["SnapshotDifferenceResponse"];
type Side = Schema["DifferenceSideRow"];
type PartitionRow = Schema["PartitionDifferenceRow"];
type Values = Record<string, unknown>;
/** Parameters of the address: each is one of the request, too. */
const PARAMETERS = ["left", "right", "partition"] as const;
type Changes = Partial<Record<(typeof PARAMETERS)[number], string | null>>;

function changed(params: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}

export function SnapshotDifference({ name }: { name: string }) {
  const [params, setParams] = useSearchParams();
  const asked = Object.fromEntries(
    PARAMETERS.flatMap((key) => {
      const value = params.get(key);
      return value ? [[key, value]] : [];
    }),
  );
  const response = useResponse("/api/v1/assets/{name}/difference", {
    path: { name },
    query: asked,
  });
  const change = (changes: Changes) =>
    setParams((last) => changed(last, changes), { preventScrollReset: true });
  const difference = response.data;
  return (
    <div className={response.isPlaceholderData ? "stack updating" : "stack"}>
      <Panel title="Sides" aside={difference && <Shared difference={difference} />}>
        <div className="body stack">
          {response.error && <Refusal problem={response.error} stale={false} />}
          {response.error && PARAMETERS.some((key) => params.has(key)) && (
            <p>
              <Link to={`?${changed(params, { left: null, right: null, partition: null })}`}>
                Compare the newest change
              </Link>
            </p>
          )}
          {!difference && !response.error && (
            <p className="muted" role="status">
              Comparing…
            </p>
          )}
          {difference && !response.error && <Sides difference={difference} change={change} />}
        </div>
      </Panel>
      {difference && !response.error && (
        <>
          <PartitionsPanel difference={difference} />
          <ColumnsPanel difference={difference} />
          <RowsPanel difference={difference} />
        </>
      )}
    </div>
  );
}

/** A side as the address has it: an environment, and a snapshot of this one. */
function sideValue(side: Side, asked: string | null): string {
  return asked && !/^\d+$/.test(asked) && asked === side.env ? side.env : String(side.snapshot);
}

function Shared({ difference: { left, right, partition } }: { difference: Difference }) {
  const [params] = useSearchParams();
  return (
    <CopyButton
      label="Copy link"
      text={() => {
        const pinned = changed(params, {
          left: sideValue(left, params.get("left")),
          right: sideValue(right, params.get("right")),
          partition,
        });
        return `${window.location.origin}${window.location.pathname}?${pinned}`;
      }}
    />
  );
}

type SidesProps = { difference: Difference; change: (changes: Changes) => void };

function Sides({ difference, change }: SidesProps) {
  const [params] = useSearchParams();
  const { left, right, masked } = difference;
  return (
    <>
      <div className="row sides">
        <Chooser
          label="Left"
          side={left}
          asked={params.get("left")}
          automatic="Before the newest change"
          difference={difference}
          choose={(value) => change({ left: value })}
        />
        <button
          type="button"
          className="button"
          onClick={() =>
            change({
              left: sideValue(right, params.get("right")),
              right: sideValue(left, params.get("left")),
            })
          }
        >
          Swap sides
        </button>
        <Chooser
          label="Right"
          side={right}
          asked={params.get("right")}
          automatic="Now"
          difference={difference}
          choose={(value) => change({ right: value })}
        />
      </div>
      <p className="muted small">
        Left: <SideText side={left} />. Right: <SideText side={right} />.
      </p>
      {masked.length > 0 && (
        <p className="small">
          Not shown in the clear: {masked.map(cellText).join(", ")}. Columns with a mask are
          compared by their masked values, others are left out.
        </p>
      )}
    </>
  );
}

function SideText({ side }: { side: Side }) {
  return (
    <>
      {side.env}, snapshot {side.snapshot}
      {side.at && (
        <>
          , <Time at={side.at} />
        </>
      )}
      , {many(side.partitions, "partition")}
    </>
  );
}

type ChooserProps = {
  label: string;
  side: Side;
  asked: string | null;
  /** What it is without a choice. */
  automatic: string;
  difference: Difference;
  choose: (value: string | null) => void;
};

function Chooser({ label, side, asked, automatic, difference, choose }: ChooserProps) {
  const { moments, environments } = difference;
  const { zone = "UTC" } = useZone();
  const listed =
    asked === null ||
    environments.includes(asked) ||
    moments.some(({ snapshot }) => String(snapshot) === asked);
  return (
    <label className="side">
      <span className="small">{label}</span>
      <select
        className="input"
        value={asked ?? ""}
        onChange={(event) => choose(event.target.value || null)}
      >
        <option value="">{automatic}</option>
        {!listed && (
          <option value={asked}>
            {/^\d+$/.test(asked) ? `Snapshot ${side.snapshot}` : cellText(asked)}
          </option>
        )}
        {environments.length > 1 && (
          <optgroup label="Environments">
            {environments.map((env) => (
              <option key={env} value={env}>
                {env}
              </option>
            ))}
          </optgroup>
        )}
        <optgroup label="Snapshots">
          {moments.map((moment) => (
            <option key={moment.snapshot} value={String(moment.snapshot)}>
              {moment.snapshot}: {instantText(new Date(moment.at), zone)},{" "}
              {many(moment.partitions, "partition")}
            </option>
          ))}
        </optgroup>
      </select>
    </label>
  );
}

// Which partitions differ: a cell for each, with a letter; the same as a table.

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
      {row.partition === "*" ? "all of it" : cellText(row.partition)}
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

function PartitionsPanel({ difference }: { difference: Difference }) {
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

// Which columns differ, and in how many of the changed rows.

type ColumnRow = {
  name: string;
  cells: number;
  changed: number;
  kind: string;
  before: Spread | undefined;
  after: Spread | undefined;
};

function columnRows(difference: Difference): ColumnRow[] {
  const { columns, column_changes: changes, cells, rows_changed: total, spreads } = difference;
  const names = [
    ...new Set([...changes.map(({ column }) => column), ...columns.map(({ name }) => name)]),
  ];
  return names
    .map((name) => {
      const change = changes.find(({ column }) => column === name);
      const spread = spreads.find(({ column }) => column === name);
      return {
        name,
        cells: cells[name] ?? 0,
        changed: total ?? 0,
        kind: change ? changeOf(change) : "",
        before: spread?.before,
        after: spread?.after,
      };
    })
    .filter((row) => row.cells > 0 || row.kind || row.before)
    .toSorted((one, other) => other.cells - one.cells);
}

function changeOf({ change, before, after }: Schema["ColumnChange"]): string {
  if (change === "added") return `only right: ${after ?? ""}`;
  return change === "removed" ? `only left: ${before ?? ""}` : `${before ?? ""} → ${after ?? ""}`;
}

const FIGURES = [
  ["Nulls", "nulls"],
  ["Distinct", "distinct"],
  ["Least", "minimum"],
  ["Greatest", "maximum"],
  ["Mean", "mean"],
] as const;

function ColumnsPanel({ difference }: { difference: Difference }) {
  const rows = columnRows(difference);
  const { columns, rows_changed: total } = difference;
  const described: Column<ColumnRow>[] = [
    { name: "Column", cell: (row) => <span className="mono">{cellText(row.name)}</span> },
    ...(total === null ? [] : [{ name: "Changed values", cell: changedCell }]),
    ...(rows.some(({ kind }) => kind)
      ? [{ name: "Type", cell: (row: ColumnRow) => row.kind }]
      : []),
    ...FIGURES.filter(([, key]) => rows.some((row) => figureText(row.before, row.after, key))).map(
      ([name, key]) => ({
        name,
        className: "why",
        cell: (row: ColumnRow) => figureText(row.before, row.after, key),
      }),
    ),
  ];
  return (
    <Panel title="Columns" aside={`${rows.length} of ${many(columns.length, "column")} differ`}>
      {rows.length ? (
        <>
          <Table
            label="Columns that differ"
            columns={described}
            rows={rows}
            keyOf={(row) => row.name}
          />
          <p className="body muted small">
            Figures are of the rows that were compared, left → right; distinct values are estimated.
          </p>
        </>
      ) : (
        <Empty>
          {difference.compared
            ? "No column differs in the rows that were compared."
            : "No rows were compared."}
        </Empty>
      )}
    </Panel>
  );
}

function changedCell({ cells, changed }: ColumnRow) {
  if (!cells) return null;
  const part = changed ? cells / changed : 0;
  return (
    <span className="changed-values">
      <span className="bar" aria-hidden="true">
        <span style={{ width: `${Math.max(part * 100, 2)}%` }} />
      </span>
      {cells.toLocaleString("en")} of {changed.toLocaleString("en")}
    </span>
  );
}

// Which rows differ: old → new in the cells that changed.

function RowsPanel({ difference }: { difference: Difference }) {
  const { sample, keys, columns, compared, whole } = difference;
  const cut = cutText(difference);
  const names = rowColumns(difference);
  return (
    <Panel title="Rows" aside={compared ? rowsText(difference) : ""}>
      <div className="body stack">
        {cut && <p>{cut}</p>}
        {compared > 0 && (
          <p className="muted small">
            {whole ? "Rows of the whole table" : `Rows of ${many(compared, "partition")}`},{" "}
            {keys
              ? `the same if ${keys.map(cellText).join(", ")} are equal.`
              : "compared as a whole: there is no key, so that a changed row is one only left and one only right."}
            {columns.length > names.length && ` ${COLUMNS_SHOWN} of ${columns.length} columns.`}
          </p>
        )}
      </div>
      {sample.length > 0 ? (
        <div className="scroll rows-scroll" tabIndex={0} role="group" aria-label="Rows that differ">
          <table className="rows differences">
            <thead>
              <tr>
                <th scope="col">Row</th>
                {names.map((name) => (
                  <th key={name} scope="col">
                    <span className="mono">{cellText(name)}</span>
                    {keys?.includes(name) && <span className="type muted">key</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {sample.map((row, index) => (
                // eslint-disable-next-line @eslint-react/no-array-index-key -- rows may be equal
                <tr key={index} className={row.change}>
                  <th scope="row">{changeText(row)}</th>
                  {names.map((name) => (
                    <Cell key={name} row={row} name={name} />
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <Empty>
          {compared
            ? "No row differs in what was compared."
            : difference.not_compared
              ? "No rows were compared."
              : "All partitions are equal: there are no rows to compare."}
        </Empty>
      )}
    </Panel>
  );
}

function Cell({ row, name }: { row: Schema["RowChange"]; name: string }) {
  const { before, after } = row as { before: Values | null; after: Values | null };
  if (before && after && differs(row, name))
    return (
      <td className="differs">
        <del>{cellText(valueText(before[name]))}</del> <span aria-label="became">→</span>{" "}
        <ins>{cellText(valueText(after[name]))}</ins>
      </td>
    );
  return <td>{cellText((after ?? before)?.[name])}</td>;
}
