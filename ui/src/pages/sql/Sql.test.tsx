import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, it } from "vitest";
import { renderAt } from "../../testing/render";
import { serverOfTests } from "../../testing/server";
import { Sql } from "./Sql";

const server = serverOfTests();

it("says that an answer can't be read, and doesn't blame the network", async () => {
  // Would catch: "is it still running?" although a proxy's login page has answered.
  server().answer("/api/v1/sql", { body: "<html>log in</html>" });
  renderAt("/sql?query=select+1", <Sql />);
  await userEvent.click(screen.getByRole("button", { name: "Run query" }));
  expect(await screen.findByText("The server’s answer can’t be read.")).toBeVisible();
});
