// Drives the load of nodes, servers and partitions, against a running appliance whose nodes report theirs.
//
//   WEFT_URL            https://HOST:PORT of the appliance
//   WEFT_CA             its certificate (PEM); the browser trusts this key alone
//   WEFT_USER           user name, admin by default
//   WEFT_PASSWORD_FILE  file with the password
//   WEFT_NODE           a node that works
//   WEFT_SILENT         a node that fell silent a while ago
//   WEFT_VS             a server that spans both
//   WEFT_ALONE          a server of the node that works
//   WEFT_PARTITION      their partition
//   WEFT_SHOTS          optional: folder for screenshots
//   CHROMIUM            browser, /usr/bin/chromium by default
import { env, expect, start } from "./harness.mjs";

const { check, finish, login, open, page, shot } = await start();

await check("log-in", login);

const load = page.getByRole("region", { name: "Load" });
const chart = (name) => load.getByRole("img", { name });

await check("a node's charts say in words what they show", async () => {
  await open(`#/nodes/${env("WEFT_NODE")}`);
  await chart(/^Processors busy, last five minutes: now busy \d.* %; between \d.* % and \d.* %$/).waitFor();
  await chart(/^Memory, of 2 GiB, last five minutes: now guests \d+ MiB, monitor 20 MiB; /).waitFor();
  await chart(/^Network, last five minutes: now in [\d.]+ KiB\/s, out /).waitFor();
  await chart(/^Exits of guests, .*now exits [\d.]+( k)? \/s/).waitFor();
  await chart(/^Remote faults, .*now faults \d+ \/s/).waitFor();
  await chart(/^Messages between nodes, /).waitFor();
  await shot("load-node");
});

await check("the time axis is marked at whole minutes, and legends have the values of now", async () => {
  const marks = (await chart(/^Processors busy/).getAttribute("data-marks")).split(" ");
  const minutes = marks.map((mark) => Number(mark.slice(0, 2)) * 60 + Number(mark.slice(3)));
  expect(marks.every((mark) => /^\d\d:\d\d$/.test(mark)) && marks.length >= 3, `the marks are ${marks}`);
  expect(minutes.every((at, n) => n === 0 || (at - minutes[n - 1] + 1440) % 1440 === 1), `the marks are ${marks}`);
  const legend = (name) => load.locator("figure").filter({ has: page.getByRole("img", { name }) }).locator(".chart-now");
  await legend(/^Processors busy/).getByText(/^busy \d.* %$/).waitFor();
  await legend(/^Memory, of 2 GiB/).getByText(/^guests \d+ MiB$/).waitFor();
  await legend(/^Memory, of 2 GiB/).getByText(/^monitor 20 MiB$/).waitFor();
});

await check("it is live", async () => {
  const words = () => chart(/^Network/).getAttribute("aria-label");
  const before = await words();
  await page.waitForFunction((old) => document.querySelector('[aria-label^="Network, last"]')?.getAttribute("aria-label") !== old, before);
});

await check("what the pointer is at is told in numbers, in all charts at once", async () => {
  await chart(/^Processors busy/).scrollIntoViewIfNeeded();
  const box = await chart(/^Processors busy/).boundingBox();
  await page.mouse.move(box.x + box.width - 60, box.y + box.height / 2);
  await load.getByText(/^ ?at \d\d:\d\d:\d\d$/).nth(5).waitFor();
  await page.mouse.move(0, 0);
});

await check("the same is there as a table, reached by the keyboard", async () => {
  await load.getByText("As a table").focus();
  await page.keyboard.press("Enter");
  await load.getByRole("row", { name: /^Processors busy \d.* % \d.* % \d.* % \d.* %$/ }).waitFor();
  await load.getByRole("row", { name: /^Network: out / }).waitFor();
  await shot("load-table");
});

await check("the time shown is chosen by the keyboard, and an empty one says why", async () => {
  await load.getByRole("radio", { name: "five minutes" }).focus();
  await page.keyboard.press("ArrowRight");
  await load.getByText("No minute is over yet").or(chart(/^Processors busy, last six hours/)).waitFor();
  await page.keyboard.press("ArrowLeft");
  await chart(/^Processors busy, last five minutes/).waitFor();
  expect((await load.innerText()).includes("weft top"), "the command is not shown");
});

await check("a node that fell silent has a gap, and no number for now", async () => {
  await open(`#/nodes/${env("WEFT_SILENT")}`);
  await chart(/^Processors busy, last five minutes: now busy –; between \d/).waitFor();
  await load.getByText("As a table").click();
  await load.getByText(/^Of 300 values \d+ are missing: nothing was told then\.$/).waitFor();
  await shot("load-silent");
});

await check("a server's charts are of all its nodes, exits by cause", async () => {
  await open(`#/servers/${env("WEFT_ALONE")}`);
  await chart(/^Processors in use, of 2, last five minutes: now in use [\d.]+; /).waitFor();
  await chart(/^Memory, of 512 MiB, last five minutes: now taken \d+ MiB; /).waitFor();
  await chart(/^Exits, .*now interrupts [\d.]+( k)? \/s, halts .*, memory .*, devices .*, other /).waitFor();
  expect((await chart(/^Remote faults/).count()) === 0, "a server that does not span nodes has remote faults");
  await shot("load-server");
  await open(`#/servers/${env("WEFT_VS")}`);
  await chart(/^Remote faults, .*; between \d/).waitFor();
  await shot("load-spanning");
});

await check("a partition has a page of its own", async () => {
  await open("#/partitions");
  await page.getByRole("link", { name: env("WEFT_PARTITION"), exact: true }).click();
  await page.getByRole("heading", { name: env("WEFT_PARTITION"), exact: true }).waitFor();
  await chart(/^Memory, of 4 GiB, last five minutes/).waitFor();
  await page.getByRole("region", { name: "Load" }).scrollIntoViewIfNeeded();
  await shot("load-partition");
  await page.evaluate(() => void (location.hash = "#/partitions/none"));
  await page.getByRole("heading", { name: "There is no partition none" }).waitFor();
});

await check("it fits a narrow page in both themes", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  for (const theme of ["one", "other"]) {
    for (const at of [`#/nodes/${env("WEFT_NODE")}`, `#/servers/${env("WEFT_ALONE")}`, `#/partitions/${env("WEFT_PARTITION")}`]) {
      await open(at);
      await chart(/^Processors/).waitFor();
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `${at} is ${excess} pixels too wide`);
      await chart(/^Processors/).scrollIntoViewIfNeeded();
      await shot(`load-390-${theme}-${at.split("/")[1]}`);
    }
    await page.getByRole("button", { name: /Use the (dark|light) theme/ }).click();
  }
});

await check("the other theme at full width", async () => {
  await page.getByRole("button", { name: /Use the (dark|light) theme/ }).click();
  await page.setViewportSize({ width: 1280, height: 900 });
  await open(`#/nodes/${env("WEFT_NODE")}`);
  await chart(/^Processors busy/).waitFor();
  await shot("load-node-other");
});

await finish();
