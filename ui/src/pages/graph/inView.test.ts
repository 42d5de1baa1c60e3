import { expect, it } from "vitest";
import { centreOf, leastZoom } from "./inView";
import { CARD } from "./layout";

// Three cards in a row and one far below; the window of a phone and of a desktop.
const POSITIONS = new Map([
  ["a", { x: 0, y: 0, ...CARD }],
  ["b", { x: 280, y: 0, ...CARD }],
  ["c", { x: 560, y: 0, ...CARD }],
  ["far", { x: 5000, y: 3000, ...CARD }],
]);
const PHONE = { width: 343, height: 384 };
const DESKTOP = { width: 1000, height: 700 };
const START = { x: 32, y: 100, zoom: 1 };

it("shows all matches that can be read together", () => {
  expect(centreOf(["b", "c"], POSITIONS, DESKTOP, { x: -2000, y: 0, zoom: 1 })).toEqual({
    x: 524,
    y: 28,
    zoom: 1,
  });
});

it("shows the first of matches that can’t be read together", () => {
  // Would catch: a window of cards that are too small to read, or one between the matches.
  expect(centreOf(["c", "far"], POSITIONS, DESKTOP, { ...START, x: -900 })).toEqual({
    x: 664,
    y: 28,
    zoom: 1,
  });
  expect(centreOf(["c", "b"], POSITIONS, PHONE, START)).toEqual({ x: 664, y: 28, zoom: 1 });
});

it("leaves a window in which the matches are already", () => {
  expect(centreOf(["a", "b"], POSITIONS, DESKTOP, START)).toBeNull();
  expect(centreOf([], POSITIONS, DESKTOP, START)).toBeNull();
  expect(centreOf(["gone"], POSITIONS, DESKTOP, START)).toBeNull();
});

it("comes nearer if cards are too small to read, and no nearer than they fit", () => {
  expect(centreOf(["a"], POSITIONS, DESKTOP, { x: 0, y: 0, zoom: 0.2 })?.zoom).toBe(0.75);
  const zoom = centreOf(["a", "c"], POSITIONS, DESKTOP, { x: 0, y: -900, zoom: 1.6 })?.zoom ?? 0;
  expect(zoom * 768).toBeCloseTo(1000 - 64);
});

it("opens with all of a view whose names can be read, else with a part that can", () => {
  // Would catch: a graph that opens without its consumers, or too small to read a name.
  const row = (count: number) =>
    new Map(Array.from({ length: count }, (_, at) => [`${at}`, { x: at * 256, y: 0, ...CARD }]));
  expect(leastZoom(row(7), DESKTOP)).toBe(0.35);
  expect(leastZoom(row(20), DESKTOP)).toBe(0.75);
});
