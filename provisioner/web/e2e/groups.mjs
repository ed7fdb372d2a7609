// Drives groups of nodes and of virtual servers in Chromium, against a running appliance with three nodes that wait for
// approval, a frame rack-1, and no server. Nothing here is a double.
//
//   WEFT_URL, WEFT_CA, WEFT_USER, WEFT_PASSWORD_FILE, WEFT_SHOTS, CHROMIUM  as in run.mjs
//   WEFT_FINGERPRINTS   those on the consoles of node-1 and node-2
//   WEFT_BLOB           digest of a kernel
import { env, expect, start } from "./harness.mjs";

const { api, check, dialog, finish, login, open, page, press, shot, shows, themes } = await start();

const fingerprints = env("WEFT_FINGERPRINTS").split(",");
const last = (fingerprint) => fingerprint.split("-").at(-1);
const row = (name) => page.getByRole("listitem", { name, exact: true });
const choose = async (...names) => {
  for (const name of names) await page.getByRole("checkbox", { name: `Select ${name}`, exact: true }).check();
};
const button = (words) => page.getByRole("button", { name: words, exact: true });
const each = () => dialog().getByRole("list", { name: "What becomes of each" });
const result = (action, noun) => page.getByRole("list", { name: `Result of ${action} for each ${noun}` });
const newest = async () => (await api("/transactions?limit=1")).body[0];
/** The newest transaction is one of this name about these. */
async function together(before, name, names) {
  const now = await newest();
  expect(now.number === before.number + 1, `${now.number - before.number} transactions were made`);
  expect(now.name === name && now.objects.map((one) => one.name).sort().join() === names.join(), `it is ${now.name} of ${JSON.stringify(now.objects)}`);
}
const labelsOf = async (path) => JSON.stringify((await api(path)).body.labels ?? {});
const until = async (work, words) => {
  for (const from = Date.now(); !(await work()); await page.waitForTimeout(50)) expect(Date.now() - from < 60_000, words);
};

await check("log-in", login);

await check("two nodes are approved together, once each has its own console's fingerprint", async () => {
  await open("#/nodes");
  await row("node-3").waitFor();
  const before = await newest();
  await choose("node-1", "node-2");
  expect((await button("Move 2 selected").getAttribute("title")) === "Approve first: node-1, node-2", "what waits can be moved");
  await button("Approve 2 selected").focus();
  await page.keyboard.press("Enter");
  await dialog().getByLabel(/^node-1: /).fill(last(fingerprints[0]));
  await dialog().getByLabel(/^node-2: /).fill(last(fingerprints[0]));
  await dialog().getByText("This key has another fingerprint.").waitFor();
  expect(await dialog().getByRole("button", { name: "Approve", exact: true }).isDisabled(), "a wrong fingerprint is taken");
  await themes("group-approve-wrong");
  await dialog().getByLabel(/^node-2: /).fill(last(fingerprints[1]));
  await shows(`weft node approve node-1 node-2 --fingerprint ${fingerprints[0]} --fingerprint ${fingerprints[1]}`);
  await each().getByText("approved").nth(1).waitFor();
  await themes("group-approve");
  await press("Approve");
  for (const name of ["node-1", "node-2"]) await row(name).getByText("ready", { exact: true }).waitFor();
  await row("node-3").getByText("quarantined", { exact: true }).waitFor();
  expect((await result("approve", "node").getByRole("listitem").count()) === 2, "not each has a result");
  await together(before, "node approve", ["node-1", "node-2"]);
});

await check("they are moved into a frame together, and one that waits is in the way", async () => {
  const before = await newest();
  await page.getByRole("checkbox", { name: "Select all" }).check();
  expect((await button("Move 3 selected").getAttribute("title")) === "Approve first: node-3", "what waits can be moved");
  await page.getByRole("checkbox", { name: "Select node-3", exact: true }).uncheck();
  await button("Move 2 selected").click();
  await dialog().getByText("All of them are so already.").waitFor();
  await shows("weft node move node-1 node-2 --free");
  await dialog().getByLabel("Frame").selectOption("rack-1");
  await shows("weft node move node-1 node-2 --frame rack-1");
  await dialog().getByText("node-1 moves from the free pool to frame rack-1; what runs on it goes on").waitFor();
  await themes("group-move");
  await press("Move");
  await result("move", "node").getByText("moved to frame rack-1").nth(1).waitFor();
  const { nodes, frames } = (await api("/topology")).body;
  const frame = frames.find(({ name }) => name === "rack-1").id;
  expect(nodes.filter((node) => node.frame === frame).length === 2, "they do not stand in it");
  await together(before, "node move", ["node-1", "node-2"]);
});

