import { expect, it } from "vitest";
import { capitalised, many, neededBy, windowOf } from "./words";

it.each([
  [many(0, "row"), "0 rows"],
  [many(1, "row"), "1 row"],
  [many(2740, "row"), "2,740 rows"],
  [many(1, "delivery", "deliveries"), "1 delivery"],
  [many(2, "delivery", "deliveries"), "2 deliveries"],
])("counts %s", (text, expected) => {
  // Would catch: "1 rows", "2 deliverys", and figures that nobody can read.
  expect(text).toBe(expected);
});

it("capitalises the first letter only", () => {
  expect([capitalised("the iPhone"), capitalised("")]).toEqual(["The iPhone", ""]);
});

it.each([
  ["07:00 daily", "by 07:00 daily"],
  ["30 h old", "at most 30 h old"],
  ["", "whenever there is some"],
])("says of the promise %j: %s", (needs, text) => {
  // Would catch: "by 30 h old", and "by" before nothing.
  expect(neededBy(needs)).toBe(text);
});

it.each([
  ["30d", "30 days"],
  ["1d", "1 day"],
  ["12h", "12h"],
])("writes the window %s as %s", (window, text) => {
  expect(windowOf(window)).toBe(text);
});
