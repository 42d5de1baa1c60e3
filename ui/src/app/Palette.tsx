// Find anything and do anything: pages at once, things and acts as the server finds them. An act
// leads to the page or the dialog that shows its plan and asks.
import { useDeferredValue, useState, type KeyboardEvent } from "react";
import { useLocation, useNavigate } from "react-router";
import { useResponse } from "../api/responses";
import { Dialog } from "../parts/Dialog";
import { recentOf, useRecentKey } from "../parts/recent";
import { useViewsKey } from "../parts/savedViews";
import { visibleText } from "../parts/visible";
import {
  ACTS,
  actChoice,
  askedOf,
  isOrder,
  pageChoices,
  recentChoices,
  searchedOf,
  sessionChoices,
  settingChoices,
  settingsOf,
  thingChoice,
  viewChoices,
  type Choice,
} from "./paletteChoices";

export function Palette({ close }: { close: () => void }) {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const { choices, answered, refused, settings } = useChoices(typed);
  const navigate = useNavigate();

  const type = (text: string) => {
    setTyped(text);
    setAt(0);
  };
  const go = (choice: Choice | undefined) => {
    if (!choice) return;
    close();
    if ("set" in choice) choice.set();
    else void navigate(choice.path);
  };
  const pressed = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((last) => (last + step + choices.length) % Math.max(1, choices.length));
    else if (event.key === "Enter") go(choices[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title="Find" close={close} className="palette" bare>
      <input
        className="input"
        role="combobox"
        aria-label="Find or do anything"
        aria-expanded="true"
        aria-controls="palette-found"
        aria-autocomplete="list"
        aria-activedescendant={choices[at] ? `palette-${at}` : undefined}
        placeholder="A name, an owner, INC-1, late; or pause, backfill, save view, density…"
        value={typed}
        onChange={(event) => type(event.target.value)}
        onKeyDown={pressed}
      />
      <ul id="palette-found" role="listbox" aria-label="Found">
        {choices.map((choice, index) => (
          // eslint-disable-next-line jsx-a11y-x/click-events-have-key-events -- the keys are those of the text field
          <li
            key={choice.key}
            id={`palette-${index}`}
            role="option"
            aria-selected={index === at}
            ref={index === at ? scrollIntoView : null}
            onClick={() => go(choice)}
            onMouseMove={() => setAt(index)}
          >
            <span>{visibleText(choice.name)}</span>
            <span className="muted small">{visibleText(choice.detail)}</span>
          </li>
        ))}
      </ul>
      <p className="visually-hidden" role="status">{`${choices.length} found`}</p>
      {answered && !choices.length && (
        <p className="empty">
          Nothing found. Acts begin with {ACTS}; your roles may not allow all of them. In this
          browser: {settings}.
        </p>
      )}
      {refused && <p className="empty">{refused}</p>}
    </Dialog>
  );
}

const scrollIntoView = (option: HTMLElement | null) => option?.scrollIntoView({ block: "nearest" });

/** What a text finds, the likeliest first, and whether the server has answered that text, or why it hasn't. */
function useChoices(typed: string): {
  choices: readonly Choice[];
  answered: boolean;
  refused: string | null;
  settings: string;
} {
  const asked = askedOf(typed.trim());
  const query = useDeferredValue(asked.text);
  const wanted = query !== "";
  const found = useResponse(
    "/api/v1/search",
    { query: { q: searchedOf(query), limit: 20, near: true } },
    wanted,
  );
  const possible = useResponse("/api/v1/possible-acts", { query: { q: query, limit: 20 } }, wanted);
  const recent = recentOf(useRecentKey());
  const signedIn = Boolean(useResponse("/api/v1/session", {}).data?.session);
  const settings = settingsOf(signedIn);
  const { pathname, search } = useLocation();
  const views = viewChoices(typed.trim(), useViewsKey(), {
    name: document.title.replace(/ · Headrace$/, ""),
    path: `${pathname}${search}`,
  });
  if (!asked.text)
    return {
      choices: [...recentChoices(recent), ...views, ...pageChoices("")],
      answered: false,
      refused: null,
      settings,
    };

  const acts = possible.data?.query === asked.text ? possible.data.acts : [];
  const actChoices = acts.map((row) => actChoice(row, asked.range));
  const others = [
    ...views,
    ...pageChoices(asked.text),
    ...settingChoices(asked.text),
    ...sessionChoices(asked.text, signedIn),
    ...(found.data?.found ?? []).map((row) => thingChoice(row, found.data?.similar)),
  ];
  const choices = isOrder(asked.text, acts)
    ? [...actChoices, ...others]
    : [...others, ...actChoices];
  return {
    choices,
    answered: found.data !== undefined && possible.data !== undefined,
    refused: found.error
      ? `${found.error.message} Names aren’t found now.`
      : possible.error && `${possible.error.message} Acts aren’t found now.`,
    settings,
  };
}
