// The grid of runs: a row per asset, a column per day, each cell the outcome of the last attempt. Only the rows in sight are in the page.
import { useQueries } from "@tanstack/react-query";
import {
  memo,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
  type KeyboardEvent,
  type MouseEvent,
} from "react";
import { Link, useNavigate } from "react-router";
import { read, type Parameters, type Problem, type Schema } from "../../api/client";
import { useResponse } from "../../api/responses";
import { Empty, Refusal } from "../../parts/Page";
import { State, labelOf } from "../../parts/State";
import { Table, type Column } from "../../parts/Table";
import { useWidth } from "../../parts/useWidth";
import { useSettled } from "../../parts/useSettled";
import { addressOf } from "../../parts/addresses";
import { many } from "../../parts/words";
import {
  BLOCK_ROWS,
  LETTERS,
  attemptAddress,
  blocksOf,
  cellOf,
  cellText,
  monthsOf,
  moved,
  type Cell,
  unpublished,
  type Place,
} from "./grid";
import "./grid.css";

type Row = Schema["GridRow"];
export type GridQuery = NonNullable<Parameters<"/api/v1/runs/grid">["query"]>;

/** The grid takes at most this part of the window's height. */
const HEIGHT_SHARE = 0.7;
/** As in grid.css. */
const ROW_PX = 26;
const HEAD_PX = 40;
const NAME_PX = { wide: 240, narrow: 128 };
const NARROW_PX = 640;
const CELL_PX = { least: 18, most: 30 };
/** The name of a month needs so much. */
const MONTH_PX = 28;
const MARGIN_ROWS = 5;
const STEP_ROWS = 5;
/** Whoever scrolls by more than so many rows at once doesn't read them: their cells come afterwards. */
const FAST_ROWS = 15;
/** What is scrolled past within this time isn't fetched. */
const SETTLED_MS = 90;

type Props = { query: GridQuery; filtered: boolean };

export function RunGrid(props: Props) {
  const [ref, width] = useWidth();
  return (
    <div className="run-grid" ref={ref as React.RefObject<HTMLDivElement>}>
      <Sized {...props} width={width} />
    </div>
  );
}

