// Drives the map in Chromium against a running appliance with two nodes, frames rack-1 and rack-2 of mainframe m1, and a
// server `web`, stopped, on node-1. Nothing here is a double.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
//   WEFT_LARGE          optional: there are many nodes instead; only looks, drags, and prints the longest tasks
import { expect, start } from "./harness.mjs";

const { check, dialog, finish, login, open, page, shot, shows, themes } = await start();
const large = (process.env.WEFT_LARGE ?? "") !== "";

const frame = (name) => page.getByRole("region", { name: `Frame ${name}`, exact: true });
const free = () => page.getByRole("region", { name: "Free pool" });
const node = (name) => page.getByRole("button", { name: new RegExp(`^node ${name},`) });
const server = (name) => page.getByRole("button", { name: new RegExp(`^server ${name},`) }).first();

/** Takes hold of one and lets go over another; `over` is called before it is let go. */
async function drag(from, to, over = async () => undefined) {
  const [a, b] = [await from.boundingBox(), await to.boundingBox()];
  expect(a && b, "one of them is not in sight");
  await page.mouse.move(a.x + 20, a.y + 12);
  await page.mouse.down();
  await page.mouse.move(a.x + 30, a.y + 20, { steps: 4 });
  // Where it may go comes from the appliance.
  await page.locator("[data-target]").first().waitFor();
  await page.mouse.move(b.x + 40, b.y + 14, { steps: 12 });
  await page.mouse.move(b.x + 42, b.y + 16);
  await over();
  await page.mouse.up();
}

await check("log-in", login);

if (large) {
  // Tasks over 50 ms are told, as figures: how long they take is the machine's affair too.
  await check("many nodes are shown, found and dragged", async () => {
    await page.evaluate(() => {
      window.tasks = [];
      new PerformanceObserver((list) => list.getEntries().forEach(({ duration, startTime }) => window.tasks.push([Math.round(startTime), Math.round(duration)]))).observe({ type: "longtask" });
    });
    const taken = async (what) => {
      await page.waitForTimeout(600);
      const tasks = await page.evaluate(() => window.tasks.splice(0).map(([, duration]) => duration));
      console.log(`figure ${what}: ${tasks.length} tasks over 50 ms, longest ${Math.max(0, ...tasks)} ms`);
    };
    // What never sees a long task would praise everything.
    await page.evaluate(() => new Promise((done) => setTimeout(() => {
      for (const from = performance.now(); performance.now() - from < 120;);
      done();
    }, 0)));
    await page.waitForFunction(() => window.tasks.some(([, duration]) => duration >= 100));
    await page.evaluate(() => void window.tasks.splice(0));
    await page.waitForTimeout(5000);
    await taken("nodes page, idle");
    await page.evaluate(() => void (location.hash = "#/map"));
    await page.getByRole("heading", { name: "Map", exact: true }).waitFor();
    await free().waitFor();
    await taken("map shown");
    await page.waitForTimeout(6000);
    await taken("map, idle");
    await page.getByRole("button", { name: "Open rack-1", exact: true }).click();
    await node("node-1").waitFor();
    await taken("frame opened");
    await themes("map-many");
    await taken("window resized");
    await page.evaluate(() => window.scrollTo(0, 0));
    let words = "";
    const read = [];
    page.on("request", (request) => {
      const { pathname } = new URL(request.url());
      if (/^\/api\/v1\/(nodes|vs|images|topology)$/.test(pathname)) read.push(pathname);
    });
    let before = 0;
    await drag(node("node-2"), frame("rack-2").locator("header"), async () => {
      words = await page.locator(".map-status").innerText();
      for (let n = 0; n < 40; n += 1) await page.mouse.move(300 + n * 15, 200 + n * 8);
      await shot("map-many-dragging");
      // Longer than the page waits between two looks, of lists and of the topology.
      before = read.length;
      await page.waitForTimeout(6000);
      expect(read.length === before, `while dragging it read ${read.slice(before)}`);
      await taken("drag");
      const at = await frame("rack-2").locator("header").boundingBox();
      await page.mouse.move(at.x + 40, at.y + 14, { steps: 6 });
    });
    await taken("drop, and what it opens");
    const caughtUp = () => ["/api/v1/nodes", "/api/v1/topology"].every((path) => read.slice(before).includes(path));
    for (const from = Date.now(); !caughtUp() && Date.now() - from < 60_000;) await page.waitForTimeout(100);
    expect(caughtUp(), `after the drop it read ${read.slice(before)}`);
    await dialog().waitFor();
    expect(words.includes("rack-2"), `while dragging it says ${words}`);
    await page.keyboard.press("Escape");
    await page.getByLabel("Find a node or a server").fill("node-777");
    await node("node-777").waitFor();
    await taken("found by name");
    await page.waitForTimeout(6000);
    await taken("two looks later");
  });
  await finish();
}

