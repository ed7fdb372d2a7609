// Drives the page in Chromium against a running appliance. Nothing here is a double.
//
//   WEFT_URL            https://HOST:PORT of the appliance
//   WEFT_CA             its certificate (PEM); the browser trusts this key alone
//   WEFT_USER           user name, admin by default
//   WEFT_PASSWORD_FILE  file with the password
//   WEFT_NEW_PASSWORD_FILE  file with the new one, where the first must be changed
//   WEFT_NODE, WEFT_FINGERPRINT  optional: a node that waits, and the fingerprint on its own console
//   WEFT_IMAGE, WEFT_COMPANION  optional: a signed image to publish and activate, and its file for BIOS nodes
//   WEFT_KERNEL         optional: a kernel to upload; else the default guest
//   WEFT_GUEST_PROMPT   optional: what a guest's console prints when its shell is ready; wants a ready node
//   WEFT_HOLDS          optional: that node never says of a server named `…-held` that it runs
//   WEFT_SHOTS          optional: folder for screenshots
//   CHROMIUM            browser, /usr/bin/chromium by default
//
// Prints a line for each check and `N passed, N failed` at the end.
import { env, expect, secret, start } from "./harness.mjs";

const { api, check, context, finish, open, page, shot, url } = await start();
const user = env("WEFT_USER", "admin");
let password = secret(env("WEFT_PASSWORD_FILE"));
const fresh = process.env.WEFT_NEW_PASSWORD_FILE ? secret(process.env.WEFT_NEW_PASSWORD_FILE) : "";
const vs = `e2e-${Date.now().toString(36)}`;
const prompt = process.env.WEFT_GUEST_PROMPT ?? "";

await check("the page comes with a strict policy, and its files may be cached", async () => {
  const response = await page.goto(url);
  const policy = response.headers()["content-security-policy"] ?? "";
  expect(policy.includes("script-src 'self'") && !policy.includes("unsafe"), `policy is ${policy}`);
  expect(response.headers()["cache-control"] !== "public, max-age=31536000, immutable", "the index may be cached for ever");
  await page.getByLabel("Password").waitFor();
  await shot("log-in");
});

await check("a wrong password is refused in words", async () => {
  await page.getByLabel("User").fill(user);
  await page.getByLabel("Password").fill("certainly-not-this");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  expect((await context.cookies()).length === 0, "a cookie was set");
});

await check("log-in, with the change of a first password", async () => {
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  const change = page.getByRole("heading", { name: "Choose your own password" });
  const nodes = page.getByRole("heading", { name: "Nodes", exact: true });
  await change.or(nodes).waitFor();
  if (await change.isVisible()) {
    expect(fresh !== "", "the password must be changed; set WEFT_NEW_PASSWORD_FILE");
    await page.getByLabel("New password").fill(fresh);
    await page.getByLabel("The same again").fill(fresh);
    await page.keyboard.press("Enter");
    password = fresh;
    await nodes.waitFor();
  }
  const [cookie] = await context.cookies();
  expect(cookie.httpOnly && cookie.secure && cookie.sameSite === "Strict", `cookie is ${JSON.stringify({ ...cookie, value: "" })}`);
});

await check("the session outlives a reload", async () => {
  await page.reload();
  await page.getByRole("heading", { name: "Nodes", exact: true }).waitFor();
});

