// Rows as CSV, as the server writes them.
import { textOfRaw } from "../../parts/values";

type Values = Record<string, unknown>;

/** A header and a line for each row; texts with a comma, a quote or a line break are quoted. */
export function csvOf(columns: readonly string[], rows: readonly Values[]): string {
  const lines = [columns, ...rows.map((row) => columns.map((name) => textOfRaw(row[name])))];
  return lines.map((line) => `${line.map(quoted).join(",")}\n`).join("");
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
