// Drives jobs that are put together on the page, in Chromium against a running appliance with one node, a server `a` that
// runs and a server `b` that does not. Nothing here is a double.
//
// How many starts and stops the node still does is the affair of who starts this: it is asked on standard output, `hand permits
// N`; so is which server fails, `hand fails NAME`.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
import { expect, start } from "./harness.mjs";

const { api, check, finish, hand, login, open, page, shot, themes } = await start();

const panel = (name) => page.getByRole("region", { name, exact: true });
const pick = (name) => panel("Servers").getByRole("checkbox", { name, exact: true });
const draft = (number) => panel("Steps").getByRole("listitem", { name: `Step ${number}`, exact: true });
const add = () => panel("Steps").getByRole("button", { name: /^Add / }).click();
const planned = (number) => panel("Plan").getByRole("list", { name: "Planned steps" }).locator(":scope > li").nth(number - 1);
const begin = () => page.getByRole("button", { name: "Start the job" });
const step = (number) => page.getByRole("list", { name: "Steps" }).getByRole("listitem", { name: new RegExp(`^Step ${number} `) });
const state = (words) => page.locator(".page-head").getByText(words, { exact: true }).waitFor();

await check("log-in", login);

await check("the page of jobs says what a job is, and leads to a new one", async () => {
  await open("#/jobs");
  await page.getByRole("heading", { name: "No job yet" }).waitFor();
  await themes("jobs-none");
  await page.getByRole("link", { name: "New job…" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "New job", exact: true }).waitFor();
  expect(await begin().isDisabled(), "a job without steps can be started");
  await themes("job-new-empty");
});

await check("steps are put together, put in order and taken away, and say what is missing", async () => {
  await pick("a").check();
  await add();
  await pick("a").uncheck();
  await pick("b").check();
  await add();
  await draft(2).getByLabel("Action").selectOption("vs label");
  await draft(2).getByText("Which labels? key=value").waitFor();
  await panel("Plan").getByText("Its plan shows here once each step is whole.").waitFor();
  await draft(2).getByLabel("Labels").fill("job=page");
  await add();
  await draft(3).getByLabel("Action").selectOption("vs start");
  await add();
  await page.getByRole("button", { name: "Remove step 4" }).click();
  await draft(4).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Move step 3 up" }).focus();
  await page.keyboard.press("Enter");
  await draft(3).getByLabel("Labels").waitFor();
  await panel("Steps").getByLabel("Name", { exact: true }).fill("by hand");
});

await check("its plan says what each step does and waits for, and one that cannot be is refused before it begins", async () => {
  await planned(1).getByText("then waits until the guest of a is off").waitFor();
  await planned(2).getByText("node-1 starts b").waitFor();
  await planned(2).getByText("then waits until the guest of b runs").waitFor();
  await page.getByText("weft job run -f FILE", { exact: true }).waitFor();
  await themes("job-new");
  await draft(2).getByLabel("Action").selectOption("vs reset");
  await panel("Plan").getByText(/b is stopped/).first().waitFor();
  expect(await begin().isDisabled(), "a job that would be refused can be started");
  await themes("job-new-refused", () => panel("Plan").scrollIntoViewIfNeeded());
  await draft(2).getByLabel("Action").selectOption("vs start");
  await planned(2).getByText("node-1 starts b").waitFor();
  expect((await api("/jobs")).body.length === 0, "a plan makes a job");
  const file = JSON.parse(await panel("Plan").locator("pre").textContent());
  expect(file.steps.map(({ action }) => action).join() === "vs stop,vs start,vs label", `the file has ${JSON.stringify(file)}`);
});

await check("it is started by the keyboard, and seen to its end as its node follows", async () => {
  await begin().focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: /^by hand/ }).waitFor();
  await step(1).getByText("until the guest of a is off").waitFor();
  await state("running");
  expect((await api("/vs/b")).body.desired === "stopped", "the second step did not wait for the first");
  await themes("job-running");
  await hand("permits", 1);
  await step(1).getByText("done", { exact: true }).waitFor();
  await step(2).getByText("until the guest of b runs").waitFor();
  await page.getByText("1 of 3 steps done").waitFor();
  await hand("permits", 1);
  await state("done");
  await page.getByText("3 of 3 steps done").waitFor();
  await themes("job-done");
  const { body } = await api("/vs/b");
  expect(body.state === "running" && body.labels.job === "page", `b is ${body.state} with ${JSON.stringify(body.labels)}`);
  await step(2).getByRole("link", { name: /^transaction \d+$/ }).waitFor();
  await page.getByRole("link", { name: "Jobs", exact: true }).first().click();
  await page.getByRole("listitem", { name: "1 by hand", exact: true }).getByText("done", { exact: true }).waitFor();
});

await check("one whose last step fails says why, and is taken back", async () => {
  await hand("fails", "a");
  await hand("permits", 10);
  await open("#/jobs/new");
  await pick("b").check();
  await add();
  await draft(1).getByLabel("Action").selectOption("vs label");
  await draft(1).getByLabel("Labels").fill("job=second");
  await pick("b").uncheck();
  await pick("a").check();
  await add();
  await draft(2).getByLabel("Action").selectOption("vs start");
  await planned(2).getByText("node-1 starts a").waitFor();
  await begin().click();
  await page.waitForURL(/#\/jobs\/2$/);
  await state("undone");
  await panel("About it").getByText(/a is failed/).waitFor();
  await page.getByText("2 of 2 steps undone").waitFor();
  await themes("job-undone");
  expect((await api("/vs/b")).body.labels.job === "page", "the label of the first step is there");
  await shot("job-undone");
});

await finish();