function Sized({ query, filtered, width }: Props & { width: number }) {
  const scrollerRef = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const settledTop = useSettled(top, SETTLED_MS);
  const [fast, setFast] = useState(false);
  const [hovered, setHovered] = useState<Place | null>(null);
  const [active, setActive] = useState<Place>({ row: 0, column: -1 });
  const focusingRef = useRef(false);
  const navigate = useNavigate();

  const from = Math.max(0, top - MARGIN_ROWS);
  const visibleRows = Math.ceil((useWindowHeight() * HEIGHT_SHARE) / ROW_PX);
  const { grid, rowAt, problem } = useRows(query, top, top === settledTop, visibleRows);
  const total = grid?.total ?? 0;
  const to = Math.min(top + visibleRows + STEP_ROWS + MARGIN_ROWS, total);
  const days = grid?.days ?? NO_DAYS;
  const narrow = width < NARROW_PX;
  const namePx = narrow ? NAME_PX.narrow : NAME_PX.wide;
  const cellPx = Math.min(
    CELL_PX.most,
    Math.max(CELL_PX.least, Math.floor((width - namePx - 18) / Math.max(days.length, 1))),
  );

  useEffect(() => {
    // The newest days are at the right: there it begins.
    if (scrollerRef.current) scrollerRef.current.scrollLeft = scrollerRef.current.scrollWidth;
  }, [days.length, cellPx]);
  useEffect(() => {
    if (!focusingRef.current) return;
    scrollerRef.current
      ?.querySelector<HTMLElement>(`[data-row="${active.row}"] [data-column="${active.column}"]`)
      ?.focus({ preventScroll: true });
  });

  if (!grid)
    return problem ? (
      <Refusal problem={problem} />
    ) : (
      <p className="empty" role="status">
        Loading…
      </p>
    );
  const cellAt = ({ row, column }: Place) => {
    const line = rowAt(row);
    return line ? cellOf(line, column) : null;
  };
  const passing = fast && top !== settledTop;
  const pointed = hovered ?? active;
  // One cell is reached by Tab, also while the one that had the focus isn't in the page.
  const entry = active.row < from || active.row >= to ? top : active.row;

  const show = (place: Place) => {
    setActive(place);
    const element = scrollerRef.current;
    if (!element) return;
    const above = place.row * ROW_PX;
    if (above < element.scrollTop) element.scrollTop = above;
    const below = above + ROW_PX + HEAD_PX - element.clientHeight + SCROLLBAR_PX;
    if (below > element.scrollTop) element.scrollTop = below;
    if (place.column < 0) return;
    const left = place.column * cellPx;
    if (left < element.scrollLeft) element.scrollLeft = left;
    const right = left + cellPx + namePx - element.clientWidth;
    if (right > element.scrollLeft) element.scrollLeft = right;
  };
  const keyed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && active.column >= 0) {
      const chosen = cellAt(active);
      if (chosen) void navigate(attemptAddress(chosen));
      return;
    }
    const next = moved(active, event.key, {
      rows: total,
      columns: days.length,
      page: Math.max(visibleRows - 3, 1),
    });
    if (!next) return;
    event.preventDefault();
    focusingRef.current = true;
    setHovered(null);
    show(next);
  };
  const clicked = (event: MouseEvent) => {
    const place = placeOf(event.target as Element);
    if (!place) return;
    setActive(place);
    const chosen = cellAt(place);
    if (chosen) void navigate(attemptAddress(chosen));
  };
  return (
    <>
      {problem && <Refusal problem={problem} stale />}
      {total === 0 || days.length === 0 ? (
        <NoRows filtered={filtered} days={days.length} />
      ) : (
        <>
          <Reading
            row={rowAt(pointed.row)}
            cell={cellAt(pointed)}
            day={days[pointed.column] ?? ""}
          />
          <div
            className="scroll"
            ref={scrollerRef}
            style={
              {
                "--cell": `${cellPx}px`,
                "--name": `${namePx}px`,
                maxHeight: `min(${HEIGHT_SHARE * 100}vh, ${total * ROW_PX + HEAD_PX + SCROLLBAR_PX}px)`,
              } as React.CSSProperties
            }
            onScroll={({ currentTarget }) => {
              const next = Math.floor(currentTarget.scrollTop / ROW_PX / STEP_ROWS) * STEP_ROWS;
              if (next === top) return;
              setFast(Math.abs(next - top) > FAST_ROWS);
              setTop(next);
            }}
          >
            <table
              // eslint-disable-next-line jsx-a11y-x/no-noninteractive-element-to-interactive-role -- a grid over a table's own rows and headings
              role="grid"
              style={{ width: namePx + days.length * cellPx }}
              aria-label={`Last attempts of ${many(total, "asset")} on ${many(days.length, "day")}, ${days[0] ?? ""} to ${days.at(-1) ?? ""}`}
              aria-rowcount={total + 1}
              aria-colcount={days.length + 1}
              onKeyDown={keyed}
              onClick={clicked}
              onPointerOver={(event) => setHovered(placeOf(event.target as Element))}
              onPointerLeave={() => setHovered(null)}
              onFocus={(event) => {
                const place = placeOf(event.target);
                if (place) setActive(place);
              }}
              onBlur={() => {
                focusingRef.current = false;
              }}
            >
              <thead>
                <tr className="months" aria-hidden="true">
                  <th className="name" />
                  {monthsOf(days).map((month) => (
                    <th key={month.first} colSpan={month.days}>
                      {month.days * cellPx >= MONTH_PX && <span>{month.name}</span>}
                    </th>
                  ))}
                </tr>
                <tr aria-rowindex={1}>
                  <th scope="col" className="name">
                    Asset
                  </th>
                  {days.map((day) => (
                    <th key={day} scope="col">
                      <span className="visually-hidden">{day}</span>
                      <span aria-hidden="true">{Number(day.slice(-2))}</span>
                    </th>
                  ))}
                </tr>
              </thead>
              <Space rows={from} />
              <tbody>
                {Array.from({ length: Math.max(to - from, 0) }, (_, offset) => {
                  const index = from + offset;
                  return (
                    <GridLine
                      key={index}
                      index={index}
                      row={passing ? undefined : rowAt(index)}
                      days={days}
                      active={index === entry ? active.column : null}
                    />
                  );
                })}
              </tbody>
              <Space rows={total - to} />
            </table>
          </div>
          <Key />
          {grid.more && (
            <p className="body small muted">
              Only the first 500 assets that may fit were looked at: filter by owner for others.
            </p>
          )}
          <AsTable days={days} rows={inSight(rowAt, from, to)} />
        </>
      )}
    </>
  );
}