await check("a change without the page's mark is refused", async () => {
  const status = await page.evaluate(async () => (await fetch("/api/v1/vs", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" })).status);
  expect(status === 403, `answered ${status}`);
});

await check("the nodes are listed, or the first step is taught", async () => {
  const list = page.getByRole("list", { name: "Nodes" });
  await list.or(page.getByText("No node has booted yet")).waitFor();
  await shot("nodes");
});

if (process.env.WEFT_NODE) {
  const name = process.env.WEFT_NODE;
  await check("a node that waits is approved by what its own console shows", async () => {
    const fingerprint = env("WEFT_FINGERPRINT");
    await open("#/nodes");
    const row = page.getByRole("listitem", { name, exact: true });
    await row.getByRole("button", { name: "Approve…" }).click();
    const approve = page.getByRole("button", { name: "Approve", exact: true });
    expect(await approve.isDisabled(), "it can be approved unseen");
    const field = page.getByLabel("Last group");
    await field.fill("zzzz");
    expect(await approve.isDisabled(), "a wrong group is taken");
    await field.fill(fingerprint.split("-").at(-1));
    await shot("approve");
    await approve.click();
    await row.getByText(/ready|approved/).waitFor({ timeout: 60_000 });
  });
}

for (const node of process.env.WEFT_NODE ? [process.env.WEFT_NODE] : []) {
  await check("a node shows its boot stages, inventory and log", async () => {
    await open(`#/nodes/${node}`);
    await page.getByRole("progressbar", { name: "Boot stages" }).waitFor();
    await page.getByRole("heading", { name: "Inventory" }).waitFor();
    await page.getByRole("log").or(page.getByText("The node has sent nothing yet")).waitFor();
    expect((await page.locator(".stage-chart .bar i").count()) > 2, "the chart has no bars");
    await shot("node");
  });

  await check("its configuration is pushed by a dialog that shows the command", async () => {
    await page.getByRole("button", { name: "Push configuration…" }).click();
    const dialog = page.getByRole("dialog");
    expect((await dialog.innerText()).includes(`weft config push ${node}`), "the command is not shown");
    await dialog.getByRole("button", { name: "Push", exact: true }).click();
    await page.getByText(`${node} is sent its configuration.`).waitFor();
  });
}

await check("a virtual server is made by the form, which shows the command", async () => {
  await open("#/servers");
  await page.getByRole("button", { name: "New server…" }).click();
  const dialog = page.getByRole("dialog", { name: "New virtual server" });
  await dialog.getByRole("textbox", { name: "Name" }).fill("not a name");
  await dialog.getByText("Letters, digits and hyphens").waitFor();
  expect(await dialog.getByRole("button", { name: "Create and start" }).isDisabled(), "a bad name is taken");
  await dialog.getByRole("textbox", { name: "Name" }).fill(vs);
  const kernel = process.env.WEFT_KERNEL ?? "";
  if (kernel !== "") await dialog.getByLabel("Kernel", { exact: true }).setInputFiles(kernel);
  await dialog.getByText(`weft vs create ${vs} --vcpus 1 --memory 256M ${kernel === "" ? "" : `--kernel ${kernel.split("/").at(-1)} `}--start`).waitFor();
  await shot("create");
  const withoutNode = dialog.getByText("No node is approved yet");
  if (await withoutNode.isVisible()) {
    // Then it cannot be made, and the dialog says what to do first.
    expect(prompt === "", "there is no node");
    expect(await dialog.getByRole("button", { name: "Create and start" }).isDisabled(), "it can be made without a node");
    await page.keyboard.press("Escape");
  } else if (prompt === "") {
    await dialog.getByLabel("Start it at once").uncheck();
    await dialog.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("listitem", { name: vs, exact: true }).waitFor();
  } else {
    await dialog.getByRole("button", { name: "Create and start" }).click();
    await page.getByRole("listitem", { name: vs, exact: true }).waitFor();
  }
  await dialog.waitFor({ state: "detached" });
  await shot("servers");
});
const made = await page.getByRole("listitem", { name: vs, exact: true }).isVisible();

if (prompt !== "") {
  await check("its console is a shell", async () => {
    await open(`#/servers/${vs}/console`);
    await page.getByText("attached").waitFor();
    const screen = page.locator(".xterm-rows");
    await page.waitForFunction((text) => document.querySelector(".xterm-rows")?.textContent?.includes(text), prompt, { timeout: 120_000 });
    await page.keyboard.type("echo e2e-$((40+2))\r");
    await screen.getByText("e2e-42").first().waitFor({ timeout: 60_000 });
    await shot("console");
  });
  await check("its history is there again after a reload", async () => {
    await page.reload();
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("e2e-42"), undefined, { timeout: 60_000 });
  });
} else if (made) {
  await check("its console attaches before it runs", async () => {
    await open(`#/servers/${vs}/console`);
    await page.getByText("attached").waitFor();
    await shot("console");
  });
}

await check("events come by themselves", async () => {
  await open("#/events");
  await page.getByText("live", { exact: true }).last().waitFor();
  await page.locator(".event").first().waitFor();
  const before = Number(await page.locator(".event-seq").first().textContent());
  // A log-in is an event; this one gives the page a new cookie, which serves as well.
  const status = await page.evaluate(
    async (body) => (await fetch("/api/v1/login", { method: "POST", headers: { "Content-Type": "application/json", "X-Weft-Request": "1" }, body })).status,
    JSON.stringify({ user, password }),
  );
  expect(status === 200, `log-in answered ${status}`);
  await page.waitForFunction((seq) => Number(document.querySelector(".event-seq")?.textContent) > seq, before);
  await shot("events");
});

if (made) {
  await check("the server is stopped and deleted, each after a question", async () => {
    await open(`#/servers/${vs}`);
    if (prompt !== "") {
      await page.getByRole("button", { name: `Stop ${vs}` }).click();
      await page.getByRole("button", { name: "Power off" }).click();
      await page.getByRole("button", { name: `Start ${vs}` }).waitFor({ timeout: 60_000 });
    }
    await page.getByRole("button", { name: `Delete ${vs}` }).click();
    const dialog = page.getByRole("dialog", { name: `Delete ${vs}` });
    await dialog.getByText(`weft vs delete ${vs}`).waitFor();
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("heading", { name: "Virtual servers" }).waitFor();
    await page.getByRole("listitem", { name: vs, exact: true }).waitFor({ state: "detached" });
  });
}

if (made) {
  await check("history shows the deletion field by field, and an undo gives the server back after a preview", async () => {
    await open("#/history");
    await page.getByLabel("Changes of this object").fill(vs);
    const rows = page.getByRole("list", { name: "Transactions" }).getByRole("listitem");
    await page.getByRole("listitem", { name: /^\d+ vs delete$/ }).first().waitFor();
    expect((await rows.allInnerTexts()).every((text) => text.includes(vs)), "it is not filtered");
    await page.getByText(`weft tx list --object ${vs}`).waitFor();
    await shot("history");
    await page.getByRole("link", { name: "vs delete" }).first().click();
    await page.getByRole("row", { name: /^memory_mib 256 –$/ }).waitFor();
    await shot("transaction");
    await page.getByRole("button", { name: "Undo…" }).click();
    const dialog = page.getByRole("dialog", { name: /^Undo vs delete/ });
    await dialog.getByText(/creates .* with its own identifiers \(id [0-9a-f]{32}, MAC 02:57:/).waitFor();
    await dialog.getByText(/^weft tx undo \d+$/).waitFor();
    await shot("undo");
    await dialog.getByRole("button", { name: "Undo", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("undone", { exact: true }).waitFor();
    await open("#/servers");
    await page.getByRole("listitem", { name: vs, exact: true }).waitFor();
  });

  await check("an undo that conflicts says with what, leads there, and cannot be pressed", async () => {
    await open("#/history");
    await page.getByLabel("Changes of this object").fill(vs);
    const deletion = page.getByRole("listitem", { name: /^\d+ vs delete$/ });
    await deletion.getByText("undone", { exact: true }).waitFor();
    await deletion.getByRole("link").click();
    await page.getByRole("button", { name: "Undo…" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("alert").getByText("Undo those first").waitFor();
    await dialog.getByText(/^transaction \d+ \(vs create by /).waitFor();
    expect(await dialog.getByRole("button", { name: "Undo", exact: true }).isDisabled(), "it can be pressed");
    await shot("conflict");
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `the transaction is ${excess} pixels too wide at ${width}`);
      await shot(`conflict-${width}`);
    }
    await dialog.getByRole("link", { name: /^To transaction \d+$/ }).click();
    await page.getByText(/^undo of \d+$/).waitFor();
  });
}

if (process.env.WEFT_IMAGE) {
  await check("an image is published with its companion for BIOS nodes, by the command that is shown", async () => {
    await open("#/images");
    await page.getByRole("button", { name: "Publish…" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Signed image").setInputFiles(env("WEFT_IMAGE"));
    await dialog.getByLabel("Its companion for BIOS nodes").setInputFiles(env("WEFT_COMPANION"));
    await dialog.getByLabel("Activate it").check();
    expect(/weft image publish \S+ --bios \S+ --activate/.test(await dialog.innerText()), `it shows ${await dialog.innerText()}`);
    await shot("publish");
    await dialog.getByRole("button", { name: "Publish", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
  });
}

if (made) {
  await check("labels are changed by a dialog that shows the command, and one that is none cannot be given", async () => {
    await open(`#/servers/${vs}`);
    await page.getByRole("button", { name: `Change the labels of ${vs}` }).click();
    const dialog = page.getByRole("dialog", { name: `Labels of ${vs}` });
    await dialog.getByLabel("Labels", { exact: true }).fill("Env=prod");
    await dialog.getByText("is no key of a label").waitFor();
    expect(await dialog.getByRole("button", { name: "Change", exact: true }).isDisabled(), "it can be given");
    await dialog.getByLabel("Labels", { exact: true }).fill("env=prod, tier=web");
    await dialog.getByText(`weft vs label ${vs} env=prod tier=web`).waitFor();
    await shot("labels");
    await dialog.getByRole("button", { name: "Change", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await page.getByText("env=prod, tier=web", { exact: true }).waitFor();
  });

  const [one, other] = [`${vs}-b`, `${vs}-c`];
  await check("several servers are chosen by label and keyboard, and deleted in one transaction", async () => {
    const kernel = (await page.evaluate(async (name) => (await fetch(`/api/v1/vs/${name}`)).json(), vs)).kernel;
    for (const name of [one, other]) {
      const body = JSON.stringify({ name, vcpus: 1, memory_mib: 64, kernel, labels: { e2e: "group" } });
      const status = await page.evaluate(async (body) => (await fetch("/api/v1/vs", { method: "POST", headers: { "Content-Type": "application/json", "X-Weft-Request": "1" }, body })).status, body);
      expect(status === 201, `${name} was answered ${status}`);
    }
    await open("#/servers");
    const rows = page.getByRole("list", { name: "Virtual servers" }).getByRole("listitem");
    const labels = page.getByLabel("Select by labels");
    await page.getByRole("listitem", { name: other, exact: true }).waitFor();
    await labels.fill("e2e=group,");
    await page.getByText("A condition is empty.").waitFor();
    expect((await rows.count()) === 0, "a wrong selector shows servers");
    await labels.fill("e2e=group,!gone");
    await page.getByText("weft vs list -l 'e2e=group,!gone'").waitFor();
    expect((await rows.count()) === 2, `${await rows.count()} are shown`);
    await page.getByRole("checkbox", { name: `Select ${one}` }).focus();
    await page.keyboard.press("Space");
    await page.getByText("1 of 2 selected").waitFor();
    await page.getByRole("checkbox", { name: "Select all" }).focus();
    await page.keyboard.press("Space");
    await page.getByText("2 of 2 selected").waitFor();
    expect(await page.getByRole("button", { name: "Stop 2 selected" }).isDisabled(), "what does not run can be stopped");
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `the list is ${excess} pixels too wide at ${width}`);
      await shot(`group-${width}`);
    }
    await page.getByRole("button", { name: "Delete 2 selected" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Delete 2 servers" });
    await dialog.getByText(`weft vs delete ${one} ${other}`).waitFor();
    await dialog.getByRole("list", { name: "What becomes of each" }).getByText("deleted").nth(1).waitFor();
    await shot("group-delete");
    await dialog.getByRole("button", { name: "Delete", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    const result = page.getByRole("list", { name: "Result of delete for each server" });
    await result.getByText("deleted").first().waitFor();
    expect((await result.getByRole("listitem").count()) === 2, "not each has a result");
    await page.getByRole("listitem", { name: one, exact: true }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: /^Transaction \d+, where it can be undone$/ }).click();
    await page.getByRole("heading", { name: /^vs delete/ }).waitFor();
  });
}

if (made) {
  const macsOf = (name) => page.evaluate(async (name) => (await (await fetch(`/api/v1/vs/${name}`)).json()).macs.join(), name);
  await check("a server is copied by a dialog that shows the command, and the copy has a MAC of its own", async () => {
    await open(`#/servers/${vs}`);
    await page.getByRole("button", { name: `Copy ${vs}` }).click();
    const dialog = page.getByRole("dialog", { name: `Copy ${vs}` });
    await dialog.getByRole("textbox", { name: "Name", exact: true }).fill(vs);
    await dialog.getByText("There is a server of this name.").waitFor();
    await dialog.getByRole("textbox", { name: "Name", exact: true }).fill(`${vs}-2`);
    await dialog.getByLabel("IPv4 address with its prefix").fill("10.0.0.5");
    expect(await dialog.getByRole("button", { name: "Copy", exact: true }).isDisabled(), "an address without its prefix is taken");
    await dialog.getByLabel("IPv4 address with its prefix").fill("10.0.0.5/24");
    await dialog.getByLabel("Host name of the guest").fill("twin");
    await dialog.getByText(`weft vs copy ${vs} ${vs}-2 --hostname twin --address 10.0.0.5/24`).waitFor();
    await shot("copy");
    await dialog.getByRole("button", { name: "Copy", exact: true }).click();
    await page.getByRole("heading", { name: `${vs}-2` }).waitFor();
    await page.getByText("10.0.0.5/24").waitFor();
    expect((await macsOf(vs)) !== (await macsOf(`${vs}-2`)), "both have one MAC");
  });

  await check("a server is edited by keyboard, and what somebody else changed meanwhile is shown and asked about", async () => {
    const twin = `${vs}-2`;
    await open(`#/servers/${twin}`);
    await page.getByRole("button", { name: `Edit ${twin}` }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: `Edit ${twin}` });
    await dialog.getByLabel("Memory, MiB").fill("63");
    await dialog.getByText("At least 64 MiB.").waitFor();
    await dialog.getByLabel("Memory, MiB").fill("128");
    await dialog.getByText(`weft vs set ${twin} --memory 128M`).waitFor();
    const other = await page.evaluate(async (name) => {
      const headers = { "Content-Type": "application/json", "X-Weft-Request": "1" };
      return (await fetch(`/api/v1/vs/${name}`, { method: "PATCH", headers, body: JSON.stringify({ append: "theirs" }) })).status;
    }, twin);
    expect(other === 204, `the other change is answered by ${other}`);
    await dialog.getByRole("button", { name: "Save", exact: true }).click();
    await dialog.getByText("added command line: none → theirs").waitFor();
    await shot("edit-asks");
    await dialog.getByRole("button", { name: "Save all the same" }).click();
    await dialog.waitFor({ state: "detached" });
    const now = await page.evaluate(async (name) => (await (await fetch(`/api/v1/vs/${name}`)).json()), twin);
    expect(now.memory_mib === 128 && now.append === "theirs", `it has ${now.memory_mib} MiB and “${now.append}”`);
  });

  await check("a template is made of a server, and three servers of it in one transaction", async () => {
    await open(`#/servers/${vs}`);
    await page.getByRole("button", { name: `Make a template of ${vs}` }).click();
    const making = page.getByRole("dialog", { name: `Make a template of ${vs}` });
    await making.getByText(`weft template create ${vs} --from ${vs}`).waitFor();
    await shot("template");
    await making.getByRole("button", { name: "Make template", exact: true }).click();
    await page.getByRole("heading", { name: "Templates", exact: true }).waitFor();
    await page.getByRole("button", { name: `New from ${vs}` }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: `New servers of ${vs}` });
    await dialog.getByRole("textbox", { name: "Name", exact: true }).fill(`${vs}-t{n}`);
    await dialog.getByLabel("How many").fill("3");
    await dialog.getByText(`weft vs create '${vs}-t{n}' --template ${vs} --count 3`).waitFor();
    await shot("from-template");
    await dialog.getByRole("button", { name: "Create", exact: true }).click();
    for (const n of [1, 2, 3]) await page.getByRole("listitem", { name: `${vs}-t${n}`, exact: true }).waitFor();
    const macs = await Promise.all([1, 2, 3].map((n) => macsOf(`${vs}-t${n}`)));
    expect(new Set(macs).size === 3, `they have ${macs.join(" ")}`);
  });

  await check("pools show what is in use, what rests and what is free", async () => {
    await open("#/pools");
    const pool = page.getByRole("listitem", { name: "default-mac", exact: true });
    await pool.getByText(/^[1-9]\d* in use, \d+ rest$/).waitFor();
    await pool.getByText(/ free$/).waitFor();
    await page.getByText("weft licence add FILE").waitFor();
    await shot("pools");
  });
}

if (made && process.env.WEFT_HOLDS) {
  // The job waits until it runs.
  const held = `${vs}-held`;
  const post = (path, body) => api(path, { method: "POST", body });
  await check("a job shows its steps, is cancelled by the keyboard, and its stuck step is skipped with a reason", async () => {
    const kernel = (await page.evaluate(async (name) => (await fetch(`/api/v1/vs/${name}`)).json(), vs)).kernel;
    const steps = [
      { action: "vs label", names: [vs], labels: { set: { job: "one" } } },
      { action: "vs create", create: { name: held, vcpus: 1, memory_mib: 64, kernel } },
      { action: "vs start", names: [held] },
    ];
    const { status, body } = await post("/jobs", { name: "e2e job", steps });
    expect(status === 202, `the job was answered ${status}: ${JSON.stringify(body)}`);
    await open("#/jobs");
    const row = page.getByRole("listitem", { name: `${body.number} e2e job` });
    await row.getByText("2 of 3 steps done").waitFor();
    await shot("jobs");
    await row.getByRole("link", { name: "e2e job" }).click();
    const step = (number) => page.getByRole("list", { name: "Steps" }).getByRole("listitem", { name: `Step ${number} ` });
    await step(3).getByText(`until the guest of ${held} runs`).waitFor();
    await step(1).getByRole("link", { name: /^transaction \d+$/ }).waitFor();
    // A change by hand stands in the way of the undo.
    const changed = await post(`/vs/${vs}/labels`, { set: { job: "two" }, remove: [] });
    expect(changed.status === 204, `the label was answered ${changed.status}`);
    await page.getByRole("button", { name: "Cancel…" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText(`weft job cancel ${body.number}`).waitFor();
    await page.getByRole("button", { name: "Undo what was done" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText(/^The undo of step 1 failed: .*changed label/).waitFor();
    await step(2).getByText("undone").waitFor();
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 844 });
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `the job is ${excess} pixels too wide at ${width}`);
      await shot(`job-${width}`);
    }
    await page.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("alert").getByText(/^The undo of step 1 failed/).waitFor();
    await page.getByRole("button", { name: "Skip…" }).click();
    const dialog = page.getByRole("dialog");
    expect(await dialog.getByRole("button", { name: "Skip", exact: true }).isDisabled(), "it can be skipped without a reason");
    await dialog.getByRole("textbox", { name: "Reason" }).fill("it is two now");
    await dialog.getByText(`weft job skip ${body.number} --reason 'it is two now'`).waitFor();
    await shot("job-skip");
    await dialog.getByRole("button", { name: "Skip", exact: true }).click();
    await dialog.waitFor({ state: "detached" });
    await step(1).getByText("skipped").waitFor();
    await page.locator(".page-head").getByText("undone", { exact: true }).waitFor();
  });
}

for (const [fragment, heading] of [["#/images", "Images"], ["#/doctor", "Doctor"]]) {
  await check(`${heading.toLowerCase()} are shown`, async () => {
    await open(fragment);
    await page.getByRole("heading", { name: heading, exact: true }).waitFor();
    if (heading === "Doctor") await page.locator(".finding").first().waitFor();
    await shot(heading.toLowerCase());
  });
}

await check("everything is reached by the keyboard", async () => {
  await open("#/servers");
  const names = new Set();
  for (let press = 0; press < 80; press += 1) {
    await page.keyboard.press("Tab");
    names.add(await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? ""));
  }
  for (const name of ["Skip to content", "Nodes", "Servers", "Templates", "Pools", "Jobs", "History", "Events", "Images", "Accounts", "Doctor", "Log out"]) {
    expect([...names].some((one) => one.startsWith(name)), `${name} is not reached; reached: ${[...names].join(", ")}`);
  }
  await page.getByRole("button", { name: "New server…" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

await check("each control has a name for a screen reader", async () => {
  for (const fragment of ["#/nodes", "#/servers", "#/templates", "#/pools", "#/jobs", "#/history", "#/events", "#/images", "#/accounts", "#/doctor"]) {
    await open(fragment);
    const nameless = await page.evaluate(() =>
      [...document.querySelectorAll("button, a[href], input, select")]
        .filter((element) => !(element.getAttribute("aria-label") || element.textContent?.trim() || element.labels?.length))
        .map((element) => element.outerHTML.slice(0, 80)),
    );
    expect(nameless.length === 0, `${fragment}: ${nameless.join(" ")}`);
  }
});

await check("dark and light, wide and narrow", async () => {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 844 });
    for (const fragment of ["#/nodes", "#/servers", "#/templates", "#/pools", "#/jobs", "#/history", "#/events", "#/images", "#/accounts", "#/doctor"]) {
      await open(fragment);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `${fragment} is ${excess} pixels too wide at ${width}`);
      // The page before may still be there for a moment.
      const inSight = (href) => {
        const tab = document.querySelector('nav [aria-current="page"]');
        const { left, right } = tab?.getBoundingClientRect() ?? { left: -1, right: 0 };
        return tab?.getAttribute("href") === href && left >= 0 && right <= innerWidth;
      };
      await page.waitForFunction(inSight, fragment, { timeout: 5000 }).catch(() => {
        throw new Error(`where ${fragment} is among the pages is out of sight at ${width}`);
      });
    }
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    await page.getByRole("button", { name: /Use the (dark|light) theme/ }).click();
    expect((await ground()) !== before, "the theme did not change");
    await shot(`theme-${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 860 });
});

await check("an account is made, and a token for one server is shown once", async () => {
  await open("#/accounts");
  await page.getByRole("button", { name: "New account…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name", { exact: true }).fill("watcher");
  await dialog.getByLabel("First password").fill("a first password");
  await page.getByText("weft account create watcher --role viewer --password-file FILE").waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("listitem", { name: "watcher", exact: true }).getByText("must-change").waitFor();
  await page.getByRole("button", { name: "New token…" }).click();
  await dialog.getByLabel("Name", { exact: true }).fill("watcher-1");
  await dialog.getByLabel("Acts for").selectOption("watcher");
  await page.keyboard.press("Enter");
  const token = await dialog.getByLabel("Token", { exact: true }).inputValue();
  expect(/^weft_[0-9a-f]{64}$/.test(token), "the token is not shown");
  await dialog.getByRole("button", { name: "Done" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("listitem", { name: "watcher-1" }).getByText("acts for watcher").waitFor();
  expect(!(await page.content()).includes(token), "the token is still on the page");
  await shot("accounts");
});

await check("who looks only finds the buttons disabled, with the reason", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("User").fill("watcher");
  await page.getByLabel("Password").fill("a first password");
  await page.keyboard.press("Enter");
  await page.getByLabel("New password").fill("a password of mine");
  await page.getByLabel("The same again").fill("a password of mine");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Accounts", exact: true }).waitFor();
  for (const [fragment, button] of [["#/servers", "New server…"], ["#/servers", "New from template…"], ["#/images", "Publish…"], ["#/partitions", "New partition…"], ["#/accounts", "New account…"]]) {
    await open(fragment);
    const off = page.locator("button:disabled", { hasText: button });
    await off.waitFor();
    const title = await off.getAttribute("title");
    expect(title.includes("no policy permits it") && title.includes("administrator"), `${button} says ${title}`);
  }
  await page.getByRole("listitem", { name: "watcher-1" }).waitFor();
  expect((await page.getByRole("listitem", { name: "admin", exact: true }).count()) === 0, "another's account is shown");
  await shot("accounts-viewer");
});

await check("log-out ends the session", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  const status = await page.evaluate(async () => (await fetch("/api/v1/nodes")).status);
  expect(status === 401, `answered ${status}`);
});

await finish();
