// A page's frame: its title, and what stands in its place while there is nothing to show or something went wrong.
import { useEffect, type ReactNode } from "react";
import { Link } from "react-router";
import type { UseQueryResult } from "@tanstack/react-query";
import { hasContent } from "./content";
import { NearestNames } from "./NearestNames";
import { Visit } from "./recent";
import type { Problem } from "../api/client";

export function usePageTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Headrace`;
  }, [title]);
}

/** The heading, with what can be done at its end. `subtitle` is one line under it. */
export function Heading({
  title,
  subtitle,
  children,
}: {
  title: ReactNode;
  subtitle?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <header className="row spread">
      <div>
        <h1>{title}</h1>
        {hasContent(subtitle) && <p className="muted subtitle">{subtitle}</p>}
      </div>
      {hasContent(children) && <div className="row">{children}</div>}
    </header>
  );
}

export function Panel({
  title,
  aside,
  children,
}: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {hasContent(aside) && <span className="muted small">{aside}</span>}
      </header>
      {children}
    </section>
  );
}

/**
 * A document once it is there. What was shown last stays, marked, while the server is away: never zeros instead.
 * `heading` is for a document that is the whole page: what the page is about while there is nothing else on it.
 * `name` is what it was asked for by, where that isn't the heading.
 */
export function Loaded<D>({
  document: response,
  heading,
  name,
  children,
}: {
  document: UseQueryResult<D, Problem>;
  heading?: string;
  name?: string;
  children: (document: D) => ReactNode;
}) {
  if (response.data !== undefined && !response.isPlaceholderData) {
    return (
      <>
        {response.error && <Refusal problem={response.error} stale />}
        {heading !== undefined && <Visit />}
        {children(response.data)}
      </>
    );
  }
  return <Placeholder problem={response.error} heading={heading} name={name} />;
}

/** In place of a document: that it is on its way, or what was refused; of a whole page with its heading. */
export function Placeholder({
  problem,
  heading,
  name,
}: {
  problem: Problem | null;
  heading?: string | undefined;
  name?: string | undefined;
}) {
  const subtitle = problem ? (
    <Refusal problem={problem} />
  ) : (
    <p className="empty" role="status">
      Loading…
    </p>
  );
  if (heading === undefined) return subtitle;
  return (
    <div className="stack">
      <h1>{heading}</h1>
      {subtitle}
      {problem?.status === 404 && <NearestNames to={name ?? heading} />}
      {problem && (
        <p>
          <Link to="/">Today</Link> says who waits, and why. <kbd>Ctrl K</kbd> finds anything by its
          name.
        </p>
      )}
    </div>
  );
}

/** What the server refused, and what to do about it. */
export function Refusal({ problem, stale = false }: { problem: Problem; stale?: boolean }) {
  if (problem.code === "not_installed")
    return (
      <Empty>
        <strong>{problem.message}.</strong> {problem.hint}
      </Empty>
    );
  return (
    <div className="notice tone-bad" role="alert">
      <div>
        <strong>{problem.message}</strong> {stale && "What is shown is from before."}
        {problem.hint && (
          <p className="muted">
            {problem.hint
              .split("\n")
              .map((line) => line.trim())
              .join(" ")}
          </p>
        )}
      </div>
    </div>
  );
}

/** An empty state that says what would be here, and how it gets there. */
export function Empty({ children }: { children: ReactNode }) {
  return <div className="empty">{children}</div>;
}
