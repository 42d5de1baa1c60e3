import { describe, expect, it } from "vitest";
import { chartOf, EDGE, HEIGHT, WIDTH } from "./chart";

describe("a chart", () => {
  it.each([
    [[-3, -10, -7], undefined],
    [[5, -5], 40],
    [[0, 0], undefined],
    [[2], 0.5],
    [[null, null], undefined],
  ])("of %j keeps everything inside its box", (values, expected) => {
    // Would catch: negative values drawn outside of it, and NaN where all are zero.
    const chart = chartOf(values, expected);
    const heights = [0, ...values.map((value) => value ?? 0), expected ?? 0].map(chart.y);
    const places = values.map((_, index) => chart.x(index));
    for (const y of heights) expect(y).toSatisfy((y: number) => y >= EDGE && y <= HEIGHT - EDGE);
    for (const x of places) expect(x).toSatisfy((x: number) => x >= EDGE && x <= WIDTH - EDGE);
  });

  it("draws more above less, also below zero", () => {
    // Would catch: a fall from -3 to -10 that looks like a rise.
    const { y } = chartOf([-3, -10], undefined);
    expect(y(-3)).toBeLessThan(y(-10));
  });

  it("draws no line over a partition without a value", () => {
    // Would catch: a missing day that looks like one between its neighbours.
    const { segments } = chartOf([1, null, 2, 3, null], undefined);
    expect(segments.map((segment) => segment.map((place) => place.index))).toEqual([[0], [2, 3]]);
  });
});
