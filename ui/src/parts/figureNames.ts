// How the figures of a column are named and written.
import { visibleText } from "./visible";
import { many } from "./words";

const FAMILIES: Record<string, string> = {
  rows: "Rows",
  nulls: "Nulls",
  empty: "Empty texts",
  negative: "Negative values",
  zero: "Zeros",
  share: "Share",
  location: "Size of the values",
  spread: "Spread of the values",
  distinct: "Distinct values",
  length: "Characters on average",
  hour_mean: "Hour of the day on average",
  hour_q95: "Hour until which nearly all are",
};
const UNITS: Record<string, (value: number) => string> = {
  share: (value) => `${(100 * value).toFixed(value >= 0.095 || value === 0 ? 0 : 1)} %`,
  hours: (value) => `${value.toFixed(1)} h`,
  number: (value) =>
    value.toLocaleString(
      "en",
      value < 100 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 0 },
    ),
};

/** Nulls; Share of “paid”. */
export function figureName(figure: string, category: string | null): string {
  const family = FAMILIES[figure] ?? figure;
  return category === null ? family : `${family} of “${visibleText(category)}”`;
}

/** How values of a unit are written: 12 %, 7.5 h, 1,204. */
export function formatOf(unit: string): (value: number) => string {
  return UNITS[unit] ?? String;
}

export const formatRows = (value: number) => many(Math.round(value), "row");

/** 0.0123 EUR, 1,204 EUR. */
export const formatCostIn = (currency: string) => (value: number) =>
  `${formatOf("number")(value)} ${currency}`;

const STEPS = ["B", "kB", "MB", "GB", "TB"];

/** 812 B, 4.1 kB, 1.2 GB. */
export function formatBytes(bytes: number): string {
  const step = Math.min(
    Math.max(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 0),
    STEPS.length - 1,
  );
  const value = bytes / 1000 ** step;
  return `${value < 10 && step ? value.toFixed(1) : value.toFixed(0)} ${STEPS[step] ?? ""}`;
}
