// Acts: first the plan as the server makes it, with the word for exactly that plan; then the act, sent with the word, so that nothing else
// is done than what was shown. An act that takes long is followed until it is over.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ask, Problem, problemOf, type ResponseOf, type GetPath, type Parameters, type Schema } from "./client";
import { queries } from "./responses";

const AGREE = "x-headrace-agree";
/** A page of another site, or a form, can't send it. */
const HEADERS = { "content-type": "application/json", "x-headrace-act": "1" };
const FOLLOW_MS = 400;

export type Planned<D> = { document: D; agreed: string | null };
export type Progress = { id: string; state: string; what: string; done: number; total: number | null; ahead: string; notes: string[] };
type Act = Progress & { document: unknown; problem: Schema["ProblemResponse"] | null };

/** What an act would do, as it is now; it doesn't change while it is looked at. */
export function usePlan<P extends GetPath>(path: P, params: Parameters<P>, enabled = true) {
  return useQuery<Planned<ResponseOf<P>>, Problem>({
    queryKey: [path, params, "plan"],
    queryFn: async ({ signal }) => {
      const { document, headers } = await ask(path, params, signal);
      return { document, agreed: headers.get(AGREE) };
    },
    enabled,
    gcTime: 0,
    staleTime: Infinity,
    meta: { plan: true },
  });
}

/** Do something: `do_.mutate(body)`; `progress` says how far it is, `do_.data` is the document of what was done. */
export function useAct<D>(path: string) {
  const [progress, setProgress] = useState<Progress | null>(null);
  const do_ = useMutation<D, Problem, object>({
    mutationFn: (body) => send<D>(path, body, setProgress),
    onSettled: () => queries.invalidateQueries({ predicate: (query) => !query.meta?.plan }),
  });
  return { do_, progress };
}

async function send<D>(path: string, body: object, tell: (progress: Progress) => void): Promise<D> {
  const answer = await fetch(path, { method: "POST", headers: HEADERS, body: JSON.stringify(body) }).catch(() => {
    throw new Problem(0, "The server can’t be reached; it isn’t known whether this was done.", "Look at the page again once it is back.");
  });
  const said: unknown = await answer.json().catch(() => null);
  if (!answer.ok) throw problemOf(answer, said);
  if (answer.status !== 202) return said as D;
  return follow<D>(answer.headers.get("location") ?? "", said as Act, tell);
}

async function follow<D>(path: string, first: Act, tell: (progress: Progress) => void): Promise<D> {
  let act = first;
  while (act.state === "running") {
    tell(act);
    await new Promise((resolve) => window.setTimeout(resolve, FOLLOW_MS));
    const answer = await fetch(path).catch(() => null); // a server that is away for a moment still does it
    if (answer?.ok) act = (await answer.json()) as Act;
    else if (answer) throw problemOf(answer, await answer.json().catch(() => null));
  }
  if (act.problem) {
    const { status, detail, hint, code, refused } = act.problem;
    throw new Problem(status, detail, hint, code, refused);
  }
  return act.document as D;
}
