import { expect, it } from "vitest";
import { figureName } from "./figureNames";

it("shows what can't be seen in a category", () => {
  // Would catch: a value of the data that reverses the text after it.
  expect(figureName("share", "pa\u202eid")).toBe("Share of “pa\\u202eid”");
  expect(figureName("nulls", null)).toBe("Nulls");
});
