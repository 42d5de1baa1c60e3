// A query's text with offers of what can follow: keywords at once, tables and columns as the reader may see them.
import {
  lazy,
  Suspense,
  useDeferredValue,
  useId,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type RefObject,
} from "react";
import { useResponse } from "../../api/responses";
import { cellText } from "../../parts/values";
import { visibleLines } from "../../parts/visible";
import {
  completed,
  keywordsFor,
  tableOf,
  tablesIn,
  wordAt,
  written,
  type Offer,
  type Word,
} from "./completion";

const OFFERS_MAX = 8;

const Highlighted = lazy(() => import("../../parts/Highlighted"));

type Props = {
  areaRef: RefObject<HTMLTextAreaElement | null>;
  query: string;
  change: (query: string) => void;
  run: () => void;
};

export function Editor({ areaRef, query, change, run }: Props) {
  const [caret, setCaret] = useState<number | null>(null);
  const [chosen, setChosen] = useState(-1);
  const colouredRef = useRef<HTMLPreElement>(null);
  /** Where the caret belongs once the completed text is there. */
  const caretRef = useRef<number | null>(null);
  const listId = useId();
  const word = caret === null ? null : wordAt(query, caret);
  const offers = useOffers(query, word);
  const open = offers.length > 0;
  // The colours are those of a text below the field; both have to be the same text.
  const coloured = visibleLines(query) === query;

  useLayoutEffect(() => {
    if (caretRef.current === null) return;
    areaRef.current?.setSelectionRange(caretRef.current, caretRef.current);
    caretRef.current = null;
  }, [areaRef, query]);

  const close = () => {
    setCaret(null);
    setChosen(-1);
  };
  const accept = (offer: Offer | undefined) => {
    if (!offer || !word || caret === null) return;
    const next = completed(query, word, caret, offer.text);
    caretRef.current = next.caret;
    change(next.query);
    close();
  };
  const pressed = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
    else if (event.key === " " && event.ctrlKey) setCaret(event.currentTarget.selectionStart);
    else if (!open) return;
    else if (step) setChosen((last) => (last + step + offers.length) % offers.length);
    else if (event.key === "Escape") close();
    else if (event.key === "Tab" && !event.shiftKey) accept(offers[Math.max(chosen, 0)]);
    else if (event.key === "Enter" && chosen >= 0) accept(offers[chosen]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div className="query-editor">
      <div className="query-text">
        {coloured && (
          <pre ref={colouredRef} className="input mono" aria-hidden="true">
            <Suspense fallback={query}>
              <Highlighted text={query} language="sql" />
            </Suspense>
            {"\n"}
          </pre>
        )}
        <textarea
          ref={areaRef}
          className={coloured ? "input mono coloured" : "input mono"}
          aria-label="Query"
          aria-describedby={`${listId}-keys`}
          aria-autocomplete="list"
          aria-controls={open ? listId : undefined}
          aria-activedescendant={open && chosen >= 0 ? `${listId}-${chosen}` : undefined}
          rows={Math.min(Math.max(query.split("\n").length + 1, 6), 20)}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          value={query}
          onChange={(event) => {
            change(event.target.value);
            setCaret(event.target.selectionStart);
            setChosen(-1);
          }}
          onKeyDown={pressed}
          onBlur={close}
          onScroll={({ currentTarget }) =>
            colouredRef.current?.scrollTo({ top: currentTarget.scrollTop })
          }
          onClick={close}
        />
      </div>
      {open && (
        <ul id={listId} role="listbox" aria-label="Completions" className="offers">
          {offers.map((offer, index) => (
            // eslint-disable-next-line jsx-a11y-x/click-events-have-key-events -- the keys are those of the text field
            <li
              key={`${offer.text} ${offer.detail}`}
              id={`${listId}-${index}`}
              role="option"
              aria-selected={index === chosen}
              onMouseDown={(event) => event.preventDefault()}
              onClick={() => accept(offer)}
            >
              <span className="mono">{cellText(offer.text)}</span>
              <span className="muted small">{offer.detail}</span>
            </li>
          ))}
        </ul>
      )}
      <p id={`${listId}-keys`} className="muted small">
        <kbd>Ctrl Enter</kbd> runs it; <kbd>Ctrl Space</kbd> offers names, <kbd>Tab</kbd> takes the
        first, <kbd>Esc</kbd> closes them.
      </p>
    </div>
  );
}

/** What can follow: after a dot the table's columns, else columns of the query's tables and names. */
function useOffers(query: string, word: Word | null): readonly Offer[] {
  const typed = useDeferredValue(word?.text ?? "");
  const table = word?.of ? tableOf(query, word.of) : null;
  const name = table ?? tablesIn(query)[0] ?? "";
  // Asked for by its name first: a name that is still being typed has no columns.
  const named = useResponse(
    "/api/v1/search",
    { query: { q: name, limit: 20 } },
    word !== null && name !== "" && name !== word.text,
  );
  const known = (named.isPlaceholderData ? [] : (named.data?.found ?? [])).find(
    (row) =>
      (row.kind === "asset" || row.kind === "source") &&
      row.name.toLowerCase() === name.toLowerCase(),
  );
  const node = useResponse(
    "/api/v1/assets/{name}",
    { path: { name: known?.name ?? "" } },
    word !== null && known !== undefined,
  );
  const found = useResponse(
    "/api/v1/search",
    { query: { q: typed, limit: 20 } },
    word !== null && !table && typed.length > 0,
  );
  if (!word) return [];
  const lower = word.text.toLowerCase();
  const columns = (known && !node.isPlaceholderData ? (node.data?.columns ?? []) : [])
    .filter(
      (column) => (lower !== "" || table !== null) && column.name.toLowerCase().startsWith(lower),
    )
    .map((column) => ({ text: written(column.name), detail: `column, ${String(column.type)}` }));
  if (table) return columns.slice(0, OFFERS_MAX);
  const names = (lower && found.data && !found.isPlaceholderData ? found.data.found : [])
    .filter((row) => row.kind === "asset" || row.kind === "source" || row.kind === "column")
    .map((row) => ({
      text: written(row.name),
      detail: row.of ? `column of ${row.of}` : row.kind,
    }));
  const all = [...columns, ...keywordsFor(word.text), ...names];
  const texts = new Set<string>();
  return all
    .filter(({ text }) => {
      if (text.toLowerCase() === lower || texts.has(text)) return false;
      texts.add(text);
      return true;
    })
    .slice(0, OFFERS_MAX);
}
