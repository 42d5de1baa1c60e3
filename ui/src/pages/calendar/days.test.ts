import { describe, expect, it } from "vitest";
import { dayText, daysOffOn, rowsByDate, weekday, type Document, type Row } from "./days";

const row = (date: string, node: string) => ({ date, node, kind: "run" }) as Row;

describe("a day of the calendar", () => {
  it.each([
    ["2025-03-24", 0],
    ["2025-03-30", 6],
    ["2024-02-29", 3],
  ])("%s stands in column %d of a week that begins on Monday", (date, column) => {
    // Would catch: days under the wrong weekday west of Greenwich.
    expect(weekday(date)).toBe(column);
  });

  it("names the month where it changes", () => {
    expect(["2025-03-31", "2025-04-01"].map((date) => dayText(date, false))).toEqual([
      "Mon 31",
      "Tue 1 Apr",
    ]);
    expect(dayText("2025-03-28", true)).toBe("Fri 28 Mar");
  });

  it("has its rows, and the calendars by which nothing is due", () => {
    const rows = [row("2025-03-28", "a"), row("2025-03-29", "b"), row("2025-03-28", "c")];
    expect(
      rowsByDate(rows)
        .get("2025-03-28")
        ?.map((each) => each.node),
    ).toEqual(["a", "c"]);
    const off = [{ calendar: "closed", dates: ["2025-03-29"], nodes: 1 }];
    const document = { days_off: off } as unknown as Document;
    expect(daysOffOn(document, "2025-03-29")).toEqual(["closed"]);
    expect(daysOffOn(document, "2025-03-28")).toEqual([]);
  });
});
