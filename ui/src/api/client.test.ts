import { describe, expect, it } from "vitest";
import { serverOfTests } from "../testing/server";
import { Problem, read } from "./client";

const server = serverOfTests();
const STATUS = "/api/v1/status";

async function problem(): Promise<Problem> {
  const error: unknown = await read(STATUS, {}).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Problem)) throw new Error(`no Problem: ${String(error)}`);
  return error;
}

describe("a refused request", () => {
  it("has the server's message, its hint and its code", async () => {
    // Would catch: a person reads "409" instead of what is wrong and what to do about it.
    const refused = { plan_id: "p1", code: "plan_changed", files: ["a.sql"], changed: [] };
    const body = {
      detail: "The plan changed.",
      hint: "Plan again.",
      code: "plan_changed",
      refused,
    };
    server().answer(STATUS, { status: 409, body });
    const { status, message, hint, code, refused: differs } = await problem();
    expect({ status, message, hint, code }).toEqual({
      status: 409,
      message: "The plan changed.",
      hint: "Plan again.",
      code: "plan_changed",
    });
    expect(differs).toEqual(refused);
  });

  it("of a proxy that answers with HTML is told by its status", async () => {
    // Would catch: a crash on a page that is no JSON, or its markup shown as the message.
    server().answer(STATUS, { status: 502, body: "<h1>Bad gateway</h1>" });
    expect((await problem()).message).toBe("The server answered 502.");
  });

  it("with an empty body is told by its status", async () => {
    // Would catch: an empty red box.
    server().answer(STATUS, { status: 500, body: "" });
    const { message, status } = await problem();
    expect({ message, status }).toEqual({ message: "The server answered 500.", status: 500 });
  });
});

describe("a request without an answer", () => {
  it("says that the server can't be reached", async () => {
    // Would catch: "fetch failed" on the page while the server is restarted.
    await server().stop();
    expect(await problem()).toMatchObject({ status: 0, message: "The server can’t be reached." });
  });

  it("that the page itself gave up stays an abort", async () => {
    // Would catch: an error that flashes up whenever somebody types on while a search is under way.
    const controller = new AbortController();
    controller.abort();
    await expect(read(STATUS, {}, controller.signal)).rejects.not.toBeInstanceOf(Problem);
  });

  it("that can't be read isn't blamed on the network", async () => {
    // Would catch: "is it still running?" although a proxy's login page has answered.
    server().answer(STATUS, { body: "<html>log in</html>" });
    expect((await problem()).message).toBe("The server’s answer can’t be read.");
  });
});
