import type { Pages } from "../api/responses";

/** Fetches the next page of a response, where there is one. */
export function MoreButton({ of, label }: { of: Pages<unknown>; label: string }) {
  if (!of.hasNextPage) return null;
  return (
    <p className="more">
      <button
        type="button"
        className="button"
        disabled={of.isFetchingNextPage}
        onClick={of.fetchNextPage}
      >
        {label}
      </button>
    </p>
  );
}
