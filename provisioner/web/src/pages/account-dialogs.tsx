/** Dialogs of accounts and tokens. What is secret is never part of the command that is shown. */
import { useState } from "react";
import { api } from "../api/client";
import type { Account, Token, TokenScope } from "../api/types";
import { Dialog } from "../components/dialog";
import { Field } from "../components/parts";
import { command } from "../lib/cli";
import { useStore } from "../state/store";
import { useToasts } from "../state/toasts";

const ROLES = [
  ["viewer", "looks at servers, nodes, partitions, images, history, events"],
  ["operator", "that, and operates servers and partitions, labels and restarts nodes"],
  ["auditor", "looks at everything, accounts and policies too"],
  ["administrator", "everything"],
  ["none", "what own policies permit, and nothing else"],
] as const;
const LEAST = 12;

function RoleField({ role, onRole }: { role: string; onRole: (role: string) => void }) {
  return (
    <Field label="Role" hint={ROLES.find(([name]) => name === role)?.[1] ?? ""}>
      {(id, note) => (
        <select id={id} aria-describedby={note} value={role} onChange={(event) => onRole(event.target.value)}>
          {ROLES.map(([name]) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function PasswordField({ password, onPassword, hint }: { password: string; onPassword: (password: string) => void; hint: string }) {
  const short = password !== "" && password.length < LEAST;
  return (
    <Field label="First password" hint={hint} error={short ? `At least ${LEAST} characters.` : undefined}>
      {(id, note) => <input id={id} aria-describedby={note} type="password" autoComplete="new-password" value={password} onChange={(event) => onPassword(event.target.value)} />}
    </Field>
  );
}

const isName = (name: string) => /^[A-Za-z0-9._@-]{1,63}$/.test(name);

function NameField({ name, onName }: { name: string; onName: (name: string) => void }) {
  return (
    <Field label="Name" error={name === "" || isName(name) ? undefined : "1 to 63 letters, digits, - . _ @"}>
      {(id, note) => <input id={id} aria-describedby={note} autoFocus value={name} autoComplete="off" onChange={(event) => onName(event.target.value)} />}
    </Field>
  );
}

export function CreateAccountDialog({ onClose }: { onClose: () => void }) {
  const { tryTo } = useToasts();
  const [name, setName] = useState("");
  const [role, setRole] = useState("viewer");
  const [password, setPassword] = useState("");
  const words = password === "" ? ["--no-password"] : ["--password-file", "FILE"];
  return (
    <Dialog
      title="New account"
      command={command("account", "create", name === "" ? "NAME" : name, "--role", role, ...words)}
      action="Create"
      ready={isName(name) && (password === "" || password.length >= LEAST)}
      onAction={() => tryTo(() => api.createAccount({ name, role, password }), `${name} is made.`)}
      onClose={onClose}
    >
      <NameField name={name} onName={setName} />
      <RoleField role={role} onRole={setRole} />
      <PasswordField password={password} onPassword={setPassword} hint="must be changed at the first log-in; empty: it has tokens only" />
    </Dialog>
  );
}

export function RoleDialog({ account, onClose }: { account: Account; onClose: () => void }) {
  const { tryTo } = useToasts();
  const [role, setRole] = useState(account.role);
  return (
    <Dialog
      title={`Role of ${account.name}`}
      command={command("account", "set-role", account.name, role)}
      action="Set"
      ready={role !== account.role}
      onAction={() => tryTo(() => api.setRole(account.name, role), `The role of ${account.name} is ${role}.`)}
      onClose={onClose}
    >
      <p>It holds at once, also in sessions and for tokens that are there.</p>
      <RoleField role={role} onRole={setRole} />
    </Dialog>
  );
}

export function PasswordDialog({ account, onClose }: { account: Account; onClose: () => void }) {
  const { tryTo } = useToasts();
  const [password, setPassword] = useState("");
  return (
    <Dialog
      title={`Password of ${account.name}`}
      command={command("account", "set-password", account.name)}
      action="Set"
      ready={password.length >= LEAST}
      onAction={() => tryTo(() => api.setPassword(account.name, password), `${account.name} has another password.`)}
      onClose={onClose}
    >
      <p>The sessions of {account.name} end. Its tokens go on.</p>
      <PasswordField password={password} onPassword={setPassword} hint="must be changed at the next log-in" />
    </Dialog>
  );
}

export function DeleteAccountDialog({ account, onClose }: { account: Account; onClose: () => void }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Delete ${account.name}`}
      command={command("account", "delete", account.name)}
      action="Delete"
      danger
      onAction={() => tryTo(() => api.deleteAccount(account.name), `${account.name} is deleted.`)}
      onClose={onClose}
    >
      <p>Its sessions end and its tokens are revoked. History keeps what it did. This cannot be taken back.</p>
    </Dialog>
  );
}

export function RevokeDialog({ token, onClose }: { token: Token; onClose: () => void }) {
  const { tryTo } = useToasts();
  return (
    <Dialog
      title={`Revoke ${token.name}`}
      command={command("token", "revoke", token.name)}
      action="Revoke"
      danger
      onAction={() => tryTo(() => api.revokeToken(token.name), `${token.name} is revoked.`)}
      onClose={onClose}
    >
      <p>Who holds the token can do nothing with it from now on. This cannot be taken back.</p>
    </Dialog>
  );
}

export function CreateTokenDialog({ accounts, onClose }: { accounts: Account[]; onClose: () => void }) {
  const { servers } = useStore();
  const { tryTo } = useToasts();
  const [name, setName] = useState("");
  const [account, setAccount] = useState("");
  const [days, setDays] = useState(30);
  const [server, setServer] = useState("");
  const [made, setMade] = useState<string | null>(null);
  const scope: TokenScope | null = server === "" ? null : { kind: "vs", name: server, verbs: [], id: "" };
  if (made !== null) {
    return (
      <Dialog title={`The token ${name}`} command={command("token", "list")} action="Done" onAction={() => Promise.resolve(null)} onClose={onClose}>
        <p>This is the only time that it is shown. Keep it where its program finds it, and nobody else.</p>
        <Field label="Token">{(id, note) => <input id={id} aria-describedby={note} className="mono" readOnly value={made} onFocus={(event) => event.target.select()} />}</Field>
      </Dialog>
    );
  }
  const words = [...(account === "" ? [] : ["--account", account]), ...(server === "" ? [] : ["--only", `vs/${server}`])];
  return (
    <Dialog
      title="New token"
      command={command("token", "create", name === "" ? "NAME" : name, "--days", String(days), ...words)}
      action="Create"
      ready={isName(name) && Number.isInteger(days) && days >= 1 && days <= 365}
      onAction={async () => {
        let token = "";
        const problem = await tryTo(async () => void (token = (await api.createToken({ name, account, days, scope })).token ?? ""), `${name} is made.`);
        if (problem) return problem;
        setMade(token);
        return null;
      }}
      // The dialog that shows the token takes its place.
      onClose={() => undefined}
      onCancel={onClose}
    >
      <NameField name={name} onName={setName} />
      <Field label="Acts for" hint="never more than that account may">
        {(id, note) => (
          <select id={id} aria-describedby={note} value={account} onChange={(event) => setAccount(event.target.value)}>
            <option value="">yourself</option>
            {accounts.map((one) => (
              <option key={one.name} value={one.name}>
                {one.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Days" hint="1 to 365">
        {(id, note) => <input id={id} aria-describedby={note} type="number" min={1} max={365} value={days} onChange={(event) => setDays(event.target.valueAsNumber)} />}
      </Field>
      <Field label="Only for the server" hint={server === "" ? "all that its account may" : "it may start, stop and label this one, and see no other"}>
        {(id, note) => (
          <select id={id} aria-describedby={note} value={server} onChange={(event) => setServer(event.target.value)}>
            <option value="">no restriction</option>
            {(servers ?? []).map((vs) => (
              <option key={vs.id} value={vs.name}>
                {vs.name}
              </option>
            ))}
          </select>
        )}
      </Field>
    </Dialog>
  );
}
