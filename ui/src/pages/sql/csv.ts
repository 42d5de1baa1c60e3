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

/** Saves a text as a file. */
export function save(name: string, type: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
}
