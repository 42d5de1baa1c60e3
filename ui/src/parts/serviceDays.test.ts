import { expect, it } from "vitest";
import { daysText } from "./serviceDays";

it("says on which days a consumer wasn't served", () => {
  // Would catch: a strip that only those who see it can read; a day without a promise as served.
  const days = [
    { date: "2025-02-09", state: null },
    { date: "2025-02-10", state: "served" },
    { date: "2025-02-11", state: "wrong" },
    { date: "2025-02-12", state: "unknown" },
    { date: "2025-02-13", state: "served" },
  ];
  expect(daysText(days)).toBe(
    "2 served, 1 wrong (2025-02-11), 1 not observed (2025-02-12), 1 nothing due",
  );
});
