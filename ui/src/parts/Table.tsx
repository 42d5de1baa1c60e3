// The one table: columns as values, rows that open, j and k. On a narrow screen each row becomes a card. A long one scrolls by itself.
import { memo, useRef, useState, type MouseEvent, type ReactNode } from "react";
import { useNavigate } from "react-router";
import { useKeys } from "../app/keys";
import { hasContent } from "./content";
import { useWindow } from "./window";

/** `unnamed`: its name is only for those who hear it. */
export type Column<R> = {
  name: string;
  unnamed?: true;
  cell: (row: R) => ReactNode;
  className?: string;
};
type Props<R> = {
  label: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  /** A text by which a row is known; `index` is for rows that have none. */
  keyOf: (row: R, index: number) => string;
  /** The page that a row opens; its cells still hold a link to it, for those who don't click rows. */
  opens?: (row: R) => string | null;
  /** Whether j, k and Enter are this table's; at most one of a page's. */
  keys?: boolean;
};

export function Table<R>({ label, columns, rows, keyOf, opens, keys = false }: Props<R>) {
  const navigate = useNavigate();
  const [chosen, setChosen] = useState<string | null>(null);
  const scrollerRef = useRef<HTMLDivElement>(null);
  const visible = useWindow(scrollerRef, rows.length);

  useKeys((key) => {
    if (!keys) return false;
    const at = rows.findIndex((row, index) => keyOf(row, index) === chosen);
    if (key === "j" || key === "k") {
      const next = key === "j" ? Math.min(at + 1, rows.length - 1) : Math.max(at - 1, 0);
      const row = rows[next];
      if (row === undefined) return false;
      setChosen(keyOf(row, next));
      visible.show(next);
      return true;
    }
    const row = rows[at];
    const path =
      key === "Enter" && row && document.activeElement?.closest("a,button") === null
        ? opens?.(row)
        : null;
    if (path) void navigate(path);
    return !!path;
  });

  const open = (event: MouseEvent) => {
    const target = event.target as Element;
    const row = rows[Number(target.closest("tr")?.dataset.row)];
    const path = row && opens?.(row);
    const selecting = window.getSelection()?.toString();
    if (path && !selecting && !target.closest("a,button,input,label,summary")) void navigate(path);
  };
  return (
    <div
      className={visible.partial ? "scroll many" : "scroll"}
      ref={scrollerRef}
      onScroll={visible.scrolled}
      tabIndex={0}
      role="group"
      aria-label={label}
    >
      <table className="cards" aria-rowcount={visible.partial ? rows.length + 1 : undefined}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} scope="col" className={column.className}>
                {column.unnamed ? (
                  <span className="visually-hidden">{column.name}</span>
                ) : (
                  column.name
                )}
              </th>
            ))}
          </tr>
        </thead>
        <Space height={visible.above} />
        {/* A click anywhere in a row is a convenience: the link in it is what the keyboard reaches. */}
        {/* eslint-disable-next-line jsx-a11y-x/click-events-have-key-events, jsx-a11y-x/no-noninteractive-element-interactions */}
        <tbody onClick={open}>
          {rows.slice(visible.from, visible.to).map((row, offset) => {
            const index = visible.from + offset;
            const key = keyOf(row, index);
            return (
              <Row
                key={key}
                row={row}
                columns={columns}
                index={index}
                partial={visible.partial}
                opens={!!opens?.(row)}
                chosen={key === chosen}
              />
            );
          })}
        </tbody>
        <Space height={visible.below} />
      </table>
    </div>
  );
}

type RowProps<R> = {
  row: R;
  columns: readonly Column<R>[];
  index: number;
  partial: boolean;
  opens: boolean;
  chosen: boolean;
};

/** While a long table is scrolled only rows that come into the page are made. */
const Row = memo(function Row<R>({ row, columns, index, partial, opens, chosen }: RowProps<R>) {
  return (
    <tr
      data-row={index}
      aria-rowindex={partial ? index + 2 : undefined}
      className={opens ? "opens" : undefined}
      data-chosen={chosen || undefined}
    >
      {columns.map((column) => (
        <td
          key={column.name}
          data-label={column.unnamed ? undefined : column.name}
          className={column.unnamed ? "acts" : column.className}
        >
          {cellContent(column.cell(row))}
        </td>
      ))}
    </tr>
  );
}) as <R>(props: RowProps<R>) => ReactNode;

/** A cell's content as one element, so that a card has it below each other beside its label; an empty cell stays empty. */
function cellContent(content: ReactNode): ReactNode {
  return hasContent(content) ? <div>{content}</div> : null;
}

/** What stands for rows that aren't in the page. */
function Space({ height }: { height: number }) {
  return (
    height > 0 && (
      <tbody aria-hidden="true" className="space">
        <tr>
          <td style={{ height }} />
        </tr>
      </tbody>
    )
  );
}
