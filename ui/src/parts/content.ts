import type { ReactNode } from "react";

/** Whether React shows anything for it; a zero is shown. */
export function hasContent(content: ReactNode): boolean {
  return (
    content !== null && content !== undefined && content !== "" && typeof content !== "boolean"
  );
}
