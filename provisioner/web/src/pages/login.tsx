/** Log-in, and the change of a first password. */
import { useState } from "react";
import type { FormEvent, ReactNode } from "react";
import { ApiError, api } from "../api/client";
import type { Problem } from "../api/types";
import { Field } from "../components/parts";

function Card({ title, children }: { title: string; children: ReactNode }) {
  return (
    <main className="centre">
      <section className="login">
        <svg className="login-mark" viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="7" />
          <path d="M9 7v18M16 7v18M23 7v18" opacity=".45" />
          <path d="M5 12h6.500M14 12h13M5 20h13M20.500 20H27" />
        </svg>
        <h1>{title}</h1>
        {children}
      </section>
    </main>
  );
}

function Complaint({ problem }: { problem: Problem | null }) {
  if (!problem) return null;
  return (
    <div className="banner" role="alert">
      <strong>{problem.title}</strong> {problem.next}
    </div>
  );
}

async function problemOf(work: () => Promise<void>): Promise<Problem | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof ApiError) return error.problem;
    throw error;
  }
}

export function LoginPage({ problem: before, onDone }: { problem: Problem | null; onDone: (mustChange: boolean, password: string) => void }) {
  const [user, setUser] = useState("admin");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState(before);
  const [busy, setBusy] = useState(false);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const refused = await problemOf(async () => {
      const { must_change } = await api.login(user, password);
      onDone(must_change, password);
    });
    setBusy(false);
    setProblem(refused);
  };
  return (
    <Card title="Log in to Weft">
      <Complaint problem={problem} />
      <form onSubmit={(event) => void submit(event)}>
        <Field label="User">
          {(id, note) => <input id={id} aria-describedby={note} autoComplete="username" required value={user} onChange={(event) => setUser(event.target.value)} />}
        </Field>
        <Field label="Password" hint="The first one is in the file that the appliance names on its console.">
          {(id, note) => (
            <input id={id} aria-describedby={note} type="password" autoComplete="current-password" required autoFocus value={password} onChange={(event) => setPassword(event.target.value)} />
          )}
        </Field>
        <button type="submit" className="primary wide" disabled={busy || user === "" || password === ""}>
          {busy ? "Checking…" : "Log in"}
        </button>
      </form>
    </Card>
  );
}

const LEAST = 12;

export function NewPasswordPage({ old, onDone, onLeave }: { old: string; onDone: () => void; onLeave: () => void }) {
  const [present, setPresent] = useState(old);
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const short = fresh !== "" && fresh.length < LEAST;
  const differs = again !== "" && again !== fresh;
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    const refused = await problemOf(async () => {
      await api.password(present, fresh);
      onDone();
    });
    setBusy(false);
    setProblem(refused);
  };
  return (
    <Card title="Choose your own password">
      <p className="muted">The first password is spent by this log-in, and nothing else opens before it is changed. After a log-out only a new one helps: weft appliance reset-admin.</p>
      <Complaint problem={problem} />
      <form onSubmit={(event) => void submit(event)}>
        {old === "" && (
          <Field label="Present password">
            {(id, note) => (
              <input id={id} aria-describedby={note} type="password" autoComplete="current-password" required value={present} onChange={(event) => setPresent(event.target.value)} />
            )}
          </Field>
        )}
        <Field label="New password" hint={`At least ${LEAST} characters.`} error={short ? `${LEAST - fresh.length} more characters.` : undefined}>
          {(id, note) => (
            <input id={id} aria-describedby={note} type="password" autoComplete="new-password" required autoFocus value={fresh} onChange={(event) => setFresh(event.target.value)} />
          )}
        </Field>
        <Field label="The same again" error={differs ? "The two differ." : undefined}>
          {(id, note) => (
            <input id={id} aria-describedby={note} type="password" autoComplete="new-password" required value={again} onChange={(event) => setAgain(event.target.value)} />
          )}
        </Field>
        <button type="submit" className="primary wide" disabled={busy || fresh.length < LEAST || fresh !== again || present === ""}>
          Change password
        </button>
        <button type="button" className="quiet wide" onClick={onLeave}>
          Log out
        </button>
      </form>
    </Card>
  );
}
