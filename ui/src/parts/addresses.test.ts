import { expect, it } from "vitest";
import { addressOf } from "./addresses";

it("encodes a name as a whole", () => {
  // Would catch: an asset called `a/b?c#d` that opens the page of another one.
  expect(addressOf("asset", "a/b?c#d")).toBe("/assets/a%2Fb%3Fc%23d");
});

it("finds a column at its asset, and an owner in the catalog", () => {
  expect(addressOf("column", "amount&x=1", "orders")).toBe("/assets/orders?column=amount%26x%3D1");
  expect(addressOf("owner", "core")).toBe("/assets?owner=core");
});

it("sends a kind without a page of its own to the catalog", () => {
  // Would catch: a kind named like a property of every object (`constructor`) as a page.
  expect(addressOf("constructor", "x")).toBe("/assets?constructor=x");
});
