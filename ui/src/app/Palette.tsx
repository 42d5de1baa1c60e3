// Find anything: pages at once, everything else as the server finds it.
import { useDeferredValue, useState, type KeyboardEvent } from "react";
import { useNavigate } from "react-router";
import { useResponse } from "../api/responses";
import { Dialog } from "../parts/Dialog";
import { addressOf } from "../parts/addresses";
import { NAVIGATION } from "./navigation";

type Choice = { key: string; name: string; detail: string; path: string };

export function Palette({ close }: { close: () => void }) {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const query = useDeferredValue(typed.trim());
  const response = useResponse("/api/v1/search", { query: { q: query, limit: 20 } }, query !== "");
  const navigate = useNavigate();

  const pages = NAVIGATION.filter((entry) =>
    entry.name.toLowerCase().includes(typed.trim().toLowerCase()),
  );
  const choices: Choice[] = [
    ...pages.map((entry) => ({
      key: entry.path,
      name: entry.name,
      detail: "page",
      path: entry.path,
    })),
    ...(query && response.data ? response.data.found : []).map((row) => ({
      key: `${row.kind} ${row.of ?? ""} ${row.name}`,
      name: row.of ? `${row.of}.${row.name}` : row.name,
      detail: `${row.kind}${row.said ? ` · ${row.said}` : ""}`,
      path: addressOf(row.kind, row.name, row.of),
    })),
  ];

  const type = (text: string) => {
    setTyped(text);
    setAt(0);
  };
  const go = (choice: Choice | undefined) => {
    if (!choice) return;
    close();
    void navigate(choice.path);
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
        aria-label="Find anything"
        aria-expanded="true"
        aria-controls="palette-found"
        aria-autocomplete="list"
        aria-activedescendant={choices[at] ? `palette-${at}` : undefined}
        placeholder="Consumer, asset, source, incident, column, owner…"
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
            onClick={() => go(choice)}
            onMouseMove={() => setAt(index)}
          >
            <span>{choice.name}</span>
            <span className="muted small">{choice.detail}</span>
          </li>
        ))}
      </ul>
      <p className="visually-hidden" role="status">{`${choices.length} found`}</p>
      {query && response.data && !choices.length && (
        <p className="empty">Nothing is called like that.</p>
      )}
    </Dialog>
  );
}
