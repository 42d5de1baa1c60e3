// Responses of the API, typed by the server's own description: paths and parameters that it doesn't have don't compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schema = components["schemas"];
export type GetPath = {
  [P in keyof paths]: paths[P] extends { get: { responses: { 200: unknown } } } ? P : never;
}[keyof paths];
type Operation<P extends GetPath> = paths[P] extends { get: infer O } ? O : never;
export type Parameters<P extends GetPath> =
  Operation<P> extends { parameters: infer A } ? Omit<A, "header" | "cookie"> : never;
export type ResponseOf<P extends GetPath> =
  Operation<P> extends { responses: { 200: { content: { "application/json": infer D } } } }
    ? D
    : never;

type Refused = Schema["RefusedRow"];

/**
 * What the server said no with, in its own words: `message` is what, `hint` is what to do about it. Of a plan that
 * wasn't done, `code` is why (`plan_changed`, `values_differ`, …) and `refused` what differs.
 */
export class Problem extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly hint: string,
    readonly code = "",
    readonly refused: Refused | null = null,
  ) {
    super(detail);
  }
}

export const client = createClient<paths>({ baseUrl: "/" });

/** A page of another site, or a form, can't send it. */
export const ACT_HEADER = { "x-headrace-act": "1" };

/** When the server last gave a document, by the browser's clock. */
export const answered = { at: Date.now() };

/** The response at a path. Throws Problem, also where the server can't be reached (status 0). */
export async function read<P extends GetPath>(
  path: P,
  params: Parameters<P>,
  signal?: AbortSignal,
): Promise<ResponseOf<P>> {
  return (await request(path, params, signal)).document;
}

/** The same with the answer's headers. */
export async function request<P extends GetPath>(
  path: P,
  params: Parameters<P>,
  signal?: AbortSignal,
): Promise<{ document: ResponseOf<P>; headers: Headers }> {
  const get = client.GET as unknown as (
    path: string,
    init: unknown,
  ) => Promise<{ data?: ResponseOf<P>; error?: unknown; response: Response }>;
  const result = await get(path, { params, signal }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw problemWithoutAnswer(error);
  });
  if (result.data === undefined) throw problemOf(result.response, result.error);
  answered.at = Date.now();
  return { document: result.data, headers: result.response.headers };
}

/** Why a request, which the page didn't give up, has no answer. */
export function problemWithoutAnswer(error: unknown): Problem {
  if (error instanceof SyntaxError)
    return new Problem(
      0,
      "The server’s answer can’t be read.",
      "It isn’t JSON: something between the browser and the server answered instead.",
    );
  return new Problem(
    0,
    "The server can’t be reached.",
    "Is it still running? headrace serve starts it.",
  );
}

export function problemOf(response: Response, body: unknown): Problem {
  const { detail, title, hint, code, refused } = (body ?? {}) as Partial<Schema["ProblemResponse"]>;
  const message = detail ?? title ?? `The server answered ${response.status}.`;
  return new Problem(response.status, message, hint ?? "", code ?? "", refused ?? null);
}
