// What comes first on the first page: whoever is served worst.
import type { Schema } from "../../api/client";

const ORDER = ["wrong", "late", "never", "unknown", "at_risk", "served"];

export function worstFirst(rows: readonly Schema["ConsumerRow"][]): Schema["ConsumerRow"][] {
  return rows.toSorted(
    (a, b) =>
      ORDER.indexOf(a.state) - ORDER.indexOf(b.state) ||
      (a.since ?? "").localeCompare(b.since ?? ""),
  );
}

export function mostHeldFirst(rows: readonly Schema["IncidentRow"][]): Schema["IncidentRow"][] {
  return rows.toSorted(
    (a, b) =>
      b.affected.consumers.length - a.affected.consumers.length ||
      b.opened_at.localeCompare(a.opened_at),
  );
}
