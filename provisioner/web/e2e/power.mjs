// Drives the power of a node by its management controller, against a running appliance and a controller that answers.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
//   WEFT_NODE              an approved node without a controller
//   WEFT_BMC               HOST:PORT of a controller that speaks IPMI, of a machine that is off
//   WEFT_BMC_ACCOUNT, WEFT_BMC_PASSWORD_FILE
import { env, expect, secret, start } from "./harness.mjs";

const { check, dialog, finish, login, open, page, shot } = await start();
const panel = page.getByRole("region", { name: "Power", exact: true });
const node = env("WEFT_NODE");

await check("log-in", login);

await check("a controller is set, and the command has no password", async () => {
  await open(`#/nodes/${node}`);
  await panel.getByText("No management controller is set").waitFor();
  await panel.getByRole("button", { name: "Set controller…" }).click();
  await dialog().getByLabel("Protocol", { exact: true }).selectOption("ipmi");
  await dialog().getByLabel("Address", { exact: true }).fill(env("WEFT_BMC"));
  await dialog().getByLabel("Account", { exact: true }).fill(env("WEFT_BMC_ACCOUNT"));
  expect(await dialog().getByRole("button", { name: "Set", exact: true }).isDisabled(), "it can be set without a password");
  await dialog().getByLabel("Password", { exact: true }).fill(secret(env("WEFT_BMC_PASSWORD_FILE")));
  expect((await dialog().innerText()).includes(`weft node bmc set ${node} --kind ipmi --address ${env("WEFT_BMC")}`), "the command is not shown");
  expect(!(await dialog().innerText()).includes(secret(env("WEFT_BMC_PASSWORD_FILE"))), "the password is shown");
  await shot("power-set");
  await dialog().getByRole("button", { name: "Set", exact: true }).click();
  await panel.getByText("off", { exact: true }).waitFor({ timeout: 60_000 });
  await shot("power-off");
});

await check("it is powered on after the plan was shown, and off again", async () => {
  await panel.getByRole("button", { name: "Power on…" }).click();
  await dialog().getByText(`${node} is powered on, by ipmi at`).waitFor();
  expect((await dialog().innerText()).includes(`weft node power on ${node}`), "the command is not shown");
  await dialog().getByRole("button", { name: "Power on", exact: true }).click();
  await panel.getByText("on", { exact: true }).waitFor({ timeout: 60_000 });
  await panel.getByRole("button", { name: "Power off…" }).click();
  await dialog().getByText(`${node} is powered off at once`).waitFor();
  await dialog().getByText("It cannot be undone").waitFor();
  expect((await dialog().innerText()).includes(`weft node power off ${node}`), "the command is not shown");
  await shot("power-dialog");
  await dialog().getByRole("button", { name: "Power off", exact: true }).click();
  await panel.getByText("off", { exact: true }).waitFor({ timeout: 60_000 });
});

await check("what a machine that is off does not do is told", async () => {
  await panel.getByRole("button", { name: "Reset…" }).click();
  await dialog().getByText(`${node} is reset at once`).waitFor();
  await dialog().getByRole("button", { name: "Reset", exact: true }).click();
  await dialog().getByRole("alert").filter({ hasText: "the machine is off" }).waitFor({ timeout: 60_000 });
  await page.keyboard.press("Escape");
});

await check("it fits a narrow page", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await panel.scrollIntoViewIfNeeded();
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(excess <= 0, `${excess} pixels too wide`);
  await shot("power-390");
});

await finish();
