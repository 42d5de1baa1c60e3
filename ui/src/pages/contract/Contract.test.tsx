import { screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Contract } from "./Contract";

const server = serverOfTests();

it("of an unknown node says so once, and names similar ones", async () => {
  // Would catch: the same refusal for the contract and for its versions, and a search for the title.
  const refused = { status: 404, body: { detail: "There is no 'ordrs'.", hint: "orders" } };
  server().answer("/api/v1/contract/ordrs", refused);
  server().answer("/api/v1/contract/ordrs/versions", refused);
  const found = [{ kind: "source", name: "orders", of: null, said: "" }];
  server().answer("/api/v1/search", { body: { query: "ordrs", found, more: false } });
  renderAt("/contracts/ordrs", <Contract />, "/contracts/:node");
  expect(await screen.findByRole("link", { name: "orders" })).toBeVisible();
  expect(screen.getAllByText("There is no 'ordrs'.")).toHaveLength(1);
  const searched = server().received.find(({ path }) => path === "/api/v1/search");
  expect(searched?.query.get("q")).toBe("ordrs");
});