await check("the map shows frames, the free pool, and what lies on nodes", async () => {
  await open("#/map");
  await free().getByRole("button", { name: /^node node-1,/ }).waitFor();
  expect((await frame("rack-1").innerText()).includes("0 nodes"), "rack-1 is not empty");
  await server("web").waitFor();
  await themes("map");
});

await check("what belongs together is lit, both ways", async () => {
  await server("web").click();
  expect((await page.locator(".map-node[data-lit='yes']").count()) === 1, "the node that it lives on is not lit");
  const detail = page.getByRole("complementary", { name: "Virtual server web" });
  expect((await detail.innerText()).includes("node-1"), "it is not told where it lives");
  await detail.getByRole("button", { name: "node-1" }).click();
  expect((await page.locator(".chip[data-lit='yes']").count()) === 1, "what lies on the node is not lit");
  await page.getByRole("complementary", { name: "Node node-1" }).getByText("Processors").waitFor();
  await themes("map-picked");
  await page.keyboard.press("Escape");
});

await check("a free node is dragged into a frame: legal places are lit, the plan and the command are shown", async () => {
  await drag(node("node-1"), frame("rack-1"), async () => {
    expect((await frame("rack-1").getAttribute("data-target")) === "legal", "rack-1 is not lit");
    expect((await free().getAttribute("data-target")) === "here", "the free pool is taken for another place");
    expect((await page.locator(".map-status").innerText()).includes("Drop to move node-1 to frame rack-1"), "it is not said what a drop does");
    await shot("map-dragging");
  });
  await dialog().getByText("node-1 moves from the free pool to frame rack-1").waitFor();
  expect((await dialog().innerText()).includes("weft node move node-1 --frame rack-1"), "the command is not shown");
  await themes("map-plan");
  await dialog().getByRole("button", { name: "Move", exact: true }).click();
  await frame("rack-1").getByRole("button", { name: /^node node-1,/ }).waitFor();
});

