// Drives the rollouts of the page of images in Chromium against a running appliance with three nodes that run the active
// image, and a newer one, test-8, that is published. Nothing here is a double.
//
// How nodes restart is the affair of who starts this: it is asked on standard output, `hand NODE HOW`, and answers a line.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
import { expect, start } from "./harness.mjs";

const { check, dialog, finish, hand, login, open, page, press, shot, themes } = await start();

const rollout = (number) => page.getByRole("listitem", { name: new RegExp(`^${number} `) });
const says = (item, text) => item.getByText(text).first().waitFor();
const act = async (number, verb) => {
  await rollout(number).getByRole("button", { name: new RegExp(`^${verb} `) }).click();
  await dialog().waitFor();
  expect((await dialog().innerText()).includes(`weft image rollout ${verb} ${number}`), "the command is not shown");
};
const go = (verb) => press(verb[0].toUpperCase() + verb.slice(1));

/** Begins a rollout of test-8 to all nodes; its number. */
async function begin(name) {
  await page.getByRole("button", { name: "Roll out test-8", exact: true }).click();
  await dialog().getByText("first, alone: node-1").waitFor();
  expect(/weft image rollout start [0-9a-f]{16} --all/.test(await dialog().innerText()), "the command is not shown");
  if (name) await themes(name);
  const before = await page.getByRole("list", { name: "Rollouts" }).getByRole("listitem").evaluateAll((all) => all.filter((one) => one.tagName === "ARTICLE").map((one) => one.getAttribute("aria-label"))).catch(() => []);
  await dialog().getByRole("button", { name: "Roll out", exact: true }).click();
  await dialog().waitFor({ state: "detached" });
  const fresh = page.locator("article.rollout").filter({ hasText: "test-8" }).first();
  await page.waitForFunction((known) => [...document.querySelectorAll("article.rollout")].some((one) => !known.includes(one.getAttribute("aria-label"))), before);
  return Number((await fresh.getAttribute("aria-label")).split(" ")[0]);
}

await check("log-in", async () => {
  await login();
  await open("#/images");
  await page.getByText("None yet: nodes restart into a new image").waitFor();
  await themes("rollouts-none");
});

let number = 0;
await check("a rollout is planned and begun, and stops where its canary fails, with the next step", async () => {
  await hand("node-1", "same");
  number = await begin("rollouts-plan");
  await says(rollout(number), "stopped");
  const alert = rollout(number).getByRole("alert");
  await alert.waitFor();
  const text = await alert.innerText();
  expect(text.includes("node-1 came back with test-7") && text.includes("weft image rollout resume"), `it says ${text}`);
  expect((await rollout(number).getByRole("button", { name: /^pause / }).count()) === 0, "what is stopped can be paused");
  await themes("rollouts-stopped");
});

await check("it is resumed, paused while a node is away, and begins no further node", async () => {
  await hand("node-1", "offered");
  await hand("node-2", "never");
  await act(number, "resume");
  await go("resume");
  await says(rollout(number), "1 of 3 nodes done; node-2 restarting");
  await themes("rollouts-running");
  await act(number, "pause");
  await shot("rollouts-pause");
  await go("pause");
  await hand("node-2", "offered");
  await says(rollout(number), "2 of 3 nodes done");
  await says(rollout(number), "paused");
  // It would have been begun by now.
  await page.waitForTimeout(2500);
  await says(rollout(number), "2 of 3 nodes done");
  await act(number, "resume");
  await go("resume");
  await says(rollout(number), "3 of 3 nodes done");
  await page.getByRole("listitem", { name: "test-8", exact: true }).getByText("active").waitFor();
});

await check("the way back is planned and gone, node by node", async () => {
  await act(number, "back");
  await dialog().getByRole("listitem").first().waitFor();
  await themes("rollouts-back");
  await go("back");
  const back = page.getByRole("listitem", { name: /back-of-/ });
  await says(back, "3 of 3 nodes done");
  await page.getByRole("listitem", { name: "test-7", exact: true }).getByText("active").waitFor();
  await themes("rollouts-done");
});

await check("another one is aborted where it stands", async () => {
  await hand("node-1", "never");
  const next = await begin("");
  await says(rollout(next), "node-1 restarting");
  await act(next, "abort");
  await go("abort");
  await says(rollout(next), "aborted");
  await hand("node-1", "same");
});

await finish();
