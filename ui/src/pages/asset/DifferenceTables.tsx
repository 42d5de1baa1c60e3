// Which columns of an asset differ on two sides and in how many of the changed rows, and which rows: old → new.
import type { Schema } from "../../api/client";
import { Command } from "../../parts/Command";
import { Empty, Panel } from "../../parts/Page";
import { Table, type Column } from "../../parts/Table";
import { cellText } from "../../parts/values";
import { many } from "../../parts/words";
import {
  changeText,
  COLUMNS_SHOWN,
  commandText,
  cutText,
  differs,
  figureText,
  rowColumns,
  rowsText,
  valueText,
  type Spread,
} from "./differenceTexts";

type Difference = Schema["SnapshotDifferenceResponse"];
type Values = Record<string, unknown>;

type ColumnRow = {
  name: string;
  cells: number;
  changed: number;
  kind: string;
  before: Spread | undefined;
  after: Spread | undefined;
};

function columnRows(difference: Difference): ColumnRow[] {
  const { column_changes: changes, cells, rows_changed: total, spreads } = difference;
  return columnNames(difference)
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
    .filter((row) => itselfDiffers(row) || row.before)
    .toSorted((one, other) => rank(other) - rank(one));
}

/** Whether the column changed; rows on one side only change its figures alone. */
const itselfDiffers = (row: ColumnRow) => row.cells > 0 || row.kind !== "";
const rank = (row: ColumnRow) => (itselfDiffers(row) ? 1 + row.cells : 0);

const columnNames = ({ columns, column_changes: changes }: Difference): string[] => [
  ...new Set([...changes.map(({ column }) => column), ...columns.map(({ name }) => name)]),
];

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

export function ColumnsPanel({ difference }: { difference: Difference }) {
  const rows = columnRows(difference);
  const total = difference.rows_changed;
  // without keys nobody knows which rows changed, and figures are all there is to compare
  const differing = rows.filter((row) => (total === null ? row.before : itselfDiffers(row)));
  const share = `${differing.length} of ${many(columnNames(difference).length, "column")}`;
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
    <Panel title="Columns" aside={`${share} ${total === null ? "with other figures" : "differ"}`}>
      {rows.length ? (
        <>
          <Table label="Columns" columns={described} rows={rows} keyOf={(row) => row.name} />
          <p className="body muted small">
            Figures are of the rows that were compared, left → right; distinct values are estimated.
            {total !== null &&
              differing.length < rows.length &&
              " Rows that are only on one side change the figures of columns that don't differ."}
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

export function RowsPanel({ difference }: { difference: Difference }) {
  const { sample, keys, columns, compared, whole, command } = difference;
  const cut = cutText(difference);
  const names = rowColumns(difference);
  return (
    <Panel title="Rows" aside={compared ? rowsText(difference) : ""}>
      <div className="body stack">
        {cut && <p>{cut}</p>}
        {command && (
          <p>
            {commandText(difference)} <Command text={command} />
          </p>
        )}
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
            : difference.not_compared || difference.partitions.length === 0
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
