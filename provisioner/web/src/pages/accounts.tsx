/** Accounts, tokens and sessions, as far as the caller may see them. */
import { useCallback, useEffect, useState } from "react";
import { ApiError, api } from "../api/client";
import type { Account, Problem, SessionInfo, Token } from "../api/types";
import { CliHint, Loading, Refusal, State } from "../components/parts";
import { counted } from "../lib/group";
import { useWhyNot } from "../state/rights";
import { useAfterEvents } from "../state/happened";
import { useToasts } from "../state/toasts";
import { CreateAccountDialog, CreateTokenDialog, DeleteAccountDialog, PasswordDialog, RevokeDialog, RoleDialog } from "./account-dialogs";

type Choice =
  | { verb: "create" | "token" }
  | { verb: "role" | "password" | "delete"; account: Account }
  | { verb: "revoke"; token: Token }
  | null;

interface Seen {
  accounts: Account[];
  tokens: Token[];
  sessions: SessionInfo[];
}

export function AccountsPage() {
  const [seen, setSeen] = useState<Seen | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [choice, setChoice] = useState<Choice>(null);
  const { attempt } = useToasts();
  const noAccount = useWhyNot("create", "account");
  const noToken = useWhyNot("create", "token");
  const look = useCallback(async () => {
    try {
      const [accounts, tokens, sessions] = await Promise.all([api.accounts(), api.tokens(), api.sessions()]);
      setSeen({ accounts, tokens, sessions });
      setProblem(null);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setProblem(error.problem);
    }
  }, []);
  useEffect(() => void look(), [look]);
  useAfterEvents(() => void look());
  const close = () => {
    setChoice(null);
    void look();
  };
  const end = async (session: SessionInfo) => {
    await attempt(() => api.endSession(session.name), `A session of ${session.account} is ended.`);
    await look();
  };
  if (!seen) {
    return problem ? <Refusal problem={problem} /> : <Loading />;
  }
  return (
    <>
      <header className="page-head">
        <h1>Accounts</h1>
        <p className="summary">
          {[counted(seen.accounts.length, "account"), counted(seen.tokens.length, "token"), counted(seen.sessions.length, "session")].join(" · ")}
        </p>
        <button type="button" className="push" disabled={noToken !== ""} title={noToken} onClick={() => setChoice({ verb: "token" })}>
          New token…
        </button>
        <button type="button" className="primary" disabled={noAccount !== ""} title={noAccount} onClick={() => setChoice({ verb: "create" })}>
          New account…
        </button>
      </header>
      <div className="rows" role="list" aria-label="Accounts">
        {seen.accounts.map((account) => (
          <AccountRow key={account.name} account={account} onChoose={(verb) => setChoice({ verb, account })} />
        ))}
      </div>
      <h2>Tokens</h2>
      {seen.tokens.length === 0 ? (
        <>
          <p className="muted">A token lets a program act for an account until it ends or is revoked: with all that the account may, or for one server alone. It is shown once, when it is made.</p>
          <CliHint command="weft token create NAME --only vs/NAME" />
        </>
      ) : (
        <div className="rows" role="list" aria-label="Tokens">
          {seen.tokens.map((token) => (
            <TokenRow key={token.name} token={token} onRevoke={() => setChoice({ verb: "revoke", token })} />
          ))}
        </div>
      )}
      <h2>Sessions</h2>
      <div className="rows" role="list" aria-label="Sessions">
        {seen.sessions.map((session) => (
          <article className="row image-row" role="listitem" aria-label={`Session ${session.name}`} key={session.name}>
            <div className="cell-name">
              <b className="break">{session.account}</b>
              <State state={session.state} />
            </div>
            <div className="cell-hw">
              <span>from {session.source === "" ? "an unknown address" : session.source}</span>
              <span className="muted">since {session.at.slice(0, 16).replace("T", " ")} · ends {session.expires.slice(0, 16).replace("T", " ")}</span>
            </div>
            <div className="cell-hw">
              <code>{session.name}</code>
            </div>
            <div className="cell-act">
              <button type="button" disabled={session.state === "own"} title={session.state === "own" ? "This is your own: log out instead" : ""} onClick={() => void end(session)} aria-label={`End session ${session.name}`}>
                End
              </button>
            </div>
          </article>
        ))}
      </div>
      {choice?.verb === "create" && <CreateAccountDialog onClose={close} />}
      {choice?.verb === "token" && <CreateTokenDialog accounts={seen.accounts} onClose={close} />}
      {choice?.verb === "role" && <RoleDialog account={choice.account} onClose={close} />}
      {choice?.verb === "password" && <PasswordDialog account={choice.account} onClose={close} />}
      {choice?.verb === "delete" && <DeleteAccountDialog account={choice.account} onClose={close} />}
      {choice?.verb === "revoke" && <RevokeDialog token={choice.token} onClose={close} />}
    </>
  );
}

function AccountRow({ account, onChoose }: { account: Account; onChoose: (verb: "role" | "password" | "delete") => void }) {
  const owner = account.name === "local" ? "It is the owner of the appliance's machine" : "";
  const noRole = useWhyNot("set-role", "account", account.name) || owner;
  const noPassword = useWhyNot("set-password", "account", account.name) || owner;
  const noDelete = useWhyNot("delete", "account", account.name) || owner;
  return (
    <article className="row image-row" role="listitem" aria-label={account.name}>
      <div className="cell-name">
        <b className="break">{account.name}</b>
        <State state={account.state} />
      </div>
      <div className="cell-hw">
        <span>{account.role === "none" ? "no role" : account.role}</span>
        <span className="muted">{account.at === "" ? "" : `made ${account.at.slice(0, 10)}`}</span>
      </div>
      <div className="cell-hw">
        <span className="muted">
          {counted(account.sessions, "session")} · {counted(account.tokens, "token")}
        </span>
      </div>
      <div className="cell-act">
        <button type="button" disabled={noRole !== ""} title={noRole} onClick={() => onChoose("role")} aria-label={`Role of ${account.name}`}>
          Role…
        </button>
        <button type="button" disabled={noPassword !== ""} title={noPassword} onClick={() => onChoose("password")} aria-label={`Password of ${account.name}`}>
          Password…
        </button>
        <button type="button" disabled={noDelete !== ""} title={noDelete} onClick={() => onChoose("delete")} aria-label={`Delete ${account.name}`}>
          Delete…
        </button>
      </div>
    </article>
  );
}

function TokenRow({ token, onRevoke }: { token: Token; onRevoke: () => void }) {
  const noRevoke = useWhyNot("revoke", "token", token.name);
  return (
    <article className="row image-row" role="listitem" aria-label={token.name}>
      <div className="cell-name">
        <b className="break">{token.name}</b>
        <State state={token.state} />
      </div>
      <div className="cell-hw">
        <span>acts for {token.account}</span>
        <span className="muted">
          made {token.at.slice(0, 10)} · ends {token.expires.slice(0, 10)}
        </span>
      </div>
      <div className="cell-hw">
        <span>{token.scope ? `${token.scope.kind} ${token.scope.name}` : "all that its account may"}</span>
        <span className="muted">{(token.scope?.verbs ?? []).join(", ")}</span>
      </div>
      <div className="cell-act">
        <button type="button" disabled={noRevoke !== ""} title={noRevoke} onClick={onRevoke} aria-label={`Revoke ${token.name}`}>
          Revoke…
        </button>
      </div>
    </article>
  );
}
