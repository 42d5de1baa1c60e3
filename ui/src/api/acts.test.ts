import { describe, expect, it } from "vitest";
import { serverOfTests } from "../testing/server";
import { perform, type Act } from "./acts";
import { Problem } from "./client";

const server = serverOfTests();
const RETRY = "/api/v1/retry";
const ACT = "/api/v1/acts/7";
const running: Act = {
  id: "7",
  act: "retry",
  state: "running",
  began_at: "2025-03-03T12:00:00Z",
  what: "Computing",
  done: 1,
  total: 3,
  ahead: "",
  notes: [],
  document: null,
  problem: null,
};
const accepted = { status: 202, headers: { location: ACT }, body: running };
const ignore = () => undefined;

describe("an act", () => {
  it("is sent with the header that no other site can send", async () => {
    // Would catch: an act that the server refuses, or one that a form of another site can send.
    server().answer(RETRY, { body: { state: "succeeded" } });
    expect(await perform(RETRY, { target: "a" }, ignore)).toEqual({ state: "succeeded" });
    const [request] = server().received;
    expect(request?.headers["x-headrace-act"]).toBe("1");
    expect(JSON.parse(request?.body ?? "")).toEqual({ target: "a" });
  });

  it("that takes long is followed to its end", async () => {
    // Would catch: "done" as soon as it has begun.
    server().answer(RETRY, accepted);
    server().answer(
      ACT,
      { body: { ...running, done: 2 } },
      { body: { ...running, state: "done", document: { state: "succeeded" } } },
    );
    const done: number[] = [];
    const document = await perform(RETRY, {}, (act) => done.push(act.done));
    expect({ document, done }).toEqual({ document: { state: "succeeded" }, done: [1, 2] });
  });

  it("is followed further after an answer that was cut off", async () => {
    // Would catch: "failed", because a server that restarts sent half an answer.
    server().answer(RETRY, accepted);
    server().answer(
      ACT,
      { body: '{"state": "run' },
      { body: { ...running, state: "done", document: 5 } },
    );
    expect(await perform(RETRY, {}, ignore)).toBe(5);
  });

  it("that fails after its beginning is a problem with its reason", async () => {
    // Would catch: a failed act that closes its dialog as if it had been done.
    server().answer(RETRY, accepted);
    const problem = {
      status: 409,
      detail: "The run has ended.",
      hint: "",
      code: "ended",
      refused: null,
    };
    server().answer(ACT, { body: { ...running, state: "failed", problem } });
    await expect(perform(RETRY, {}, ignore)).rejects.toMatchObject({
      message: "The run has ended.",
      code: "ended",
    });
  });

  it("that is refused is a problem", async () => {
    server().answer(RETRY, {
      status: 403,
      body: { detail: "Not allowed.", hint: "Ask an admin." },
    });
    await expect(perform(RETRY, {}, ignore)).rejects.toMatchObject({
      message: "Not allowed.",
      hint: "Ask an admin.",
    });
  });

  it.each([
    ["the server can’t be reached", () => server().stop()],
    [
      "the answer can’t be read",
      () => {
        server().answer(RETRY, { body: "<html>" });
        return Promise.resolve();
      },
    ],
  ])("isn't said to be undone where %s", async (_, prepare) => {
    // Would catch: somebody does it twice.
    await prepare();
    const error: unknown = await perform(RETRY, {}, ignore).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Problem);
    expect(String(error)).toContain("it isn’t known whether this was done");
  });
});
