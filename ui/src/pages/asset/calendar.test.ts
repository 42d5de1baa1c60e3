import { describe, expect, it } from "vitest";
import { calendarOf } from "./calendar";
import { ordered, within } from "./range";

const calendar = (...keys: string[]) => calendarOf(keys, (key) => key);
const cells = (...keys: string[]) =>
  calendar(...keys)?.cells.map(({ item, at }) => `${item} ${at.column},${at.row}`);

describe("partitions in a calendar", () => {
  it("are weeks and weekdays where they are days", () => {
    // Would catch: a Sunday in the week after it, and a gap that closes.
    expect(cells("2025-03-10", "2025-03-02", "2025-03-03")).toEqual([
      "2025-03-02 0,6",
      "2025-03-03 1,0",
      "2025-03-10 2,0",
    ]);
  });

  it("before 1970 stand on their weekday too", () => {
    // Would catch: a row of -4, which a browser puts somewhere else.
    expect(cells("1969-12-28", "1969-12-29")).toEqual(["1969-12-28 0,6", "1969-12-29 1,0"]);
  });

  it("are days and hours, or years and months", () => {
    expect(cells("2025-03-02T23", "2025-03-03T00")).toEqual([
      "2025-03-02T23 0,23",
      "2025-03-03T00 1,0",
    ]);
    expect(cells("2024-12", "2025-01")).toEqual(["2024-12 0,11", "2025-01 1,0"]);
  });

  it.each([
    ["names", ["us", "eu"]],
    ["of several grains", ["2025-03-02", "2025-03"]],
    ["one of each", ["2025-03-02"]],
    ["an hour that comes twice", ["2025-10-26T02+02:00", "2025-10-26T02+01:00"]],
    ["no dates", ["2025-13-40", "2025-13-41"]],
    ["nothing", []],
  ])("have no calendar where they are %s", (_, keys) => {
    // Would catch: two partitions on one place, of which one can't be clicked.
    expect(calendar(...keys)).toBeNull();
  });

  it("has names of months far enough apart to be read", () => {
    const days = Array.from({ length: 60 }, (_, day) =>
      new Date(Date.UTC(2025, 0, 20 + day)).toISOString().slice(0, 10),
    );
    const { columns } = calendar(...days) ?? { columns: [] };
    expect(columns.map((column) => column.name)).toEqual(["Jan 2025", "Feb 2025", "Mar 2025"]);
    const gaps = columns.slice(1).map((column, index) => column.at - (columns[index]?.at ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(3);
  });
});

describe("a range of partitions", () => {
  it("is the same in either direction, with both ends", () => {
    // Would catch: a backfill from the later to the earlier day, which the server refuses.
    const range = { from: "2025-03-05", to: "2025-03-01" };
    expect(ordered(range)).toEqual({ from: "2025-03-01", to: "2025-03-05" });
    const days = ["2025-02-28", "2025-03-01", "2025-03-05", "2025-03-06"];
    expect(days.filter((day) => within(range, day))).toEqual(["2025-03-01", "2025-03-05"]);
    expect(within(null, "2025-03-01")).toBe(false);
  });
});
