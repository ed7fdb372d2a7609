/** What the appliance finds when it looks at itself, the network and each node, and what to do about it. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Finding, Problem } from "../api/types";
import { CliHint, Loading, Refusal, State } from "../components/parts";
import { DriftPanel } from "./drift";

const RANK: Record<string, number> = { fail: 0, warn: 1, ok: 2 };

export function DoctorPage() {
  const [findings, setFindings] = useState<Finding[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const look = useCallback(async () => {
    setBusy(true);
    try {
      setFindings(await api.doctor());
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
    setBusy(false);
  }, []);
  useEffect(() => {
    void look();
    const timer = setInterval(() => void look(), 10_000);
    return () => clearInterval(timer);
  }, [look]);
  if (!findings && !problem) return <Loading />;
  const sorted = [...(findings ?? [])].sort((a, b) => (RANK[a.state] ?? 3) - (RANK[b.state] ?? 3) || a.name.localeCompare(b.name));
  const wrong = sorted.filter(({ state }) => state !== "ok").length;
  return (
    <>
      <header className="page-head">
        <h1>Doctor</h1>
        <p className="summary">{wrong === 0 ? "nothing needs attention" : wrong === 1 ? "1 finding needs attention" : `${wrong} findings need attention`}</p>
        <button type="button" className="push" onClick={() => void look()} disabled={busy}>
          {busy ? "Looking…" : "Look again"}
        </button>
      </header>
      {problem && <Refusal problem={problem} />}
      <ul className="findings">
        {sorted.map((finding, index) => (
          <li key={`${finding.name}-${index}`} className={`finding ${finding.state}`}>
            <State state={finding.state} />
            <div>
              <h2>{finding.name}</h2>
              <p>{finding.text}</p>
              {finding.next !== "" && finding.state !== "ok" && (
                <p className="next">
                  <b>Next:</b> {finding.next}
                </p>
              )}
            </div>
          </li>
        ))}
      </ul>
      <CliHint command="weft doctor" />
      <DriftPanel />
    </>
  );
}
