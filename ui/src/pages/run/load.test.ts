import { expect, it } from "vitest";
import { areaOf, stepsOf, summaryOf } from "./load";

const lane = {
  name: "slots",
  size: 2,
  busy: [2, 1, 0, 2],
  by_run: [1, 1, 0, 0],
  waiting: [0, 12.4, 0, 0],
};

it("the load of slots is said in words", () => {
  // Would catch: a chart that somebody who doesn't see it learns nothing from.
  expect(summaryOf(lane).text).toBe(
    "1.3 of 2 busy on average, 0.5 by this run, all busy for 50 % of the time, at most 12 waiting",
  );
  expect(summaryOf({ ...lane, size: null, waiting: [0, 0, 0, 0] }).text).toBe(
    "1.3 busy on average, 0.5 by this run, nothing waited",
  );
});

it("steps are drawn within their frame, also where there is no width or no value", () => {
  // Would catch: NaN in a path, which a browser draws as nothing and complains of.
  const frame = { left: 10, width: 0, top: 0, height: 10, most: 2 };
  expect(areaOf(lane.busy, frame)).not.toContain("NaN");
  expect(areaOf([], frame)).not.toContain("NaN");
  expect(areaOf([4], { ...frame, width: 20 })).toBe("M10,10L10,0L20,0L20,10Z");
});

it("steps are rows of a table with their times", () => {
  // Would catch: a table that begins at the wrong time or has the steps of another lane.
  const rows = stepsOf(lane, { from: "2025-03-01T06:00:00+01:00", step_seconds: 30 });
  expect(rows.map((row) => row.at)).toEqual([
    "2025-03-01T05:00:00.000Z",
    "2025-03-01T05:00:30.000Z",
    "2025-03-01T05:01:00.000Z",
    "2025-03-01T05:01:30.000Z",
  ]);
  expect(rows[1]).toEqual({ at: "2025-03-01T05:00:30.000Z", busy: 1, byRun: 1, waiting: 12.4 });
});
