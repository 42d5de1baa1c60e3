// The one table: columns as values, rows that open, j and k. On a narrow screen each row becomes a card. A long one scrolls by itself.
import { memo, useState, type MouseEvent, type ReactNode } from "react";
import { useNavigate } from "react-router";
import { useKeys } from "../app/keys";
import { useWindow } from "./window";

/** `unnamed`: its name is only for those who hear it. */
export type Column<R> = { name: string; unnamed?: true; cell: (row: R) => ReactNode; className?: string };
type Props<R> = {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  keyOf: (row: R) => string;
  /** The page that a row opens; its cells still hold a link to it, for those who don't click rows. */
  opens?: (row: R) => string | null;
  /** Whether j, k and Enter are this table's; at most one of a page's. */
  keys?: boolean;
};

export function Table<R>({ label, columns, rows, keyOf, opens, keys = false }: Props<R>) {
  const navigate = useNavigate();
  const [chosen, setChosen] = useState<string | null>(null);
  const shown = useWindow(rows.length);

  useKeys((key) => {
    if (!keys || !rows.length) return false;
    const at = rows.findIndex((row) => keyOf(row) === chosen);
    if (key === "j" || key === "k") {
      const next = key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0);
      setChosen(keyOf(rows[next]!));
      shown.show(next);
      return true;
    }
    const row = rows[at];
    const path = key === "Enter" && row && document.activeElement?.closest("a,button") === null ? opens?.(row) : null;
    if (path) void navigate(path);
    return !!path;
  });

  const open = (event: MouseEvent) => {
    const target = event.target as Element;
    const row = rows[Number(target.closest("tr")?.dataset["row"])];
    const path = row && opens?.(row);
    const selecting = window.getSelection()?.toString();
    if (path && !selecting && !target.closest("a,button,input,label,summary")) void navigate(path);
  };
  return (
    <div className={shown.many ? "scroll many" : "scroll"} ref={shown.scroller} onScroll={shown.scrolled} tabIndex={0} role="group" aria-label={label}>
      <table className="cards" aria-rowcount={shown.many ? rows.length + 1 : undefined}>
        <thead><tr>{columns.map((column) => <th key={column.name} scope="col" className={column.className}>{column.unnamed ? <span className="visually-hidden">{column.name}</span> : column.name}</th>)}</tr></thead>
        <Space height={shown.above} />
        <tbody onClick={open}>
          {rows.slice(shown.from, shown.to).map((row, index) => (
            <Row key={keyOf(row)} row={row} columns={columns} at={shown.from + index} many={shown.many} opens={!!opens?.(row)} chosen={keyOf(row) === chosen} />
          ))}
        </tbody>
        <Space height={shown.below} />
      </table>
    </div>
  );
}

type Shown<R> = { row: R; columns: readonly Column<R>[]; at: number; many: boolean; opens: boolean; chosen: boolean };

/** While a long table is scrolled only rows that come into the page are made. */
const Row = memo(function Row<R>({ row, columns, at, many, opens, chosen }: Shown<R>) {
  return (
    <tr data-row={at} aria-rowindex={many ? at + 2 : undefined} className={opens ? "opens" : undefined} data-chosen={chosen || undefined}>
      {columns.map((column) => <td key={column.name} data-label={column.unnamed ? undefined : column.name} className={column.unnamed ? "acts" : column.className}>{within(column.cell(row))}</td>)}
    </tr>
  );
}) as <R>(props: Shown<R>) => ReactNode;

/** A cell's content as one element, so that a card has it below each other beside its label; an empty cell stays empty. */
function within(content: ReactNode): ReactNode {
  return content === null || content === undefined || content === false || content === "" ? null : <div>{content}</div>;
}

/** What stands for rows that aren't in the page. */
function Space({ height }: { height: number }) {
  return height > 0 && <tbody aria-hidden="true" className="space"><tr><td style={{ height }} /></tr></tbody>;
}
