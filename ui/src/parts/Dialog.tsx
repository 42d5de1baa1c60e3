import { useId, useLayoutEffect, useRef, type PointerEvent, type ReactNode } from "react";
import { hasContent } from "./content";

type Props = {
  title: string;
  close: () => void;
  children: ReactNode;
  footer?: ReactNode;
  className?: string;
  /** No title to see, and the focus begins in the content. */
  bare?: boolean;
};

/** The browser's own modal dialog: it keeps the focus inside, gives it back, and Esc closes it. */
export function Dialog({ title, close, children, footer, className, bare = false }: Props) {
  const dialogRef = useRef<HTMLDialogElement>(null);
  const pressedOutsideRef = useRef(false);
  const titleId = useId();
  // Closed while it is still in the page: one that has been taken out gives the focus to nobody.
  useLayoutEffect(() => {
    const element = dialogRef.current;
    if (element?.open === false) element.showModal();
    return () => element?.close();
  }, []);
  // A press and a release on the backdrop close it; a text selection that ends there doesn't.
  const press = (event: PointerEvent) => {
    pressedOutsideRef.current = event.target === dialogRef.current;
  };
  const release = (event: PointerEvent) => {
    if (pressedOutsideRef.current && event.target === dialogRef.current) close();
  };
  return (
    <dialog
      ref={dialogRef}
      className={className}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onPointerDown={press}
      onPointerUp={release}
    >
      <header className={bare ? "visually-hidden" : undefined}>
        <h2 id={titleId}>{title}</h2>
        {!bare && (
          <button type="button" className="button plain" aria-label="Close" onClick={close}>
            ✕
          </button>
        )}
      </header>
      {bare ? children : <div className="body">{children}</div>}
      {hasContent(footer) && <footer>{footer}</footer>}
    </dialog>
  );
}
