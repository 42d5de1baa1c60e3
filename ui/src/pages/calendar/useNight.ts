// A simulated night: how much later its sources deliver, and what the server answers.
import { keepPreviousData, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { useState } from "react";
import { read, type Problem, type ResponseOf } from "../../api/client";
import { useSettled } from "../../parts/useSettled";
import type { Document } from "./days";
import { changesOf, expectedSources, type Delays, type Simulated } from "./tonight";

const PATH = "/api/v1/what-if";
/** Delays are simulated once they have stayed this long. */
const SETTLED_MS = 400;

export type Night = {
  delays: Delays;
  /** Lets a source deliver later by a number of minutes. */
  delay: (source: string, minutes: number) => void;
  simulation: UseQueryResult<ResponseOf<typeof PATH>, Problem>;
  /** The answer, if it is of the calendar's coming night. */
  simulated: Simulated | undefined;
  /** The answer is that to these delays. */
  current: boolean;
};

/**
 * The coming night of a calendar, once that is there. It isn't simulated whenever the project
 * changes: it takes seconds.
 */
export function useNight(document: Document | undefined, enabled: boolean): Night {
  const [chosen, setChosen] = useState<Delays>({});
  const sources = expectedSources(document?.rows ?? []);
  const date = document?.dates[1];
  // Sources are known once the calendar is there, and can be others later.
  const delays = Object.fromEntries(
    Object.entries(chosen).filter(([source, minutes]) => minutes > 0 && sources.includes(source)),
  );
  const changes = changesOf(delays).join("\n");
  const settled = useSettled(changes, SETTLED_MS);
  const params = { query: { set: settled ? settled.split("\n") : [] } };
  const simulation = useQuery<ResponseOf<typeof PATH>, Problem>({
    queryKey: [PATH, params, date], // after midnight it is another night
    queryFn: ({ signal }) => read(PATH, params, signal),
    staleTime: "static",
    placeholderData: keepPreviousData,
    enabled: enabled && date !== undefined,
  });
  const answer = simulation.data?.simulated;
  return {
    delays,
    delay: (source, minutes) => setChosen((before) => ({ ...before, [source]: minutes })),
    simulation,
    simulated: answer?.begins === date ? answer : undefined,
    current: settled === changes && !simulation.isPlaceholderData && !simulation.isFetching,
  };
}
