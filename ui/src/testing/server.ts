// A server for tests: real HTTP on the loopback address, with the answers that a test gives it.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach } from "vitest";

type Answer = { status?: number; headers?: Record<string, string>; body: unknown };
type Received = {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  body: string;
};

export class TestServer {
  /** What was asked for, in order. */
  readonly received: Received[] = [];
  private readonly answers = new Map<string, Answer[]>();
  private readonly http = createServer((request, response) => {
    void this.receive(request).then(({ status = 200, headers = {}, body }) => {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      response.writeHead(status, { "content-type": "application/json", ...headers });
      response.end(text);
    });
  });

  /** Answers a path; several answers are given one after another, the last one from then on. */
  answer(path: string, ...answers: readonly Answer[]): void {
    this.answers.set(path, [...answers]);
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.http.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }

  private async receive(request: IncomingMessage): Promise<Answer> {
    const url = new URL(request.url ?? "/", "http://server");
    let body = "";
    for await (const chunk of request) body += String(chunk);
    this.received.push({
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body,
    });
    const answers = this.answers.get(url.pathname) ?? [];
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return answer ?? { status: 404, body: { detail: `no answer for ${url.pathname}` } };
  }
}

const { fetch: fetchAnywhere, Request: AnyRequest } = globalThis;
let origin = "http://127.0.0.1:9"; // nobody listens there

const addressed = (input: RequestInfo | URL) =>
  typeof input === "string" ? new URL(input, origin) : input;

/** Send addresses without a host to the test's server, as a browser sends them to the page's. */
export function addressServer(): void {
  globalThis.fetch = (input, init) => fetchAnywhere(addressed(input), init);
  globalThis.Request = class extends AnyRequest {
    constructor(input: RequestInfo | URL, init?: RequestInit) {
      super(addressed(input), init);
    }
  };
}

/** A server for each test of a file. */
export function serverOfTests(): () => TestServer {
  let server = new TestServer();
  beforeEach(async () => {
    server = new TestServer();
    origin = await server.start();
  });
  afterEach(() => server.stop());
  return () => server;
}
