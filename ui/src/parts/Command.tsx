import { useState } from "react";

/** A command to type, with a button that copies it. */
export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard?.writeText(text).then(() => {
      setCopied(true);
      window.setTimeout(() => setCopied(false), 1500);
    });
  };
  return (
    <span className="row" style={{ gap: "0.375rem" }}>
      <code>{text}</code>
      <button type="button" className="button plain small" onClick={copy} aria-label={`Copy ${text}`}>{copied ? "Copied" : "Copy"}</button>
    </span>
  );
}