const NO_DAYS: readonly string[] = [];
const SCROLLBAR_PX = 16;

function useWindowHeight(): number {
  return useSyncExternalStore(
    (changed) => {
      window.addEventListener("resize", changed);
      return () => window.removeEventListener("resize", changed);
    },
    () => window.innerHeight,
  );
}

type Rows = (index: number) => Row | undefined;

/** The rows around those in sight, in blocks; those that are being scrolled past aren't fetched. */
function useRows(query: GridQuery, top: number, settled: boolean, visibleRows: number) {
  const block = (number: number) => ({
    query: { ...query, first: number * BLOCK_ROWS, limit: BLOCK_ROWS },
  });
  const head = useResponse("/api/v1/runs/grid", block(0));
  const others = blocksOf(top, visibleRows).filter((number) => number > 0);
  const responses = useQueries({
    queries: others.map((number) => ({
      queryKey: ["/api/v1/runs/grid", block(number)],
      queryFn: ({ signal }: { signal: AbortSignal }) =>
        read("/api/v1/runs/grid", block(number), signal),
      enabled: settled,
    })),
  });
  const byBlock = new Map([[0, head.data?.rows]]);
  for (const [at, response] of responses.entries())
    if (!response.isPlaceholderData) byBlock.set(others[at] ?? 0, response.data?.rows);
  const rowAt: Rows = (index) => byBlock.get(Math.floor(index / BLOCK_ROWS))?.[index % BLOCK_ROWS];
  return {
    grid: head.data,
    rowAt,
    problem:
      head.error ?? (responses.find((response) => response.error)?.error as Problem | undefined),
  };
}

function inSight(rowAt: Rows, from: number, to: number): Row[] {
  return Array.from({ length: to - from }, (_, offset) => rowAt(from + offset)).filter(
    (row) => row !== undefined,
  );
}

type LineProps = {
  index: number;
  row: Row | undefined;
  days: readonly string[];
  /** The column that has the focus, or would get it; null where another row has it. */
  active: number | null;
};

/** While the grid is scrolled only rows that come into the page are made. */
const GridLine = memo(function GridLine({ index, row, days, active }: LineProps) {
  return (
    <tr data-row={index} aria-rowindex={index + 2}>
      <th scope="row" className="name">
        {row ? (
          <Link
            to={addressOf(row.kind === "export" ? "consumer" : row.kind, row.node)}
            data-column={-1}
            tabIndex={active === -1 ? 0 : -1}
            title={row.owner ? `${row.node}, owner ${row.owner}` : row.node}
          >
            {row.node}
          </Link>
        ) : (
          <span className="muted" data-column={-1} tabIndex={active === -1 ? 0 : -1}>
            …
          </span>
        )}
      </th>
      {row ? (
        days.map((day, column) => {
          const cell = cellOf(row, column);
          return (
            <td
              key={day}
              role="gridcell"
              data-column={column}
              data-state={cell?.state}
              tabIndex={active === column ? 0 : -1}
              aria-label={`${day}: ${cellText(cell)}`}
            >
              {cell ? LETTERS[cell.state] : "·"}
            </td>
          );
        })
      ) : (
        <td role="gridcell" aria-label="loading" colSpan={days.length} />
      )}
    </tr>
  );
});

