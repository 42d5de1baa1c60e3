import { useState } from "react";
import { Dialog } from "../parts/Dialog";
import { keysAreEnabled, enableKeys } from "./keys";
import { NAVIGATION } from "./navigation";

/** The keys, and the switch that turns single keys off. */
export function Help({ close }: { close: () => void }) {
  const [on, setOn] = useState(keysAreEnabled);
  const change = (enabled: boolean) => {
    enableKeys(enabled);
    setOn(enabled);
  };
  return (
    <Dialog title="Keys" close={close}>
      <dl className="keys">
        <dt>
          <kbd>Ctrl</kbd> <kbd>K</kbd> or <kbd>⌘</kbd> <kbd>K</kbd>
        </dt>
        <dd>find or do anything</dd>
        <dt>
          <kbd>j</kbd> <kbd>k</kbd>
        </dt>
        <dd>next and previous row</dd>
        <dt>
          <kbd>Enter</kbd>
        </dt>
        <dd>open the row</dd>
        <dt>
          <kbd>Esc</kbd>
        </dt>
        <dd>close what is open</dd>
        {NAVIGATION.map((entry) => [
          <dt key={`${entry.path} keys`}>
            <kbd>g</kbd> <kbd>{entry.key}</kbd>
          </dt>,
          <dd key={entry.path}>{entry.name}</dd>,
        ])}
      </dl>
      <p style={{ marginTop: "1rem" }}>
        <label>
          <input type="checkbox" checked={on} onChange={(event) => change(event.target.checked)} />{" "}
          Single keys do something
        </label>
      </p>
    </Dialog>
  );
}
