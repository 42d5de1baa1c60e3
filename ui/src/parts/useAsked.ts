import { useEffect } from "react";
import { useSearchParams } from "react-router";

const NAME = "act";

/**
 * Opens the dialog of the act that the address asks for (`?act=pause`), if it is one of those that
 * the page offers now. The address then forgets it: going back or reloading doesn't ask again.
 */
export function useAsked<A extends string>(offered: readonly A[], open: (act: A) => void): void {
  const [params, setParams] = useSearchParams();
  const asked = params.get(NAME);
  useEffect(() => {
    if (asked === null) return;
    const act = offered.find((name) => name === asked);
    if (act) open(act);
    const others = new URLSearchParams(params);
    others.delete(NAME);
    setParams(others, { replace: true, preventScrollReset: true });
  }, [asked, offered, open, params, setParams]);
}
