// A page's frame: its title, and what stands in its place while there is nothing to show or something went wrong.
import { useEffect, type ReactNode } from "react";
import type { UseQueryResult } from "@tanstack/react-query";
import type { Problem } from "../api/client";

export function usePageTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Headrace`;
  }, [title]);
}

/** The heading, with what can be done at its end. `said` is one line under it. */
export function Heading({ title, said, children }: { title: ReactNode; said?: ReactNode; children?: ReactNode }) {
  return (
    <header className="row spread">
      <div>
        <h1>{title}</h1>
        {said && <p className="muted">{said}</p>}
      </div>
      {children && <div className="row">{children}</div>}
    </header>
  );
}

export function Panel({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel" aria-label={title}>
      <header><h2>{title}</h2>{aside && <span className="muted small">{aside}</span>}</header>
      {children}
    </section>
  );
}

/** A document once it is there. What was shown last stays, marked, while the server is away: never zeros instead. */
export function Loaded<D>({ document: found, children }: { document: UseQueryResult<D, Problem>; children: (document: D) => ReactNode }) {
  if (found.data !== undefined && !found.isPlaceholderData) {
    return <>{found.error && <Refusal problem={found.error} stale />}{children(found.data)}</>;
  }
  if (found.error) return <Refusal problem={found.error} />;
  return <p className="empty" role="status">Loading…</p>;
}

/** What the server refused, and what to do about it. */
export function Refusal({ problem, stale = false }: { problem: Problem; stale?: boolean }) {
  return (
    <div className="notice tone-bad" role="alert">
      <div>
        <strong>{problem.message}</strong> {stale && "What is shown is from before."}
        {problem.hint && <p className="muted">{problem.hint.split("\n").map((line) => line.trim()).join(" ")}</p>}
      </div>
    </div>
  );
}

/** An empty state that says what would be here, and how it gets there. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}
