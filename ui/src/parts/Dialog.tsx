import { useId, useLayoutEffect, useRef, type ReactNode } from "react";

type Props = { title: string; close: () => void; children: ReactNode; footer?: ReactNode; className?: string; bare?: boolean };

/** The browser's own modal dialog: it keeps the focus inside, gives it back, and Esc closes it. `bare` has no title to see, and the focus begins in what it holds. */
export function Dialog({ title, close, children, footer, className, bare = false }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useId();
  // Closed while it is still in the page: one that has been taken out gives the focus to nobody.
  useLayoutEffect(() => {
    const element = dialog.current!;
    if (!element.open) element.showModal();
    return () => element.close();
  }, []);
  return (
    <dialog ref={dialog} className={className} aria-labelledby={name} onCancel={(event) => { event.preventDefault(); close(); }} onClick={(event) => event.target === dialog.current && close()}>
      <header className={bare ? "visually-hidden" : undefined}>
        <h2 id={name}>{title}</h2>
        {!bare && <button type="button" className="button plain" aria-label="Close" onClick={close}>✕</button>}
      </header>
      {bare ? children : <div className="body">{children}</div>}
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}
