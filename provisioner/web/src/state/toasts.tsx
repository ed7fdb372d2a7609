/** Short messages about what was done, read out by screen readers. */
import { createContext, useCallback, useContext, useMemo, useRef, useState } from "react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import type { Problem } from "../api/types";

interface Toast {
  key: number;
  bad: boolean;
  text: string;
  next: string;
}

interface Toasts {
  say: (text: string) => void;
  /** Runs work and says what came of it; true where it succeeded. */
  attempt: (work: () => Promise<unknown>, done: string) => Promise<boolean>;
  /** The same for a dialog, which shows the problem itself; null where it succeeded. */
  tryTo: (work: () => Promise<unknown>, done: string) => Promise<Problem | null>;
}

const ToastContext = createContext<Toasts | null>(null);

export function useToasts(): Toasts {
  const toasts = useContext(ToastContext);
  if (!toasts) throw new Error("useToasts outside of ToastProvider");
  return toasts;
}

export function ToastProvider({ children }: { children: ReactNode }) {
  const [list, setList] = useState<Toast[]>([]);
  const next = useRef(0);
  const drop = useCallback((key: number) => setList((now) => now.filter((toast) => toast.key !== key)), []);
  const add = useCallback(
    (toast: Omit<Toast, "key">) => {
      const key = next.current++;
      setList((now) => [...now.slice(-3), { ...toast, key }]);
      setTimeout(() => drop(key), toast.bad ? 12_000 : 4_000);
    },
    [drop],
  );
  const toasts = useMemo<Toasts>(() => {
    const tryTo = async (work: () => Promise<unknown>, done: string) => {
      try {
        await work();
      } catch (error) {
        if (error instanceof ApiError) return error.problem;
        throw error;
      }
      add({ bad: false, text: done, next: "" });
      return null;
    };
    const attempt = async (work: () => Promise<unknown>, done: string) => {
      const problem = await tryTo(work, done);
      if (problem) add({ bad: true, text: problem.title, next: problem.next });
      return problem === null;
    };
    return { say: (text) => add({ bad: false, text, next: "" }), attempt, tryTo };
  }, [add]);
  return (
    <ToastContext.Provider value={toasts}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {list.map((toast) => (
          <div key={toast.key} className={toast.bad ? "toast bad" : "toast"}>
            <div>
              <strong>{toast.text}</strong>
              {toast.next !== "" && <p>{toast.next}</p>}
            </div>
            <button type="button" className="quiet icon" aria-label="Dismiss" onClick={() => drop(toast.key)}>
              ×
            </button>
          </div>
        ))}
      </div>
    </ToastContext.Provider>
  );
}
