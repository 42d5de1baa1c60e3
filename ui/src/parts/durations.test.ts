import { expect, it } from "vitest";
import table from "../../../tests/durations.json";
import { formatDuration, formatEstimate, longestOf } from "./durations";

it.each(table as [number, string][])("%s s is %s, as on the terminal", (seconds, text) => {
  // Would catch: one wait that is 50 h 40 min on the page and 51 h on the terminal.
  expect(formatDuration(seconds)).toBe(text);
});

it("writes a column of days in days", () => {
  // Would catch: 57 h 00 min above 6 days 14 h.
  const column = [568_800, null, 205_200, 100_000, 3_600];
  expect(column.map((each) => formatDuration(each ?? 0, longestOf(column)))).toEqual([
    "6 days 14 h",
    "0 s",
    "2 days 9 h",
    "1 day 4 h",
    "1 h 00 min",
  ]);
});

it("gives the range of an estimate only where it is known", () => {
  // Would catch: "4 min (0 s to 0 s)".
  expect(formatEstimate({ seconds: 240, low: 180, high: 360 })).toBe("4 min (3 min to 6 min)");
  expect(formatEstimate({ seconds: 240, low: null, high: null })).toBe("4 min");
});
