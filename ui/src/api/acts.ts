// Acts. First the plan, as the server makes it, with a token for exactly that plan; then the act,
// sent with the token, so that nothing else is done than what was shown. The page follows an act
// that takes long until it has ended.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  ACT_HEADER,
  Problem,
  problemOf,
  request,
  type GetPath,
  type Parameters,
  type ResponseOf,
  type Schema,
} from "./client";
import { queries } from "./responses";

const TOKEN_HEADER = "x-headrace-agree";
const HEADERS = { "content-type": "application/json", ...ACT_HEADER };
const FOLLOW_MS = 400;

export type Planned<D> = { document: D; agreed: string | null };
export type Act = Schema["ActResponse"];

/** What an act would do as of now. It doesn't change while somebody decides about it. */
export function usePlan<P extends GetPath>(path: P, params: Parameters<P>) {
  return useQuery<Planned<ResponseOf<P>>, Problem>({
    queryKey: [path, params, "plan"],
    queryFn: async ({ signal }) => {
      const { document, headers } = await request(path, params, signal);
      return { document, agreed: headers.get(TOKEN_HEADER) };
    },
    gcTime: 0,
    staleTime: Infinity,
    meta: { plan: true },
  });
}

/**
 * Performs an act: `mutation.mutate(body)` begins it, `progress` is how far it is, and
 * `mutation.data` is the response once it has ended.
 */
export function useAct<D>(path: string) {
  const [progress, setProgress] = useState<Act | null>(null);
  const mutation = useMutation<D, Problem, object>({
    mutationFn: (body) => perform<D>(path, body, setProgress),
    onSettled: () => queries.invalidateQueries({ predicate: (query) => !query.meta?.plan }),
  });
  return { mutation, progress };
}

/** Sends an act and follows it to its end. Throws Problem. */
export async function perform<D>(
  path: string,
  body: object,
  onProgress: (act: Act) => void,
): Promise<D> {
  const response = await fetch(path, {
    method: "POST",
    headers: HEADERS,
    body: JSON.stringify(body),
  }).catch(() => {
    throw new Problem(
      0,
      "The server can’t be reached; it isn’t known whether this was done.",
      "Look at the page again once it is back.",
    );
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw problemOf(response, answer);
  if (answer === undefined)
    throw new Problem(
      response.status,
      "The server’s answer can’t be read; it isn’t known whether this was done.",
      "Look at the page again.",
    );
  if (response.status !== 202) return answer as D;
  return follow<D>(response.headers.get("location") ?? "", answer as Act, onProgress);
}

async function follow<D>(path: string, begun: Act, onProgress: (act: Act) => void): Promise<D> {
  let act = begun;
  while (act.state === "running") {
    onProgress(act);
    await new Promise((resolve) => window.setTimeout(resolve, FOLLOW_MS));
    // The act goes on while the server is away, or its answer is cut off.
    const response = await fetch(path).catch(() => null);
    if (!response) continue;
    const answer: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw problemOf(response, answer);
    if (answer !== undefined) act = answer as Act;
  }
  if (act.problem) {
    const { status, detail, hint, code, refused } = act.problem;
    throw new Problem(status, detail, hint, code, refused);
  }
  return act.document as D;
}
