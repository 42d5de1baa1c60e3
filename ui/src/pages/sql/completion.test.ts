import { describe, expect, it } from "vitest";
import { completed, keywordsFor, tableOf, tablesIn, wordAt, written } from "./completion";

const at = (query: string) => wordAt(query.replace("|", ""), query.indexOf("|"));

describe("what can follow at the caret", () => {
  it("knows the word, and the table before its dot", () => {
    // Would catch: columns of no table after a dot, or offers in the middle of a text.
    expect(at("select am| from orders")).toEqual({ from: 7, text: "am", of: null });
    expect(at("select o.am|")).toEqual({ from: 9, text: "am", of: "o" });
    expect(at('select "a ""b".x|')).toEqual({ from: 15, text: "x", of: 'a "b' });
    expect(at('select "am|')).toEqual({ from: 7, text: "am", of: null });
    expect(at("select 'am|")).toBeNull();
    expect(at("select 1 -- am|")).toBeNull();
    expect(at("select 1 -- x\nam|")).toEqual({ from: 14, text: "am", of: null });
  });

  it("follows what FROM and JOIN call a table", () => {
    const query = 'select * from orders as o join "my lines" l on o.id = l.id';
    expect(tableOf(query, "O")).toBe("orders");
    expect(tableOf(query, "l")).toBe("my lines");
    expect(tableOf(query, "x")).toBe("x");
    expect(tablesIn(query)).toEqual(["orders", "my lines"]);
  });

  it("writes names so that they can be read again, and keywords as somebody types them", () => {
    // Would catch: a column `order date` that ends the query, or one with a quote in it.
    expect(written("day")).toBe("day");
    expect(written('or"der date')).toBe('"or""der date"');
    expect(keywordsFor("SEL").map(({ text }) => text)).toEqual(["SELECT"]);
    expect(keywordsFor("s")).toEqual([]);
  });

  it("replaces the word alone", () => {
    const query = "select am from orders";
    const word = wordAt(query, 9);
    expect(word && completed(query, word, 9, "amount")).toEqual({
      query: "select amount from orders",
      caret: 13,
    });
  });
});
