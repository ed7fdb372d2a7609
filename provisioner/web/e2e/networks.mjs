// Drives networks and processors in Chromium against a running appliance with two nodes of two processors and one NIC each,
// and a server `web` of two processors, stopped, on node-1. Nothing here is a double.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
import { expect, start } from "./harness.mjs";

const { check, dialog, finish, login, open, page, press, shot, shows, themes } = await start();

const kind = (title) => page.getByRole("region", { name: title, exact: true });
const row = (title, name) => kind(title).getByRole("listitem", { name, exact: true });
const node = (name) => page.getByRole("button", { name: new RegExp(`^node ${name},`) });
const server = (name) => page.getByRole("button", { name: new RegExp(`^server ${name},`) }).first();
const core = (n) => page.getByTitle(`Processor ${n} of node-1`);
const vcpu = (n) => page.getByRole("button", { name: `virtual processor web/${n}`, exact: true });
const vnic = () => page.locator(".map-devices").getByRole("button", { name: /^VNIC web\.0,/ });
const port = (name) => page.locator(".map-port").filter({ has: page.getByRole("button", { name: new RegExp(`^port ${name},`) }) });

/** Takes hold of one and lets go over another; `over` is called before it is let go. */
async function drag(from, to, over = async () => undefined) {
  await from.scrollIntoViewIfNeeded();
  const a = await from.boundingBox();
  expect(a, "it is not in sight");
  await page.mouse.move(a.x + 12, a.y + 10);
  await page.mouse.down();
  await page.mouse.move(a.x + 20, a.y + 16, { steps: 4 });
  // Where it may go comes from the appliance.
  await page.locator("[data-target]").first().waitFor();
  const b = await to.boundingBox();
  expect(b, "the place is not in sight");
  await page.mouse.move(b.x + 10, b.y + 8, { steps: 12 });
  await page.mouse.move(b.x + 12, b.y + 10);
  await over();
  await page.mouse.up();
}

await check("log-in", login);

