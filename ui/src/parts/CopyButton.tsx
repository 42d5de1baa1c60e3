import { useState } from "react";

const SHOWN_MS = 1500;

/** Copies a text, which is only computed then, and says whether it did. */
export function CopyButton({ label, text }: { label: string; text: () => string }) {
  const [result, setResult] = useState<"Copied" | "Not copied" | null>(null);
  const copy = async () => {
    const copied = await navigator.clipboard.writeText(text()).then(
      () => true,
      () => false, // the browser may ask, and be told no
    );
    setResult(copied ? "Copied" : "Not copied");
    window.setTimeout(() => setResult(null), SHOWN_MS);
  };
  // Browsers have no clipboard on pages that come over plain HTTP from another machine.
  if (!("clipboard" in navigator)) return null;
  return (
    <button type="button" className="button" onClick={() => void copy()}>
      {result ?? label}
    </button>
  );
}
