/** A modal dialog: the browser's own, so that focus stays in it and Escape closes it. */
import { useEffect, useId, useRef, useState } from "react";
import type { FormEvent, ReactNode } from "react";
import type { Problem } from "../api/types";
import { CliHint, Refusal } from "./parts";

interface Props {
  title: string;
  command: string;
  /** The word on the button that does it. */
  action: string;
  danger?: boolean;
  ready?: boolean;
  /** Does it; null closes the dialog, a problem is shown in it. */
  onAction: () => Promise<Problem | null>;
  onClose: () => void;
  /** Where giving up is another thing than being done. */
  onCancel?: () => void;
  children: ReactNode;
}

export function Dialog({ title, command, action, danger = false, ready = true, onAction, onClose, onCancel = onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!ready || busy) return;
    setBusy(true);
    const refused = await onAction();
    setBusy(false);
    setProblem(refused);
    if (!refused) onClose();
  };
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onCancel();
      }}
    >
      <form onSubmit={(event) => void submit(event)} noValidate>
        <header>
          <h2 id={heading}>{title}</h2>
        </header>
        <div className="dialog-body">
          {children}
          {problem && <Refusal problem={problem} />}
        </div>
        <CliHint command={command} />
        <footer>
          <button type="button" onClick={onCancel}>
            Cancel
          </button>
          <button type="submit" className={danger ? "danger" : "primary"} disabled={!ready || busy}>
            {busy ? "Working…" : action}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
