// Responses as pages use them: kept, shared between parts of a page, fetched again when the live stream says that something changed.
import {
  QueryClient,
  useInfiniteQuery,
  useQuery,
  type InfiniteData,
  type QueryKey,
  type UseQueryResult,
} from "@tanstack/react-query";
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

/** A response that comes in pages. */
export type Pages<D> = {
  /** The pages fetched so far; none until the first one is here. */
  pages: readonly D[];
  error: Problem | null;
  /** Whether `pages` answer the last parameters, until those of the new ones are here. */
  isPlaceholderData: boolean;
  isFetching: boolean;
  isFetchingNextPage: boolean;
  hasNextPage: boolean;
  fetchNextPage: () => void;
};
type Paged = { next: string | null };

/**
 * A response that comes in pages by a cursor in `next`. With `plan` it stays as it is: it belongs to
 * a plan that somebody is deciding about.
 */
export function usePages<P extends GetPath>(
  path: P,
  params: (cursor: string | null) => Parameters<P>,
  plan = false,
): Pages<ResponseOf<P>> {
  const query = useInfiniteQuery<
    ResponseOf<P>,
    Problem,
    InfiniteData<ResponseOf<P>>,
    QueryKey,
    string | null
  >({
    ...(plan ? { gcTime: 0, staleTime: Infinity, meta: { plan } } : {}),
    queryKey: [path, params(null), "pages"],
    queryFn: ({ signal, pageParam }) => read(path, params(pageParam), signal),
    initialPageParam: null,
    getNextPageParam: (last) => (last as Paged).next,
  });
  return {
    pages: query.data?.pages ?? [],
    error: query.error,
    isPlaceholderData: query.isPlaceholderData,
    isFetching: query.isFetching,
    isFetchingNextPage: query.isFetchingNextPage,
    hasNextPage: query.hasNextPage,
    fetchNextPage: () => void query.fetchNextPage(),
  };
}

/** Edited files and the clock change the status without an event. */
const STATUS_MS = 15_000;

/** The response of status: the header, Today and consumers share it. */
export function useStatus() {
  return useResponse("/api/v1/status", {}, true, STATUS_MS);
}
