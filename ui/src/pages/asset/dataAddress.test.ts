import { describe, expect, it } from "vitest";
import {
  changed,
  fileAddress,
  filterText,
  nextSort,
  parametersOf,
  queryOf,
  type DataQuery,
} from "./dataAddress";

const QUERY: DataQuery = {
  partition: "2025-03-01",
  version: 7,
  columns: ["a&b", "c"],
  sort: "-a&b",
  filters: [
    { column: 'q"uote', operator: "contains", value: "x&y=z" },
    { column: "c", operator: "null", value: "" },
  ],
  search: "é #",
};

describe("what a page of rows shows is in its address", () => {
  it("comes back as it was, and leaves other parameters alone", () => {
    // Would catch: a shared link that shows other rows, for a column or a value with `&` or `"`.
    const params = changed(new URLSearchParams("part=preview&sort=old"), QUERY);
    expect(params.get("part")).toBe("preview");
    expect(queryOf(new URLSearchParams(params.toString()))).toEqual(QUERY);
    const none = { partition: null, version: null, columns: [], sort: null, filters: [] };
    expect(changed(params, { ...none, search: "" }).toString()).toBe("part=preview");
  });

  it("ignores what can't be read", () => {
    // Would catch: a page that breaks by an old or hostile link.
    const query = queryOf(
      new URLSearchParams(
        'where={&where=[1,"eq"]&where=["a","drop","x"]&where=["a","eq",3]&version=x&columns=&sort=',
      ),
    );
    expect(query.filters).toEqual([{ column: "a", operator: "eq", value: "" }]);
    expect(parametersOf({ ...query, filters: [] })).toEqual({});
  });

  it("sorts up, down and not at all", () => {
    expect(nextSort(null, "a")).toBe("a");
    expect(nextSort("a", "a")).toBe("-a");
    expect(nextSort("-a", "a")).toBeNull();
    expect(nextSort("-a", "b")).toBe("b");
  });

  it("names the file with the same rows of the same snapshot", () => {
    // Would catch: a download of newer rows than those on the page.
    const address = fileAddress("a/b", "csv", { ...QUERY, version: null }, 9);
    expect(address).toMatch(/^\/data\/a%2Fb\.csv\?/);
    expect(queryOf(new URLSearchParams(address.split("?")[1]))).toEqual({ ...QUERY, version: 9 });
    expect(QUERY.filters.map(filterText)).toEqual(['q"uote contains x&y=z', "c is null"]);
  });
});