await check("networks teach what is missing, and say what is not applied", async () => {
  await open("#/networks");
  await kind("Virtual switches").getByText("weft switch create lan", { exact: true }).waitFor();
  await row("VNICs", "web.0").getByText("applied", { exact: true }).waitFor();
  await row("VHBAs", "web.0").getByText("not applied", { exact: true }).waitFor();
  await kind("NICs of nodes").getByRole("listitem", { name: /^node-1\// }).waitFor();
  expect(await row("VNICs", "web.0").getByRole("button", { name: "Delete web.0" }).isDisabled(), "a server's own VNIC can be deleted");
  await themes("networks-empty");
});

await check("a switch, a gateway port and ports are made, each with its plan and its command", async () => {
  await kind("Virtual switches").getByRole("button", { name: "New virtual switch…" }).click();
  await dialog().getByLabel("Name", { exact: true }).fill("lan");
  await shows("weft switch create lan");
  await dialog().getByText("not applied: nodes have no virtual switch yet").waitFor();
  await press("Create");
  await row("Virtual switches", "lan").getByText("not applied", { exact: true }).waitFor();
  await kind("Gateway ports").getByRole("button", { name: "New gateway port…" }).click();
  await dialog().getByLabel("Name", { exact: true }).fill("uplink");
  await dialog().getByLabel("Virtual switch").selectOption("lan");
  await dialog().getByLabel("NIC of a node").selectOption({ index: 1 });
  await shows("weft gateway create uplink --switch lan --node node-1 --nic 02:00:00:00:00:01");
  await press("Create");
  for (const [name, leads] of [["lan-1", true], ["lan-2", false]]) {
    await kind("Ports").getByRole("button", { name: "New port…" }).click();
    await dialog().getByLabel("Name", { exact: true }).fill(name);
    await dialog().getByLabel("Virtual switch").selectOption("lan");
    if (leads) await dialog().getByRole("checkbox", { name: /^uplink/ }).check();
    await shows(leads ? `weft port create ${name} --switch lan --gateways uplink` : `weft port create ${name} --switch lan`);
    if (leads) await themes("networks-new-port");
    await press("Create");
    await row("Ports", name).waitFor();
  }
});

await check("a virtual processor is dragged onto a processor, and not onto another node", async () => {
  await open("#/map");
  await server("web").click();
  await vcpu(1).waitFor();
  await themes("map-devices");
  await drag(vcpu(1), core(0), async () => {
    expect((await core(0).getAttribute("data-target")) === "legal", "the processor is not lit");
    expect((await page.locator(".map-status").innerText()).includes("Drop to pin web/1 to processor node-1/0"), "it is not said what a drop does");
    await shot("map-pinning");
  });
  await shows("weft vs set web --affinity 1=0");
  await press("Pin");
  await page.getByRole("button", { name: "virtual processor web/1 on processor 0", exact: true }).waitFor();
  await drag(vcpu(0), node("node-2"), async () => {
    await page.getByText("Not to node node-2: virtual processor 0 of web lies on node-1; move the server first").waitFor();
    await shot("map-pin-refused");
  });
  expect((await dialog().count()) === 0, "a drop on a place that refuses did something");
});

await check("a VNIC is dragged onto a port and onto a gateway port", async () => {
  // Both are to be in sight.
  await page.setViewportSize({ width: 1280, height: 1300 });
  await drag(vnic(), port("lan-2"), async () => {
    expect((await port("lan-2").getAttribute("data-target")) === "legal", "the port is not lit");
    await page.locator(".map-status").getByText("Drop to connect web.0 to port lan-2").waitFor();
    await shot("map-plugging");
  });
  await shows("weft vnic edit web.0 --port lan-2");
  await dialog().getByText("not applied: nodes have no virtual switch yet").waitFor();
  await themes("map-plug");
  await page.setViewportSize({ width: 1280, height: 1300 });
  await press("Connect");
  await port("lan-2").getByRole("button", { name: "VNIC web.0, on port lan-2, not applied" }).waitFor();
  await drag(vnic(), page.getByRole("button", { name: /^gateway port uplink/ }));
  await shows("weft vnic edit web.0 --gateway uplink");
  await dialog().getByText("web.0 goes on port lan-1 of switch lan").waitFor();
  await press("Connect");
  await port("lan-1").getByRole("button", { name: "VNIC web.0, on port lan-1, not applied" }).waitFor();
  await page.setViewportSize({ width: 1280, height: 1300 });
  await shot("map-network");
  await themes("map-network", async () => port("lan-1").scrollIntoViewIfNeeded());
});

await check("the same by the keyboard and by menu, also on a small screen", async () => {
  await vnic().focus();
  await page.keyboard.press("m");
  await dialog().getByRole("radio", { name: "no port", exact: true }).waitFor();
  await shot("map-connect-to");
  await dialog().getByText("it is there already").first().waitFor();
  await dialog().getByRole("radio", { name: "no port", exact: true }).focus();
  await page.keyboard.press("Space");
  await shows("weft vnic edit web.0 --detach");
  await dialog().getByText("web.0 leaves port lan-1").waitFor();
  await page.keyboard.press("Enter");
  await dialog().waitFor({ state: "detached" });
  await port("lan-1").getByText("free").waitFor();
  await page.setViewportSize({ width: 390, height: 844 });
  const detail = (name) => page.getByRole("complementary", { name, exact: true });
  await detail("Virtual server web").getByRole("button", { name: "web/0", exact: true }).click();
  await detail("Virtual processor web/0").getByRole("button", { name: "Pin to…" }).click();
  await dialog().getByRole("radio", { name: "processor node-1/1", exact: true }).check();
  await shows("weft vs set web --affinity 0=1,1=0");
  await shot("map-pin-390");
  await press("Pin");
  await detail("Virtual processor web/0").getByText("It is to have processor 1.").waitFor();
  await page.setViewportSize({ width: 1280, height: 860 });
});

await check("what something is connected to is not deleted, in words, and goes once it is free", async () => {
  await page.evaluate(async () => {
    const headers = { "X-Weft-Request": "1", "Content-Type": "application/json" };
    const answer = await fetch("/api/v1/vnics/web.0/edit", { method: "POST", headers, body: JSON.stringify({ port: "lan-1" }) });
    if (!answer.ok) throw new Error(await answer.text());
  });
  await open("#/networks");
  await row("Ports", "lan-1").getByText("VNIC web.0").waitFor();
  await row("Virtual switches", "lan").getByRole("button", { name: "Delete lan" }).click();
  await dialog().getByRole("alert").filter({ hasText: "VNICs are on ports of virtual switch lan: web.0" }).waitFor();
  expect(await dialog().getByRole("button", { name: "Delete", exact: true }).isDisabled(), "it can be deleted");
  await shot("networks-refused");
  await page.keyboard.press("Escape");
  await row("VNICs", "web.0").getByRole("button", { name: "Change web.0" }).click();
  await dialog().getByLabel("Port", { exact: true }).selectOption("");
  await shows("weft vnic edit web.0 --detach");
  await press("Change");
  for (const [title, name] of [["Ports", "lan-1"], ["Ports", "lan-2"], ["Gateway ports", "uplink"]]) {
    await row(title, name).getByRole("button", { name: `Delete ${name}` }).click();
    await dialog().getByText("is gone").waitFor();
    await press("Delete");
    await row(title, name).waitFor({ state: "detached" });
  }
  await kind("VNICs").getByRole("button", { name: "New VNIC…" }).click();
  await dialog().getByLabel("Name", { exact: true }).fill("web-2");
  await dialog().getByLabel("Virtual server").selectOption("web");
  await shows("weft vnic create web-2 --server web");
  await dialog().getByText("a node gives a virtual server one network device yet, web.0").waitFor();
  await press("Create");
  await row("VNICs", "web-2").getByText("not applied", { exact: true }).waitFor();
  await themes("networks");
});

await finish();
