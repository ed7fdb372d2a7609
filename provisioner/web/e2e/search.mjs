// Drives the search of past events and of a node's log in Chromium, against a running appliance. Nothing here is a double.
// node-1 has told 120 events `disk.slow`, "Sector N is SLOW", of the severity warn, and 30 lines of log, "stage N of Boot";
// node-2 has told 5 events `fan.fast`, "rpm N", of the severity info.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
import { expect, start } from "./harness.mjs";

const { api, check, finish, login, open, page, shot, themes } = await start();

const panel = page.getByRole("region", { name: "Search past events" });
const field = (label) => panel.getByLabel(label, { exact: true });
const found = (words) => panel.getByText(words, { exact: true }).waitFor();
/** Numbers of the events that are shown, in their order. */
const numbers = async () => (await panel.locator(".event-seq").allInnerTexts()).map(Number);
const clear = () => panel.getByRole("button", { name: "Clear" }).click();
/** What is shown is what the interface answers, newest first. */
async function same(query) {
  const { events } = (await api(`/events/search?${query}`)).body;
  const shown = await numbers();
  expect(shown.join() === events.map(({ seq }) => seq).reverse().join(), `${shown} are shown for ${query}`);
  return events.length;
}

await check("log-in", login);

await check("events are found by their words, in any case, and the command is shown", async () => {
  await open("#/events");
  await panel.getByText("weft event list", { exact: true }).waitFor();
  await themes("search-empty", () => panel.scrollIntoViewIfNeeded());
  await field("Text").fill("sector 11");
  await panel.getByText("weft event list --grep 'sector 11'", { exact: true }).waitFor();
  await page.keyboard.press("Enter");
  await found("11 found");
  expect((await same("grep=sector%2011&limit=100")) === 11, "not all are found");
  for (const text of await panel.locator(".event-text").allInnerTexts()) expect(/Sector 11\d? is SLOW/.test(text), `it finds ${text}`);
  await themes("search", () => panel.scrollIntoViewIfNeeded());
});

await check("by node and kind, page by page by the keyboard, each once", async () => {
  await clear();
  expect((await field("Text").inputValue()) === "" && (await panel.locator(".event").count()) === 0, "something is left");
  await field("Node").fill("node-1");
  await field("Kind").fill("disk.");
  await panel.getByText("weft event list --node node-1 --kind disk.", { exact: true }).waitFor();
  await panel.getByRole("button", { name: "Search" }).click();
  await found("100 found so far");
  await same("node=node-1&kind=disk.&limit=100");
  await panel.getByRole("button", { name: "Older ones" }).focus();
  await page.keyboard.press("Enter");
  await found("120 found");
  const shown = await numbers();
  expect(new Set(shown).size === 120 && shown.every((seq, at) => at === 0 || seq < shown[at - 1]), `${shown} are shown`);
  await same("node=node-1&kind=disk.&limit=1000");
  expect((await panel.getByRole("button", { name: "Older ones" }).count()) === 0, "there are older ones still");
});

await check("by severity and time, and where nothing fits the next step is said", async () => {
  await clear();
  await field("Node").fill("node-2");
  await field("Least severity").selectOption("warn");
  await field("Text").fill("rpm");
  await page.keyboard.press("Enter");
  await found("0 found");
  await panel.getByText("Nothing has all of that: leave something out.").waitFor();
  await shot("search-none");
  await field("Least severity").selectOption("info");
  await field("From").fill("2001-01-01T00:00");
  await panel.getByRole("button", { name: "Search" }).click();
  await found("5 found");
  await same("node=node-2&grep=rpm&state=info&since=2001-01-01T00:00:00Z&limit=100");
  await field("From").fill("");
  await field("Until").fill("2001-01-01T00:00");
  await panel.getByRole("button", { name: "Search" }).click();
  await found("0 found");
});

await check("what cannot be looked for is refused in words", async () => {
  await clear();
  await field("Text").fill("x".repeat(300));
  await page.keyboard.press("Enter");
  const words = await panel.getByRole("alert").innerText();
  expect(words.length > 20, `it says ${words}`);
  await themes("search-refused", () => panel.getByRole("alert").scrollIntoViewIfNeeded());
});

await check("lines of a node's log are found, and the command is shown", async () => {
  await open("#/nodes/node-1");
  const log = page.getByRole("log", { name: "Log of node-1" });
  await log.getByText("stage 30 of Boot").waitFor();
  await page.getByLabel("Search the log").fill("STAGE 2");
  await page.getByText("weft node log node-1 --grep 'STAGE 2'", { exact: true }).waitFor();
  await log.getByText("stage 30 of Boot").waitFor({ state: "detached" });
  const lines = (await api("/nodes/node-1/log?grep=STAGE%202&lines=200")).body.map(({ text }) => text);
  const shown = await log.locator(".log-line > span:last-child").allInnerTexts();
  expect(lines.length === 11 && shown.join() === lines.join(), `${shown} are shown`);
  await themes("log-search", () => log.scrollIntoViewIfNeeded());
  await page.getByLabel("Search the log").fill("no such words");
  await page.getByText("No line of the last 1000 has that.").waitFor();
});

await finish();
