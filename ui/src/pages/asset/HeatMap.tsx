// Partitions as a calendar, the newest at the right. Tab reaches it once; arrows move in it, with Shift they choose from one to another.
import { useEffect, useRef, type KeyboardEvent } from "react";
import type { Schema } from "../../api/client";
import { Shape, toneOf, labelOf } from "../../parts/State";
import { many } from "../../parts/words";
import { partitionName } from "../../parts/partitions";
import { calendarOf } from "./calendar";
import { within, type Range } from "./range";

type Partition = Schema["PartitionRow"];
type Props = {
  partitions: readonly Partition[];
  /** From one partition to another, both included. */
  chosen: Range | null;
  /** `to` is chosen beside what was before, where Shift is held. */
  choose: (to: string, further: boolean) => void;
};
const STEPS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function HeatMap({ partitions, chosen, choose }: Props) {
  const scrollRef = useRef<HTMLDivElement>(null);
  const newest = partitions[0]?.partition;
  useEffect(() => {
    if (scrollRef.current) scrollRef.current.scrollLeft = scrollRef.current.scrollWidth;
  }, [newest]);
  const calendar = calendarOf(partitions, (row) => row.partition);
  if (!calendar) return null;
  const entry = calendar.cells.some(({ item }) => item.partition === chosen?.to)
    ? chosen?.to
    : newest;

  const pressed = (event: KeyboardEvent<HTMLElement>) => {
    const step = STEPS[event.key];
    const from = (event.target as HTMLElement).dataset;
    if (!step || from.column === undefined) return;
    event.preventDefault();
    const to = nearest(
      calendar.cells.map(({ at }) => at),
      { column: Number(from.column), row: Number(from.row) },
      step,
    );
    const cell =
      to &&
      event.currentTarget.querySelector<HTMLElement>(
        `[data-column="${to.column}"][data-row="${to.row}"]`,
      );
    cell?.focus();
    if (cell?.dataset.partition && event.shiftKey) choose(cell.dataset.partition, true);
  };
  return (
    <div className="heat-scroll" ref={scrollRef}>
      {/* eslint-disable-next-line jsx-a11y-x/no-noninteractive-element-interactions -- its buttons take the focus; keys bubble from them */}
      <div
        className="heat"
        role="group"
        aria-label="Partition calendar: arrows move, with Shift they choose a range"
        onKeyDown={pressed}
      >
        {calendar.columns.map(({ at, name }) => (
          <span key={at} className="muted small name" style={{ gridColumn: at + 2, gridRow: 1 }}>
            {name}
          </span>
        ))}
        {calendar.rows.map((name, row) => (
          <span key={name} className="muted small side" style={{ gridColumn: 1, gridRow: row + 2 }}>
            {name}
          </span>
        ))}
        {calendar.cells.map(({ item, at }) => {
          const label = partitionLabel(item);
          return (
            <button
              key={item.partition}
              type="button"
              className={`cell tone-${toneOf(item.state)}`}
              style={{ gridColumn: at.column + 2, gridRow: at.row + 2 }}
              data-column={at.column}
              data-row={at.row}
              data-partition={item.partition}
              tabIndex={item.partition === entry ? 0 : -1}
              aria-pressed={within(chosen, item.partition)}
              aria-label={label}
              title={label}
              onClick={(event) => choose(item.partition, event.shiftKey)}
            >
              <Shape of={toneOf(item.state)} state={item.state} />
            </button>
          );
        })}
      </div>
    </div>
  );
}

function partitionLabel(partition: Partition): string {
  return [
    `${partitionName(partition.partition)}: ${labelOf(partition.state)}`,
    partition.rows === null ? "" : many(partition.rows, "row"),
    partition.reason ?? "",
  ]
    .filter(Boolean)
    .join(", ");
}

type Position = { column: number; row: number };

/** The next place in a direction that holds something, in the same row or column. */
function nearest(
  places: readonly Position[],
  from: Position,
  [columns, rows]: readonly [number, number],
): Position | undefined {
  const along = (to: Position) => (to.column - from.column) * columns + (to.row - from.row) * rows;
  const aside = (to: Position) => (columns ? to.row !== from.row : to.column !== from.column);
  return places.filter((to) => along(to) > 0 && !aside(to)).sort((a, b) => along(a) - along(b))[0];
}
