/** Small parts that several pages share. */
import { useId, useState } from "react";
import type { ReactNode } from "react";
import type { Problem } from "../api/types";
import { tone } from "../lib/tone";
import { Icon } from "./icons";

export function State({ state }: { state: string }) {
  return <span className={`state ${tone(state)}`}>{state}</span>;
}

export function Trust({ trusted, path }: { trusted: boolean; path: string }) {
  const how = path === "" ? "" : `${path.toUpperCase()} · `;
  return trusted ? (
    <span className="trust yes" title="UEFI Secure Boot, and a key that the node kept">
      <Icon name="shield" />
      {how}trusted boot
    </span>
  ) : (
    <span className="trust no" title="Without Secure Boot a thief of the network could have started something else">
      <Icon name="unshield" />
      {how}untrusted boot
    </span>
  );
}

export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="empty">
      <svg className="empty-weave" viewBox="0 0 64 40" aria-hidden="true">
        <path d="M8 2v36M24 2v36M40 2v36M56 2v36" />
        <path d="M2 12h11M19 12h26M51 12h11M2 28h27M35 28h27" />
      </svg>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** The command line that does the same. */
export function CliHint({ command }: { command: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard?.writeText(command).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 1500);
      },
      () => setCopied(false),
    );
  };
  return (
    <div className="cli">
      <span className="cli-label">Same from the command line</span>
      <code>{command}</code>
      <button type="button" className="quiet small" onClick={copy} aria-label={`Copy command ${command}`}>
        <Icon name="copy" />
        {copied ? "copied" : "copy"}
      </button>
    </div>
  );
}

export function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{label}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Field({ label, hint, error, children }: { label: string; hint?: string; error?: string | undefined; children: (id: string, describedBy: string) => ReactNode }) {
  const id = useId();
  const note = `${id}-note`;
  return (
    <div className={error ? "field wrong" : "field"}>
      <label htmlFor={id}>{label}</label>
      {children(id, note)}
      <p id={note} className="field-note" aria-live="polite">
        {error ?? hint ?? ""}
      </p>
    </div>
  );
}

/** Why the appliance did not do it, and the next step. */
export function Refusal({ problem }: { problem: Problem }) {
  return (
    <p className="note bad" role="alert">
      <strong>{problem.title.replace(/\.$/, "")}.</strong> {problem.next}
    </p>
  );
}

export function Loading() {
  return (
    <p className="loading" role="status">
      Asking the appliance…
    </p>
  );
}
