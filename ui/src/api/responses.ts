// Responses as pages use them: kept, shared between parts of a page, fetched again when the live stream says that something changed.
import { QueryClient, useInfiniteQuery, useQuery, type UseQueryResult } from "@tanstack/react-query";
import { Problem, read, type ResponseOf, type GetPath, type Parameters } from "./client";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      refetchOnWindowFocus: true,
      // What the server refuses it refuses again; only a server that is away is asked again, and the live stream says when it is back.
      retry: false,
      placeholderData: (last: unknown) => last,
    },
  },
});

/** A response, kept up to date. While another one is fetched the last is shown (`isPlaceholderData`). */
export function useResponse<P extends GetPath>(
  path: P,
  params: Parameters<P>,
  enabled = true,
  refetchInterval: number | false = false,
): UseQueryResult<ResponseOf<P>, Problem> {
  return useQuery<ResponseOf<P>, Problem>({
    queryKey: [path, params],
    queryFn: ({ signal }) => read(path, params, signal),
    enabled,
    refetchInterval,
  });
}

type Paged = { next: string | null };

/** A response that comes in pages by a cursor in `next`; `pages` are those fetched so far. `plan`: of a plan that somebody looks at, which stays as it is. */
export function usePages<P extends GetPath>(path: P, params: (cursor: string | null) => Parameters<P>, plan = false) {
  const found = useInfiniteQuery({
    ...(plan ? { gcTime: 0, staleTime: Infinity, meta: { plan } } : {}),
    queryKey: [path, params(null), "pages"],
    queryFn: ({ signal, pageParam }) => read(path, params(pageParam), signal),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => (last as Paged).next,
  });
  return { ...found, pages: found.data?.pages ?? [] };
}

/** Edited files and the clock change the status without an event. */
const STATUS_MS = 15_000;

/** The response of status: the header, Today and consumers share it. */
export function useStatus() {
  return useResponse("/api/v1/status", {}, true, STATUS_MS);
}
