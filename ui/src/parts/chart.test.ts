import { describe, expect, it } from "vitest";
import { chartOf, frameOf } from "./chart";

const WIDTH = 640;
const HEIGHT = 170;
const of = (values: readonly (number | null)[], expected?: number) =>
  chartOf({
    points: values.map((value) => ({ value })),
    expected,
    width: WIDTH,
    height: HEIGHT,
    format: String,
  });

describe("a chart", () => {
  it.each([
    [[-3, -10, -7], undefined],
    [[5, -5], 40],
    [[0, 0], undefined],
    [[2], 0.5],
    [[null, null], undefined],
  ])("of %j keeps everything inside its box", (values, expected) => {
    // Would catch: negative values drawn outside of it, and NaN where all are zero.
    const chart = of(values, expected);
    const heights = [0, ...values.map((value) => value ?? 0), expected ?? 0].map(chart.y);
    const places = values.map((_, index) => chart.x(index));
    for (const y of heights) expect(y).toSatisfy((y: number) => y >= 0 && y <= HEIGHT);
    for (const x of places) expect(x).toSatisfy((x: number) => x >= 0 && x <= WIDTH);
  });

  it("draws more above less, also below zero", () => {
    // Would catch: a fall from -3 to -10 that looks like a rise.
    const { y } = of([-3, -10]);
    expect(y(-3)).toBeLessThan(y(-10));
  });

  it("has no tick between whole numbers that are written alike", () => {
    // Would catch: an axis of one row that says "0 rows" and "1 row" three times each.
    const labels = (format: (value: number) => string) =>
      chartOf({
        points: [{ value: 1 }],
        width: WIDTH,
        height: HEIGHT,
        format,
      }).ticks.map(({ label }) => label);
    expect(labels((rows) => rows.toFixed(0))).toEqual(["0", "1"]);
    expect(labels((share) => `${(share * 100).toFixed(0)} %`)).toContain("60 %");
  });

  it("keeps a tick where all are written alike", () => {
    // Would catch: an axis without ticks, whose width and places across are no numbers.
    const frame = frameOf({
      count: 2,
      least: 123_456.1,
      most: 123_456.4,
      width: WIDTH,
      height: HEIGHT,
      format: (value) => value.toFixed(0),
    });
    expect(frame.ticks.map(({ label }) => label)).toEqual(["123456"]);
    const wide = frameOf({
      count: 2,
      least: 123_456.1,
      most: 123_456.9,
      width: WIDTH,
      height: HEIGHT,
      format: (value) => value.toFixed(0),
    });
    expect(wide.ticks.map(({ label }) => label)).toEqual(["123456", "123457"]);
    expect([frame.x(0), wide.x(1)]).toSatisfy((places: number[]) => places.every(Number.isFinite));
  });

  it("draws no line over a partition without a value", () => {
    // Would catch: a missing day that looks like one between its neighbours.
    const { segments } = of([1, null, 2, 3, null]);
    expect(segments.map((segment) => segment.map((place) => place.index))).toEqual([[0], [2, 3]]);
  });

  it("outlines what is usual only where it is known", () => {
    // Would catch: a band down to zero over the partitions without enough history.
    const points = [
      { value: 5, low: null, high: null },
      { value: 5, low: 4, high: 6 },
      { value: 5, low: 4, high: 6 },
    ];
    const { bands } = chartOf({ points, width: WIDTH, height: HEIGHT, format: String });
    expect(bands.map((band) => band.split(" ").length)).toEqual([4]);
  });

  it("finds the point that is nearest to the pointer", () => {
    // Would catch: a reading of the neighbour, and of a point beyond the last one.
    const { x, nearest } = of([1, 2, 3, 4]);
    expect([nearest(x(2) + 3), nearest(-50), nearest(5000)]).toEqual([2, 0, 3]);
    expect(of([7]).nearest(500)).toBe(0);
  });

  it("has round hours on the axis of a duration, with room for their labels", () => {
    // Would catch: lines at 2 h 47 min, and labels that begin outside of the chart.
    const points = [{ value: 9 * 3600 }];
    const format = (value: number) => `${value / 3600} h 00 min`;
    const chart = chartOf({ points, width: WIDTH, height: HEIGHT, format, unitOf: () => 3600 });
    expect(chart.ticks.map(({ value }) => value / 3600)).toEqual([0, 2, 4, 6, 8]);
    expect(chart.left).toBeGreaterThan(7 * "8 h 00 min".length);
  });

  it("names the first and the last partition and as many between as fit", () => {
    // Would catch: names on top of one another.
    const { named } = of(Array.from({ length: 60 }, (_, index) => index));
    expect(named.length).toBeLessThanOrEqual(6);
    expect([named[0], named.at(-1)]).toEqual([0, 59]);
  });
});
