import { useState } from "react";

const SHOWN_MS = 1500;

/** A command to type, with a button that copies it. */
export function Command({ text }: { text: string }) {
  const [result, setResult] = useState<"Copied" | "Not copied" | null>(null);
  const copy = async () => {
    const copied = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false, // the browser may ask, and be told no
    );
    setResult(copied ? "Copied" : "Not copied");
    window.setTimeout(() => setResult(null), SHOWN_MS);
  };
  return (
    <span className="row" style={{ gap: "0.375rem" }}>
      <code>{text}</code>
      {/* Browsers have no clipboard on pages that come over plain HTTP from another machine. */}
      {"clipboard" in navigator && (
        <button
          type="button"
          className="button plain small"
          onClick={() => void copy()}
          aria-label={`Copy ${text}`}
        >
          {result ?? "Copy"}
        </button>
      )}
    </span>
  );
}
