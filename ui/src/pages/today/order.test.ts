import { expect, it } from "vitest";
import type { Schema } from "../../api/client";
import { mostHeldFirst, worstFirst } from "./order";

it("puts wrong and late consumers first, and of those that wait the longest waiting", () => {
  // Would catch: a served consumer above one that has waited since yesterday.
  const consumer = (name: string, state: string, since: string | null) =>
    ({ name, state, since }) as Schema["ConsumerRow"];
  const rows = [
    consumer("served", "served", null),
    consumer("late since Tuesday", "late", "2025-03-04T07:00:00Z"),
    consumer("at risk", "at_risk", null),
    consumer("late since Monday", "late", "2025-03-03T07:00:00Z"),
    consumer("wrong", "wrong", "2025-03-05T07:00:00Z"),
  ];
  expect(worstFirst(rows).map((row) => row.name)).toEqual([
    "wrong",
    "late since Monday",
    "late since Tuesday",
    "at risk",
    "served",
  ]);
});

it("puts the incidents first that hold the most consumers", () => {
  const incident = (id: string, consumers: string[], opened_at: string) =>
    ({ id, affected: { consumers }, opened_at }) as Schema["IncidentRow"];
  const rows = [
    incident("old", [], "2025-03-01T07:00:00Z"),
    incident("new", [], "2025-03-02T07:00:00Z"),
    incident("holds two", ["a", "b"], "2025-02-01T07:00:00Z"),
  ];
  expect(mostHeldFirst(rows).map((row) => row.id)).toEqual(["holds two", "new", "old"]);
});
