// Drives the drift of the doctor's page in Chromium against a running appliance, whose nodes are not as they are wanted.
// Nothing here is a double.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
//   WEFT_ENDED          two servers whose guests ended by themselves: the first is accepted, the second enforced
//   WEFT_UNKNOWN        or: the name of a drift that holds a node, of a server that the store never had
import { env, expect, start } from "./harness.mjs";

const { api, check, dialog, finish, login, open, page, press, shot, shows, themes } = await start();

const panel = page.getByRole("region", { name: "Drift", exact: true });
const row = (name) => panel.getByRole("listitem").filter({ has: page.getByRole("heading", { name, exact: true }) });
const answer = (words, name) => panel.getByRole("button", { name: `${words}: ${name}`, exact: true });
const ACCEPT = "Accept what is";
const ENFORCE = "Have it as it is wanted";
const gone = (name) => row(name).waitFor({ state: "detached" });

await check("log-in", login);

async function ended(first, second) {
  await check("what ended by itself is listed: what is wanted, what was seen, where, and the next step", async () => {
    await open("#/doctor");
    for (const name of [first, second]) {
      const words = await row(`${name}.state`).innerText();
      for (const part of ["Wanted: running", "off", "on node-1", "Next:"]) expect(words.includes(part), `it says ${words}`);
    }
    await page.locator(".finding").filter({ hasText: "drift" }).first().waitFor();
    await panel.getByText("weft drift list", { exact: true }).waitFor();
    await panel.scrollIntoViewIfNeeded();
    await themes("drift", () => panel.scrollIntoViewIfNeeded());
  });

  await check("accepted by the keyboard, after its plan: it is wanted stopped from then on", async () => {
    await answer(ACCEPT, `${first}.state`).focus();
    await page.keyboard.press("Enter");
    await shows(`weft drift accept ${first}.state`);
    await dialog().getByRole("region", { name: "Plan" }).waitFor();
    expect((await api(`/vs/${first}`)).body.desired === "running", "a plan changes something");
    await themes("drift-accept");
    await dialog().getByRole("button", { name: "Accept", exact: true }).focus();
    await page.keyboard.press("Enter");
    await dialog().waitFor({ state: "detached" });
    await gone(`${first}.state`);
    expect((await api(`/vs/${first}`)).body.desired === "stopped", "it is wanted running still");
    const [newest] = (await api("/transactions?limit=1")).body;
    expect(newest.name === "vs stop" && newest.actor === "admin", `history has ${newest.name} by ${newest.actor}`);
  });

  await check("enforced, after its plan: it starts anew", async () => {
    await answer(ENFORCE, `${second}.state`).click();
    await shows(`weft drift enforce ${second}.state`);
    await dialog().getByRole("region", { name: "Plan" }).getByText(`node-1 starts ${second}`).first().waitFor();
    await shot("drift-enforce");
    await press("Enforce");
    await gone(`${second}.state`);
    await panel.getByText("All nodes that are here are as they are wanted.").waitFor();
    await themes("drift-none", () => panel.scrollIntoViewIfNeeded());
  });

  await check("what was settled is shown where that is asked for, with its outcome", async () => {
    await panel.getByRole("checkbox", { name: "Show what was settled" }).focus();
    await page.keyboard.press("Space");
    await panel.getByText("weft drift list --all", { exact: true }).waitFor();
    await row(`${first}.state`).waitFor();
    const { body } = await api("/drift?all=true");
    expect((await panel.getByRole("listitem").count()) === body.length, `${body.length} were settled`);
    for (const { name, outcome } of body) {
      const words = await row(name).innerText();
      expect(outcome !== "" && words.includes(outcome), `${name} says ${words}`);
      expect((await row(name).getByRole("button").count()) === 0, `${name} was settled and can be answered`);
    }
    await shot("drift-settled");
  });
}

async function unknown(name) {
  await check("a server that the store never had holds its node, and cannot be accepted: why is said in words", async () => {
    await open("#/doctor");
    await row(name).getByText("held", { exact: true }).waitFor();
    await themes("drift-held", () => row(name).scrollIntoViewIfNeeded());
    await answer(ACCEPT, name).click();
    await shows(`weft drift accept ${name}`);
    const words = await dialog().getByRole("alert").innerText();
    expect(words.length > 20, `it says ${words}`);
    expect(await dialog().getByRole("button", { name: "Accept", exact: true }).isDisabled(), "it can be accepted");
    await themes("drift-refused");
    await page.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await row(name).waitFor();
  });

  await check("it is let go once somebody has answered for it", async () => {
    await answer(ENFORCE, name).click();
    await shows(`weft drift enforce ${name}`);
    await dialog().getByRole("region", { name: "Plan" }).waitFor();
    await themes("drift-end");
    await press("Enforce");
    await gone(name);
    await panel.getByText("All nodes that are here are as they are wanted.").waitFor();
  });
}

if (process.env.WEFT_UNKNOWN) await unknown(env("WEFT_UNKNOWN"));
else await ended(...env("WEFT_ENDED").split(","));

await finish();
