// Rows of data, wide and long: only those in sight are in the page, and each opens with all its values.
import { memo, useRef, useState, type ReactNode } from "react";
import { CopyButton } from "./CopyButton";
import { Dialog } from "./Dialog";
import { cellText, isNumber, readableValue, tabbedText } from "./values";
import { useWindow } from "./window";
import "./rows.css";

type Values = Record<string, unknown>;
export type RowsColumn = { name: string; type: string };
type Props = {
  label: string;
  columns: readonly RowsColumn[];
  rows: readonly Values[];
  /** A column, with `-` in front for descending. */
  sort?: string | null;
  /** What a click on a column's name does. */
  sortBy?: (column: string) => void;
  /** What stands below a column's name. */
  below?: (column: string) => ReactNode;
};

const nothing = () => null;

export function RowsTable({ label, columns, rows, sort = null, sortBy, below = nothing }: Props) {
  const scrollerRef = useRef<HTMLDivElement>(null);
  const visible = useWindow(scrollerRef, rows.length);
  const [opened, setOpened] = useState<number | null>(null);
  const values = opened === null ? undefined : rows[opened];
  return (
    <>
      <div
        className={visible.partial ? "scroll many" : "scroll rows-scroll"}
        ref={scrollerRef}
        onScroll={visible.scrolled}
        tabIndex={0}
        role="group"
        aria-label={label}
      >
        <table className="rows" aria-rowcount={visible.partial ? rows.length + 1 : undefined}>
          <thead>
            <tr>
              <th scope="col" className="number">
                <span className="visually-hidden">Row</span>
              </th>
              {columns.map(({ name, type }) => (
                <th
                  key={name}
                  scope="col"
                  className={isNumber(type) ? "number" : undefined}
                  aria-sort={
                    sort === name ? "ascending" : sort === `-${name}` ? "descending" : undefined
                  }
                >
                  <ColumnName name={name} sort={sort} sortBy={sortBy} />
                  <span className="type" title={type}>
                    {type}
                  </span>
                  {below(name)}
                </th>
              ))}
            </tr>
          </thead>
          {visible.above > 0 && <Space height={visible.above} />}
          <tbody>
            {rows.slice(visible.from, visible.to).map((row, offset) => (
              <Row
                // eslint-disable-next-line @eslint-react/no-array-index-key -- rows of data have no name
                key={visible.from + offset}
                index={visible.from + offset}
                row={row}
                columns={columns}
                partial={visible.partial}
                open={setOpened}
              />
            ))}
          </tbody>
          {visible.below > 0 && <Space height={visible.below} />}
        </table>
      </div>
      {opened !== null && values && (
        <RowDialog
          title={`Row ${(opened + 1).toLocaleString("en")}`}
          columns={columns}
          values={values}
          close={() => setOpened(null)}
        />
      )}
    </>
  );
}

type NameProps = {
  name: string;
  sort: string | null;
  sortBy?: ((column: string) => void) | undefined;
};

function ColumnName({ name, sort, sortBy }: NameProps) {
  if (!sortBy) return <span className="mono">{cellText(name)}</span>;
  const arrow = sort === name ? " ↑" : sort === `-${name}` ? " ↓" : "";
  return (
    <button type="button" className="sorts mono" onClick={() => sortBy(name)}>
      {cellText(name)}
      <span aria-hidden="true">{arrow}</span>
    </button>
  );
}

type RowProps = {
  index: number;
  row: Values;
  columns: readonly RowsColumn[];
  partial: boolean;
  open: (index: number) => void;
};

const Row = memo(function Row({ index, row, columns, partial, open }: RowProps) {
  const number = (index + 1).toLocaleString("en");
  return (
    <tr data-row={index} aria-rowindex={partial ? index + 2 : undefined}>
      <td className="number">
        <button
          type="button"
          className="opens-row"
          aria-label={`Row ${number}, all values`}
          onClick={() => open(index)}
        >
          {number}
        </button>
      </td>
      {columns.map(({ name, type }) => (
        <td key={name} className={isNumber(type) ? "number" : undefined}>
          {row[name] === null || row[name] === undefined ? (
            <span className="muted">null</span>
          ) : (
            cellText(row[name])
          )}
        </td>
      ))}
    </tr>
  );
});

type DialogProps = {
  title: string;
  columns: readonly RowsColumn[];
  values: Values;
  close: () => void;
};

function RowDialog({ title, columns, values, close }: DialogProps) {
  const names = columns.map(({ name }) => name);
  return (
    <Dialog
      title={title}
      close={close}
      footer={
        <>
          <CopyButton label="Copy as JSON" text={() => JSON.stringify(values, null, 2)} />
          <CopyButton label="Copy as text" text={() => tabbedText(names, [values])} />
        </>
      }
    >
      <dl className="facts">
        {columns.map(({ name, type }) => (
          <div key={name} className="fact">
            <dt>
              <span className="mono">{cellText(name)}</span> <span className="small">{type}</span>
            </dt>
            <dd>
              {values[name] === null || values[name] === undefined ? (
                <span className="muted">null</span>
              ) : (
                <pre className="value">{readableValue(values[name])}</pre>
              )}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

function Space({ height }: { height: number }) {
  return (
    <tbody aria-hidden="true" className="space">
      <tr>
        <td style={{ height }} />
      </tr>
    </tbody>
  );
}