await check("they are labelled together, found by the label, and one undo takes it from both", async () => {
  const before = await newest();
  await choose("node-1", "node-2");
  await button("Label 2 selected").click();
  await dialog().getByText("They have none.").waitFor();
  await dialog().getByLabel("Labels", { exact: true }).fill("Rack=3");
  await dialog().getByText("is no key of a label").waitFor();
  await dialog().getByLabel("Labels", { exact: true }).fill("rack=3, hall=north");
  await shows("weft node label node-1 node-2 rack=3 hall=north");
  await each().getByText("hall=north, rack=3").nth(1).waitFor();
  await themes("group-label");
  await press("Label");
  await row("node-1").getByText("hall=north, rack=3").waitFor();
  await together(before, "node label", ["node-1", "node-2"]);
  await page.getByLabel("Select by labels").fill("rack=3,!old");
  await page.getByText("weft node list -l 'rack=3,!old'", { exact: true }).waitFor();
  await row("node-3").waitFor({ state: "detached" });
  await themes("group-nodes");
  await page.getByRole("link", { name: /^Transaction \d+, where it can be undone$/ }).click();
  await page.getByRole("heading", { name: /^node label/ }).waitFor();
  await page.getByRole("button", { name: "Undo…" }).click();
  await press("Undo");
  for (const name of ["node-1", "node-2"]) expect((await labelsOf(`/nodes/${name}`)) === "{}", `${name} has its label still`);
});

const server = (name, node) => ({ name, node, vcpus: 1, memory_mib: 700, kernel: env("WEFT_BLOB"), labels: { old: "1" } });

await check("servers move together to another node, or none where not all have room", async () => {
  for (const [name, node] of [["a", "node-1"], ["b", "node-1"], ["c", "node-2"]]) {
    const { status, body } = await api("/vs", { method: "POST", body: server(name, node) });
    expect(status === 201, JSON.stringify(body));
  }
  await open("#/servers");
  await row("c").waitFor();
  await choose("a", "b");
  await button("Move 2 selected").click();
  expect(await dialog().getByRole("button", { name: "Move", exact: true }).isDisabled(), "they can be moved to nowhere");
  expect(!(await dialog().getByLabel("To the node").innerText()).includes("node-3"), "a node that waits is offered");
  await dialog().getByLabel("To the node").selectOption("node-2");
  await shows("weft vs move a b --node node-2");
  await dialog().getByRole("alert").getByText("Nothing would be changed").waitFor();
  await each().getByText("MiB free").waitFor();
  await each().getByText("not touched, as others are in the way").waitFor();
  expect(await dialog().getByRole("button", { name: "Move", exact: true }).isDisabled(), "they can be moved where there is no room");
  await themes("group-no-room");
  await page.keyboard.press("Escape");
  expect((await api("/vs/c", { method: "DELETE" })).status === 204, "c cannot be deleted");
  await row("c").waitFor({ state: "detached" });
  const before = await newest();
  await button("Move 2 selected").focus();
  await page.keyboard.press("Enter");
  await dialog().getByLabel("To the node").selectOption("node-2");
  await dialog().getByText("node-2 takes a, stopped").waitFor();
  await themes("group-move-servers");
  await press("Move");
  await result("move", "server").getByText("moved to node-2").nth(1).waitFor();
  for (const name of ["a", "b"]) expect((await api(`/vs/${name}`)).body.node === "node-2", `${name} is elsewhere`);
  await together(before, "vs move", ["a", "b"]);
});

await check("servers are labelled together: what is given, what is taken, what stays", async () => {
  const before = await newest();
  await page.getByRole("checkbox", { name: "Select all" }).check();
  await button("Label 2 selected").click();
  await dialog().getByText("Theirs: old.").waitFor();
  await dialog().getByLabel("Labels", { exact: true }).fill("env=prod old-");
  await shows("weft vs label a b env=prod old-");
  await each().getByText("env=prod, without old").nth(1).waitFor();
  await shot("group-label-servers");
  await press("Label");
  for (const name of ["a", "b"]) {
    await row(name).getByText("env=prod", { exact: true }).waitFor();
    expect((await labelsOf(`/vs/${name}`)) === '{"env":"prod"}', `${name} has ${await labelsOf(`/vs/${name}`)}`);
  }
  await together(before, "vs label", ["a", "b"]);
});

await check("servers are started, reset and stopped together", async () => {
  for (const [word, go, action, state] of [["Start", "Start", "start", "running"], ["Reset", "Reset", "reset", "running"], ["Stop", "Power off", "stop", "stopped"]]) {
    const before = await newest();
    await page.getByRole("checkbox", { name: "Select all" }).check();
    await button(`${word} 2 selected`).click();
    await shows(`weft vs ${action} a b`);
    await shot(`group-${action}`);
    await press(go);
    await together(before, `vs ${action}`, ["a", "b"]);
    const starts = action === "reset" ? 2 : 1;
    for (const name of ["a", "b"]) {
      const there = async () => {
        const { body } = await api(`/vs/${name}`);
        return body.state === state && (action === "stop" || body.instance === starts);
      };
      await until(there, `${name} is never ${state}`);
      await row(name).getByText(state, { exact: true }).waitFor();
    }
  }
});

await check("one server is moved from its own page", async () => {
  await open("#/servers/a");
  await button("Move a").click();
  await dialog().getByLabel("To the node").selectOption("node-1");
  await shows("weft vs move a --node node-1");
  await press("Move");
  await until(async () => (await api("/vs/a")).body.node === "node-1", "it is never moved");
  await themes("server-page");
});

await finish();
