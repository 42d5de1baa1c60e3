// Filters live in the page's address: a link to the page shows the same, and so does going back.
import { useSearchParams } from "react-router";

type Filters<N extends string> = {
  /** The filters that are set; those without a value aren't in it. */
  values: Partial<Record<N, string>>;
  /** Sets a filter, or removes it where the value is empty. */
  set: (name: N, value: string) => void;
  clear: () => void;
};

/** The filters of a page by their names in the address. */
export function useFilters<N extends string>(names: readonly N[]): Filters<N> {
  const [params, setParams] = useSearchParams();
  const values: Partial<Record<N, string>> = {};
  for (const name of names) {
    const value = params.get(name);
    if (value) values[name] = value;
  }
  const set = (name: N, value: string) =>
    setParams(
      (last) => {
        const next = new URLSearchParams(last);
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true, preventScrollReset: true },
    );
  return { values, set, clear: () => setParams({}, { replace: true }) };
}