/** What the chosen cell is, in words, with the page that it opens. */
function Reading({ row, day, cell }: { row: Row | undefined; day?: string; cell: Cell | null }) {
  return (
    <p className="body reading small" role="status" aria-label="Chosen cell">
      {row && day ? (
        <>
          <strong>{row.node}</strong> {day}: {cellText(cell)}
          {cell && (
            <>
              {" "}
              · <Link to={attemptAddress(cell)}>attempt {cell.attempt}</Link>
            </>
          )}
          {row.truncated && " · older attempts of this asset were left out: there are too many"}
        </>
      ) : (
        <span className="muted">
          Point at a cell, or go there with the arrow keys; <kbd>Enter</kbd> opens the attempt.
        </span>
      )}
    </p>
  );
}

function Space({ rows }: { rows: number }) {
  return (
    rows > 0 && (
      <tbody aria-hidden="true">
        <tr>
          <td className="space" style={{ height: rows * ROW_PX }} />
        </tr>
      </tbody>
    )
  );
}

function Key() {
  return (
    <p className="body row small muted">
      {Object.entries(LETTERS).map(([state, letter]) => (
        <span key={state}>
          <span className="cell-key" data-state={state} aria-hidden="true">
            {letter}
          </span>{" "}
          {labelOf(state)}
        </span>
      ))}
      <span>
        <span className="cell-key" aria-hidden="true">
          ·
        </span>{" "}
        nothing attempted
      </span>
    </p>
  );
}

const COLUMNS: readonly Column<Cell>[] = [
  { name: "Asset", cell: (cell) => cell.node },
  { name: "Day", cell: (cell) => cell.day },
  { name: "State", cell: (cell) => <State of={cell.state} /> },
  {
    name: "Partitions",
    className: "number",
    cell: (cell) => (cell.partitions > 1 ? `${cell.count} of ${cell.partitions}` : "1"),
  },
  { name: "Attempt", cell: (cell) => <Link to={attemptAddress(cell)}>{cell.attempt}</Link> },
];

/** The rows that are in the page, as a table of what was attempted and not published. */
function AsTable({ days, rows }: { days: readonly string[]; rows: readonly Row[] }) {
  const [open, setOpen] = useState(false);
  const cells = open ? rows.flatMap((row) => unpublished(row, days)) : [];
  return (
    <details
      className="body"
      onToggle={(event) => setOpen((event.target as HTMLDetailsElement).open)}
    >
      <summary>What isn’t published, as a table</summary>
      {open && cells.length > 0 && (
        <Table
          label="Attempts without a publication"
          columns={COLUMNS}
          rows={cells}
          keyOf={(cell) => `${cell.node} ${cell.day}`}
          opens={attemptAddress}
        />
      )}
      {open && !cells.length && (
        <p className="muted">
          Each last attempt of the {many(rows.length, "asset")} in sight was published.
        </p>
      )}
    </details>
  );
}

function NoRows({ filtered, days }: { filtered: boolean; days: number }) {
  if (!filtered)
    return (
      <Empty>
        <strong>Nothing is applied yet.</strong> <code>headrace apply</code> applies the project’s
        assets.
      </Empty>
    );
  return (
    <Empty>
      <strong>None.</strong> {days ? "No asset fits these filters." : "There is no such day yet."}
    </Empty>
  );
}

/** Which cell an element belongs to. */
function placeOf(element: Element): Place | null {
  const cell = element.closest<HTMLElement>("[data-column]");
  const row = element.closest<HTMLElement>("[data-row]");
  return cell && row ? { row: Number(row.dataset.row), column: Number(cell.dataset.column) } : null;
}
