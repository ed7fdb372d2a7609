// Drives accounts, tokens and sessions in Chromium against a running appliance with a server `web`, stopped, and another, `db`.
// What a token may is tried with it. Nothing here is a double.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
import { expect, start } from "./harness.mjs";

const { api, check, dialog, finish, login, open, page, press, shows, themes } = await start();

const row = (name) => page.getByRole("listitem", { name, exact: true });
const button = (words) => page.getByRole("button", { name: words, exact: true });
/** Makes a token by the page; the token. */
async function token(name, account, server) {
  await button("New token…").click();
  await dialog().getByLabel("Name", { exact: true }).fill(name);
  await dialog().getByLabel("Acts for", { exact: true }).selectOption(account);
  if (server !== "") await dialog().getByLabel("Only for the server", { exact: true }).selectOption(server);
  await shows(`weft token create ${name} --days 30 --account ${account}${server === "" ? "" : ` --only vs/${server}`}`);
  if (server !== "") await themes("token-new");
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  const made = await dialog().getByLabel("Token", { exact: true }).inputValue();
  await press("Done");
  await row(name).waitFor();
  return made;
}

await check("log-in", login);

await check("where there is no token, what one is for is said", async () => {
  await open("#/accounts");
  await page.getByText("weft token create NAME --only vs/NAME", { exact: true }).waitFor();
  await page.getByText("A token lets a program act for an account").waitFor();
  await themes("accounts-none");
});

await check("an account is made that has tokens only", async () => {
  await button("New account…").focus();
  await page.keyboard.press("Enter");
  await dialog().getByLabel("Name", { exact: true }).fill("no name");
  await dialog().getByText("1 to 63 letters, digits, - . _ @").waitFor();
  await dialog().getByLabel("Name", { exact: true }).fill("robot");
  await dialog().getByLabel("Role", { exact: true }).selectOption("operator");
  await shows("weft account create robot --role operator --no-password");
  await themes("account-new");
  await press("Create");
  await row("robot").getByText("no-password", { exact: true }).waitFor();
});

let all = "";
let one = "";
await check("a token of all that it may, and one for one server alone, may what they say", async () => {
  all = await token("robot-all", "robot", "");
  one = await token("robot-web", "robot", "web");
  expect((await api("/vs/web/start", { method: "POST", token: one })).status === 204, "its own server is not started");
  const seen = (await api("/vs", { token: one })).body.map(({ name }) => name);
  expect(seen.join() === "web", `it sees ${seen}`);
  const other = (await api("/vs/db/start", { method: "POST", token: one })).status;
  expect(other === 403 || other === 404, `another server is answered ${other}`);
  expect((await api("/vs", { token: all })).body.length === 2, "the other one does not see both");
  await row("robot-web").getByText("start, stop, label").waitFor();
  await themes("accounts");
});

await check("another role holds at once, for tokens that are there too", async () => {
  await button("Role of robot").click();
  await dialog().getByLabel("Role", { exact: true }).selectOption("viewer");
  await shows("weft account set-role robot viewer");
  await press("Set");
  await row("robot").getByText("viewer", { exact: true }).waitFor();
  expect((await api("/vs/db/start", { method: "POST", token: all })).status === 403, "a viewer starts a server");
  expect((await api("/vs", { token: all })).status === 200, "a viewer sees nothing");
});

await check("a revoked token is nobody's", async () => {
  await button("Revoke robot-web").click();
  await shows("weft token revoke robot-web");
  await themes("token-revoke");
  await press("Revoke");
  await page.getByText("robot-web is revoked.").waitFor();
  expect((await api("/vs", { token: one })).status === 401, "it is somebody's still");
  expect((await api("/vs", { token: all })).status === 200, "the other one is revoked too");
});

await check("a password is set, somebody logs in with it, and the session is ended", async () => {
  await button("Password of robot").click();
  await dialog().getByLabel("First password", { exact: true }).fill("too short");
  await dialog().getByText("At least 12 characters.").waitFor();
  await dialog().getByLabel("First password", { exact: true }).fill("a password of its own");
  await shows("weft account set-password robot");
  expect(!(await dialog().innerText()).includes("a password of its own"), "the password is shown");
  await press("Set");
  await row("robot").getByText("must-change", { exact: true }).waitFor();
  // A token that is none has no cookie sent with it, and none kept.
  const { status, body } = await api("/login", { method: "POST", token: "none", body: { user: "robot", password: "a password of its own" } });
  expect(status === 200 && body.must_change, `log-in answered ${status}`);
  const session = page.getByRole("list", { name: "Sessions" }).getByRole("listitem").filter({ hasText: "robot" });
  await session.getByRole("button", { name: /^End session / }).click();
  await session.waitFor({ state: "detached" });
  expect((await api("/vs", { token: body.token })).status === 401, "its session goes on");
  const own = page.getByRole("list", { name: "Sessions" }).getByRole("listitem").filter({ has: page.getByText("own", { exact: true }) });
  expect(await own.getByRole("button").isDisabled(), "one's own session can be ended here");
});

await check("a deleted account takes its tokens along", async () => {
  await button("Delete robot").click();
  await shows("weft account delete robot");
  await themes("account-delete");
  await press("Delete");
  await row("robot").waitFor({ state: "detached" });
  expect((await api("/vs", { token: all })).status === 401, "its token is somebody's still");
});

await finish();
