import { expect, it } from "vitest";
import type { Document, Row } from "./days";
import { hoursOf, isTonight, laterBy, minutesAt, movedByKey, snapped } from "./timeline";

it("counts minutes on the project's clock", () => {
  // Would catch: hours of the viewer's zone, and a night that ends at midnight.
  expect(minutesAt("2025-03-05T05:30:00+01:00", "2025-03-05")).toBe(330);
  expect(minutesAt("2025-03-06T01:00:00+01:00", "2025-03-05")).toBe(1_500);
  expect(laterBy("2025-03-05T05:30:00+01:00", 90)).toBe("2025-03-05T06:00:00.000Z");
});

it("moves in quarters of an hour, within what can be simulated", () => {
  expect([-20, 7, 8, 800].map(snapped)).toEqual([0, 0, 15, 720]);
  expect(movedByKey("ArrowRight", 0)).toBe(15);
  expect(movedByKey("ArrowLeft", 10)).toBe(0);
  expect(movedByKey("PageUp", 700)).toBe(720);
  expect(movedByKey("Escape", 90)).toBe(0);
  expect(movedByKey("End", 0)).toBe(720);
  expect(movedByKey("a", 90)).toBeNull();
});

const row = (kind: string, node: string, at: string, ends_at: string | null, times = 1) =>
  ({ kind, node, first_at: at, last_at: at, ends_at, times }) as Row;

it.each([
  ["2025-03-05T00:30:00+01:00", "2025-03-05T23:30:00+01:00", "2025-03-04T22:00:00+01:00", true],
  ["2025-03-06T00:30:00+01:00", "2025-03-06T23:30:00+01:00", "2025-03-05T22:00:00+01:00", false],
  ["2025-03-04T09:30:00+01:00", "2025-03-04T23:30:00+01:00", "2025-03-04T07:00:00+01:00", false],
])(
  "has hourly times from %s until %s, the first of which is for %s: %s",
  (first, last, ends, is) => {
    // Would catch: hourly deliveries with a lag that the day after tomorrow has.
    const hourly = { ...row("delivery", "events", first, ends, 24), last_at: last };
    expect(isTonight(hourly, ["2025-03-04", "2025-03-05"])).toBe(is);
  },
);

it("shows what the simulated night has", () => {
  // Would catch: a handle on a delivery that isn't simulated, such as one that is late today.
  const tomorrow = "2025-03-05T00:00:00+01:00";
  const rows = [
    row("delivery", "late", "2025-03-04T10:00:00+01:00", "2025-03-04T00:00:00+01:00"),
    row("delivery", "orders", "2025-03-05T20:00:00+01:00", tomorrow),
    row("delivery", "week", "2025-03-09T10:00:00+01:00", tomorrow),
    row("deadline", "hourly", "2025-03-05T00:20:00+01:00", tomorrow, 24),
    row("deadline", "report", "2025-03-05T09:00:00+01:00", tomorrow),
    row("run", "job", "2025-03-05T09:00:00+01:00", null),
  ];
  const document = { rows, dates: ["2025-03-04", "2025-03-05"] } as Document;
  expect(rows.filter((each) => isTonight(each, document.dates)).map(({ node }) => node)).toEqual([
    "orders",
    "week",
    "hourly",
    "report",
  ]);
  const hours = hoursOf(document, undefined);
  expect(hours.deliveries.map(({ row: { node }, minute }) => [node, minute])).toEqual([
    ["orders", 1_200],
  ]);
  expect(hours.deadlines.map(({ row: { node } }) => node)).toEqual(["report"]);
  expect(hours.length).toBe(2_160);
  expect(hours.left).toBe(0);
});
