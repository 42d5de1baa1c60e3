import { screen } from "@testing-library/react";
import { expect, it, vi } from "vitest";
import { renderAt } from "../../testing/render";
import { NO_ADDRESS, type Card } from "./card";
import { Drawer } from "./Drawer";

const CARD = {
  ...{ id: "source:flights", kind: "source", name: "flights", worst: "behind", count: 1 },
  ...{ states: [], owner: "feed", domain: null, data_through: "2013-02-10", steps: 0 },
  ...{ paused: false, quarantined: true, incident: "INC-1", cause: true },
  ...{ hidden_above: 0, hidden_below: 2, matching: null, state: "behind" },
} as Card;

it("says what is known of a card, and leads on from it", () => {
  // Would catch: a click that leaves the graph, or a card that doesn't say that it is the cause.
  renderAt("/graph", <Drawer card={CARD} address={NO_ADDRESS} close={vi.fn()} />);
  const drawer = screen.getByRole("complementary", { name: "flights" });
  expect(drawer).toHaveTextContent("behind cause of INC-1");
  expect(drawer).toHaveTextContent("Ownerfeed");
  expect(drawer).toHaveTextContent("Not shown2 neighbours");
  expect(drawer).not.toHaveTextContent("Domain");
  expect(screen.getByRole("heading", { name: "flights" })).toHaveFocus();
  const addresses = screen.getAllByRole("link").map((link) => link.getAttribute("href"));
  expect(addresses).toEqual([
    "/incidents/INC-1",
    "/sources/flights",
    "/graph?mode=focus&root=flights",
    "/graph?mode=blast&root=flights",
  ]);
});