await check("another one by the keyboard alone", async () => {
  await page.getByLabel("Find a node or a server").focus();
  // One stop for the whole map, and arrows within.
  for (let n = 0; n < 4 && !(await page.evaluate(() => document.activeElement?.dataset.item)); n += 1) await page.keyboard.press("Tab");
  for (let n = 0; n < 20; n += 1) {
    if ((await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "")).startsWith("node node-2,")) break;
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("m");
  await dialog().getByText("frame rack-1", { exact: true }).waitFor();
  await shot("map-move-to");
  for (let n = 0; n < 8; n += 1) {
    if (await page.evaluate(() => document.activeElement?.getAttribute("name") === "target")) break;
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Space");
  const place = dialog().getByRole("radio", { name: "frame rack-1", exact: true });
  for (let n = 0; n < 4 && !(await place.isChecked()); n += 1) await page.keyboard.press("ArrowDown");
  await dialog().getByText("node-2 moves from the free pool to frame rack-1").waitFor();
  await page.keyboard.press("Enter");
  await frame("rack-1").getByRole("button", { name: /^node node-2,/ }).waitFor();
});

await check("a stopped server goes to another node, and may not where the appliance refuses", async () => {
  await drag(server("web"), frame("rack-1").locator(".map-node").filter({ has: node("node-2") }));
  await dialog().getByText("node-2 takes web, stopped").waitFor();
  expect((await dialog().innerText()).includes("weft vs move web --node node-2"), "the command is not shown");
  await dialog().getByRole("button", { name: "Move", exact: true }).click();
  await page.locator(".map-node").filter({ has: node("node-2") }).getByRole("button", { name: /^server web,/ }).waitFor();
  await page.evaluate(async () => {
    const answer = await fetch("/api/v1/vs/web/start", { method: "POST", headers: { "X-Weft-Request": "1" } });
    if (!answer.ok) throw new Error(await answer.text());
  });
  await page.getByRole("button", { name: /^server web, running,/ }).first().waitFor();
  await drag(server("web"), node("node-1"), async () => {
    await page.getByText("Not to node node-1: web is to run on node-2; stop it first").waitFor();
    await shot("map-refused");
  });
  expect((await dialog().count()) === 0, "a drop on a place that refuses did something");
});

await check("a partition of two nodes is made by dropping one, and moves as a whole", async () => {
  await drag(node("node-1"), page.locator(".map-head").first(), async () => {
    const zone = await page.getByText("New partition with node-1…").boundingBox();
    await page.mouse.move(zone.x + 30, zone.y + 10, { steps: 6 });
    await page.mouse.move(zone.x + 32, zone.y + 12);
  });
  await dialog().getByRole("heading", { name: "New partition" }).waitFor();
  await dialog().getByRole("checkbox", { name: "node-2" }).check();
  expect((await dialog().innerText()).includes("weft partition create p1 --nodes node-1,node-2"), "the command is not shown");
  await dialog().getByText("agree with one another as p1").waitFor();
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  const partition = page.getByRole("button", { name: /^partition p1,/ });
  await partition.waitFor();
  await drag(node("node-1"), free(), async () => {
    await page.getByText("Not to the free pool: node-1 is a member of partition p1").waitFor();
    await shot("map-member-refused");
  });
  await drag(partition, frame("rack-2"));
  await dialog().getByText("node-2 moves from frame rack-1 to frame rack-2").waitFor();
  await dialog().getByRole("button", { name: "Move", exact: true }).click();
  await frame("rack-2").getByRole("button", { name: /^partition p1,/ }).waitFor();
  await themes("map-partition");
});

await check("a frame is made, renamed and deleted, and one that holds nodes says why it stays", async () => {
  await page.getByRole("button", { name: "New frame…" }).click();
  await dialog().getByLabel("Name", { exact: true }).fill("rack-3");
  expect((await dialog().innerText()).includes("weft frame create rack-3 --mainframe m1"), "the command is not shown");
  await shot("map-new-frame");
  await dialog().getByRole("button", { name: "Create", exact: true }).click();
  await frame("rack-3").waitFor();
  await page.getByRole("button", { name: "frame rack-3", exact: true }).click();
  await page.getByRole("button", { name: "Rename or move…" }).click();
  await dialog().getByLabel("Name", { exact: true }).fill("rack-4");
  await dialog().getByRole("button", { name: "Change", exact: true }).click();
  await frame("rack-4").waitFor();
  await page.getByRole("button", { name: "Delete…" }).click();
  await dialog().getByRole("button", { name: "Delete", exact: true }).click();
  await frame("rack-4").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "frame rack-2", exact: true }).click();
  await page.getByRole("button", { name: "Delete…" }).click();
  await dialog().getByRole("alert").filter({ hasText: "frame rack-2 holds node-1, node-2" }).waitFor();
  expect(await dialog().getByRole("button", { name: "Delete", exact: true }).isDisabled(), "it can be deleted");
  await page.keyboard.press("Escape");
});

await check("the slider shows the map as earlier transactions left it, only to look at", async () => {
  const slider = page.getByRole("slider", { name: "History" });
  const newest = Number(await slider.getAttribute("max"));
  await slider.focus();
  for (let n = 0; n < newest && !(await free().getByRole("button", { name: /^node node-1,/ }).isVisible()); n += 1) {
    const before = await slider.inputValue();
    await page.keyboard.press("ArrowLeft");
    // The words are those of the transaction once its map is shown.
    await page.waitForFunction((old) => {
      const now = document.querySelector("input[type=range]");
      return now.value !== old && now.getAttribute("aria-valuetext").includes(", after ");
    }, before);
  }
  await free().getByRole("button", { name: /^node node-1,/ }).click();
  expect((await page.getByRole("button", { name: "Move to…" }).count()) === 0, "the past can be changed");
  await themes("map-past");
  await page.getByRole("button", { name: "Back to now" }).click();
  await frame("rack-2").getByRole("button", { name: /^node node-1,/ }).waitFor();
});

await finish();
