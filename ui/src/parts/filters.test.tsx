import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { renderAt } from "../testing/render";
import { serverOfTests } from "../testing/server";
import { Checks } from "../pages/checks/Checks";
import { Use } from "../pages/use/Use";
import { useFilters } from "./filters";

const server = serverOfTests();

function Form() {
  const { values, set, clear } = useFilters(["owner", "state"]);
  return (
    <>
      <p>{JSON.stringify(values)}</p>
      <button type="button" onClick={() => set("owner", "a&b")}>
        Set
      </button>
      <button type="button" onClick={() => set("owner", "")}>
        Remove
      </button>
      <button type="button" onClick={clear}>
        Clear
      </button>
    </>
  );
}
const address = () => screen.getByRole("status", { name: "Address" }).textContent;
const press = (name: string) => userEvent.click(screen.getByRole("button", { name }));

describe("filters in the address", () => {
  it("are set and removed one by one", async () => {
    // Would catch: a filter that removes another one, or `?owner=` that filters for nobody.
    renderAt("/assets?state=late&other=1", <Form />);
    await press("Set");
    expect(address()).toBe("/assets?state=late&other=1&owner=a%26b");
    expect(screen.getByText('{"owner":"a&b","state":"late"}')).toBeVisible();
    await press("Remove");
    expect(address()).toBe("/assets?state=late&other=1");
    await press("Clear");
    expect(address()).toBe("/assets");
  });
});

describe("an order that doesn't exist", () => {
  it.each(["constructor", "toString", "nonsense"])("?sort=%s shows the usual one", async (sort) => {
    // Would catch: a link that breaks the page.
    server().answer("/api/v1/checks", {
      body: [
        {
          check: "unique",
          node: "orders",
          kind: "unique",
          owner: "core",
          state: "never",
          severity: "blocking",
          history: [],
          failures: 0,
          runs: 0,
          at: null,
        },
      ],
    });
    const row = {
      node: "b",
      reader: null,
      via: null,
      reads: 0,
      last_at: null,
      seconds: 1,
      said: "",
    };
    server().answer("/api/v1/figures/use", {
      body: { said: [], rows: [row, { ...row, node: "a", seconds: 2 }] },
    });
    renderAt(
      `/?sort=${sort}`,
      <>
        <Checks />
        <Use />
      </>,
    );
    expect(await screen.findByRole("link", { name: "unique" })).toBeVisible();
    const nodes = await screen.findByRole("group", { name: "Nodes" });
    expect([...nodes.querySelectorAll("strong")].map((name) => name.textContent)).toEqual([
      "a",
      "b",
    ]);
  });
});
