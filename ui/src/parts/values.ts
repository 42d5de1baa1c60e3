// Values of rows as text: what is nested as JSON, what can't be seen as escapes.
import { visibleText } from "./visible";

const CELL_CHARACTERS = 160;

/** A value as one line of text; null has none. */
export function textOfValue(value: unknown): string {
  if (value === null || value === undefined) return "";
  return visibleText(typeof value === "string" ? value : JSON.stringify(value));
}

/** The same, cut to what a cell has room for. */
export function cellText(value: unknown): string {
  const text = textOfValue(value);
  return text.length > CELL_CHARACTERS ? `${text.slice(0, CELL_CHARACTERS)}…` : text;
}

/** A value to read: what is nested is indented. */
export function readableValue(value: unknown): string {
  if (value !== null && typeof value === "object") return JSON.stringify(value, null, 2);
  return typeof value === "string"
    ? value.split("\n").map(visibleText).join("\n")
    : textOfValue(value);
}

/** A value as a file has it: nothing is escaped. */
export function textOfRaw(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Rows as text that a spreadsheet takes: a line for each, tabs between values. */
export function tabbedText(
  columns: readonly string[],
  rows: readonly Record<string, unknown>[],
): string {
  const cell = (value: unknown) => textOfRaw(value).replace(/[\t\r\n]+/g, " ");
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))]
    .map((line) => line.map(cell).join("\t"))
    .join("\n");
}

export function isNumber(type: string): boolean {
  return (
    /^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\b|DOUBLE|DECIMAL|FLOAT)/.test(type) && !type.endsWith("]")
  );
}
