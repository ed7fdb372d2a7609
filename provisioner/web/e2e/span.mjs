// Drives the view of a server that spans nodes, against a running appliance whose nodes report figures.
//
//   WEFT_URL            https://HOST:PORT of the appliance
//   WEFT_CA             its certificate (PEM); the browser trusts this key alone
//   WEFT_USER           user name, admin by default
//   WEFT_PASSWORD_FILE  file with the password
//   WEFT_VS             the server
//   WEFT_SHOTS          optional: folder for screenshots
//   CHROMIUM            browser, /usr/bin/chromium by default
import { env, expect, start } from "./harness.mjs";

const { check, finish, login, open, page, shot } = await start();
const vs = env("WEFT_VS");

await check("log-in", login);

const panel = page.getByRole("region", { name: "On its nodes" });

await check("each node shows its processors, faults, messages and times", async () => {
  await open(`#/servers/${vs}`);
  const cards = panel.getByRole("list", { name: "Nodes of this server" }).locator(":scope > article");
  await cards.first().waitFor();
  expect((await cards.count()) === 2, `${await cards.count()} nodes are shown`);
  for (const card of await cards.all()) {
    await card.getByText(/^\d on CPU \d$/).waitFor();
    await card.getByRole("row", { name: /^Read \d+ \/s/ }).waitFor();
    await card.getByText(/\/s$/).first().waitFor();
    await card.getByRole("list", { name: "Read faults took, by power of two" }).waitFor();
  }
  await shot("span");
});

await check("it is live", async () => {
  const total = panel.getByRole("row", { name: /^Read / }).first().locator("td").last();
  const before = await total.textContent();
  await page.waitForFunction(([label, old]) => {
    const rows = [...document.querySelectorAll(`[aria-label="${label}"] tr`)].filter((row) => row.textContent?.startsWith("Read"));
    return rows[0]?.querySelector("td:last-child")?.textContent !== old;
  }, ["On its nodes", before]);
});

await check("the hottest pages say whose memory they are in, and the command is shown", async () => {
  const table = panel.getByRole("table", { name: "Hottest pages" });
  await table.getByText(/^0x[0-9a-f]+000$/).first().waitFor();
  await table.getByText(/^(memory|kernel image|below 1 MiB) of node-\d$/).first().waitFor();
  expect((await panel.innerText()).includes(`weft vs span ${vs} --watch`), "the command is not shown");
});

await check("it fits a narrow page in both themes", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const _ of ["one", "other"]) {
    const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(excess <= 0, `it is ${excess} pixels too wide`);
    await page.getByRole("button", { name: /Use the (dark|light) theme/ }).click();
    await shot(`span-390-${_}`);
  }
});

await finish();
