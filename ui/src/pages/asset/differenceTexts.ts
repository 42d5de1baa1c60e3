// What the page of two sides says of partitions, columns and rows.
import type { Schema } from "../../api/client";
import { textOfValue } from "../../parts/values";
import { many } from "../../parts/words";
import { partitionName } from "../../parts/partitions";

type Difference = Schema["SnapshotDifferenceResponse"];
type Row = Schema["RowChange"];
type Values = Record<string, unknown>;

/** Each state: the letter of its cells, and its words. */
export const STATES: Record<string, { letter: string; words: string }> = {
  equal: { letter: "=", words: "equal" },
  changed: { letter: "C", words: "changed" },
  only_left: { letter: "L", words: "only left" },
  only_right: { letter: "R", words: "only right" },
};
const CHANGES: Record<string, string> = {
  changed: "changed",
  added: "only right",
  removed: "only left",
};
/** Columns of changed rows beside the keys, those that differ first. */
export const COLUMNS_SHOWN = 24;

const count = (value: number) => value.toLocaleString("en");

/** 2025-03-02: changed, 3 → 2 rows. */
export function partitionText(row: Schema["PartitionDifferenceRow"]): string {
  const { rows_left: left, rows_right: right } = row;
  const rows =
    left === null || right === null
      ? many(left ?? right ?? 0, "row")
      : left === right
        ? many(left, "row")
        : `${count(left)} → ${many(right, "row")}`;
  return `${partitionName(row.partition)}: ${STATES[row.state]?.words ?? row.state}, ${rows}`;
}

/** 3 changed, 1 only right, 20 equal. */
export function countedText(counted: Readonly<Record<string, number>>): string {
  return Object.entries(STATES)
    .toReversed()
    .flatMap(([state, { words }]) => (counted[state] ? [`${count(counted[state])} ${words}`] : []))
    .join(", ");
}

export function changeText({ change }: Row): string {
  return CHANGES[change] ?? change;
}

/** A value of a cell: null and empty text can be told from each other. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return "null";
  return textOfValue(value) || "empty text";
}

/** Whether a value of a changed row isn't the same on both sides. */
export function differs({ before, after }: Row, column: string): boolean {
  if (!before || !after) return false;
  return JSON.stringify((before as Values)[column]) !== JSON.stringify((after as Values)[column]);
}

/** The columns of the table of rows: keys, then those that differ most, then the others. */
export function rowColumns({ keys, columns, cells }: Difference): string[] {
  const first = new Set(keys ?? []);
  const others = columns.map(({ name }) => name).filter((name) => !first.has(name));
  const sorted = others.toSorted((one, other) => (cells[other] ?? 0) - (cells[one] ?? 0));
  return [...first, ...sorted].slice(0, COLUMNS_SHOWN);
}

/** 12 rows changed, 3 only left, 1 only right; without keys no row is known to have changed. */
export function rowsText(difference: Difference): string {
  const { rows_changed: changed, rows_removed: left, rows_added: right } = difference;
  const parts = [
    ...(changed === null ? [] : [`${many(changed, "row")} changed`]),
    `${changed === null ? many(left, "row") : count(left)} only left`,
    `${count(right)} only right`,
  ];
  return parts.join(", ");
}

/** What of all that differs is on the page; empty if it is everything. */
export function cutText(difference: Difference): string {
  const total = difference.rows_added + difference.rows_removed + (difference.rows_changed ?? 0);
  const shown = difference.sample.length;
  return [
    shown < total && `The table has ${count(shown)} of ${count(total)} rows.`,
    difference.not_compared > 0 && leftOutText(difference),
  ]
    .filter(Boolean)
    .join(" ");
}

function leftOutText(difference: Difference): string {
  const { compared, not_compared: left, too_large: large, whole, partition } = difference;
  if (whole || partition !== null)
    return "Its rows aren’t compared: there are too many for a page.";
  if (!compared)
    return left === 1
      ? "No rows are compared: the partition that differs has too many for a page."
      : `No rows are compared: each of the ${count(left)} partitions that differ has too many for a page.`;
  const others = left - large;
  const chosen = many(compared, "partition");
  return [
    large
      ? `Rows are those of ${chosen}. ${count(large)} more ${large === 1 ? "has" : "have"} too many rows for a page.`
      : `Rows are those of ${chosen}, the newest that differ.`,
    others > 0 &&
      `With ${count(others)} others there would be too many: choose one above to see its rows.`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** What the command of a difference compares, as an introduction to it. */
export function commandText({ left, right }: Difference): string {
  return left.env === right.env
    ? "To compare the rows of all that differs, run"
    : "To compare the newest partitions of all assets with production, run";
}

export type Spread = Readonly<Record<string, unknown>>;
/** A figure of a column on both sides, if it isn't the same: 3 → 5. */
export function figureText(
  before: Spread | undefined,
  after: Spread | undefined,
  of: string,
): string {
  const [was, now] = [before?.[of], after?.[of]];
  if (was === now) return "";
  const text = (value: unknown) =>
    typeof value === "number"
      ? count(value)
      : value === null || value === undefined
        ? "–"
        : textOfValue(value);
  return `${text(was)} → ${text(now)}`;
}

/** Parameters of the address: each is one of the request, too. */
export const PARAMETERS = ["left", "right", "partition"] as const;
export type Changes = Partial<Record<(typeof PARAMETERS)[number], string | null>>;

/** The parameters with some of them changed; null takes one away. */
export function changed(params: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}

/**
 * A side as the address has it: an environment, or a snapshot of this server's own. Null for the
 * automatic left side of another environment, whose snapshots have no address here.
 */
export function sideValue(
  side: { env: string; snapshot: number },
  asked: string | null,
  right: string | null = null,
): string | null {
  const names = (text: string | null) => text === side.env && !/^\d+$/.test(text);
  if (names(asked)) return side.env;
  return asked === null && names(right) ? null : String(side.snapshot);
}
