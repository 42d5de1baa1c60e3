import { describe, expect, it } from "vitest";
import { cellText, isNumber, readableValue, tabbedText, textOfValue } from "./values";

describe("values of rows as text", () => {
  it("keeps a row in a line, whatever is in it", () => {
    // Would catch: a value with a line break or a tab that moves the others to the wrong columns.
    const rows = [{ a: "x\ty\nz", b: null, c: { d: [1, "two"] } }];
    expect(tabbedText(["a", "b", "c"], rows)).toBe('a\tb\tc\nx y z\t\t{"d":[1,"two"]}');
  });

  it("shows what can't be seen, and cuts what is long", () => {
    expect(textOfValue("\u202e")).toBe("\\u202e");
    expect(cellText("x".repeat(500))).toHaveLength(161);
    expect(readableValue({ a: 1 })).toBe('{\n  "a": 1\n}');
    expect(readableValue(null)).toBe("");
  });

  it.each([
    ["BIGINT", true],
    ["DECIMAL(18,2)", true],
    ["UINTEGER", true],
    ["INTERVAL", false],
    ["INTEGER[]", false],
    ["VARCHAR", false],
    ["STRUCT(a INTEGER)", false],
  ])("%s is a number: %s", (type, number) => {
    // Would catch: intervals and lists set like figures.
    expect(isNumber(type)).toBe(number);
  });
});
