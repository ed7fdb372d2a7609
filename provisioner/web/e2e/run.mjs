// Drives the page in Chromium against a running appliance. Nothing here is a double.
//
//   WEFT_URL            https://HOST:PORT of the appliance
//   WEFT_CA             its certificate (PEM); the browser trusts this key alone
//   WEFT_USER           user name, admin by default
//   WEFT_PASSWORD_FILE  file with the password
//   WEFT_NEW_PASSWORD_FILE  file with the new one, where the first must be changed
//   WEFT_NODE, WEFT_FINGERPRINT  optional: a node that waits, and the fingerprint on its own console
//   WEFT_KERNEL         optional: a kernel to upload; else the default guest
//   WEFT_GUEST_PROMPT   optional: what a guest's console prints when its shell is ready; wants a ready node
//   WEFT_SHOTS          optional: folder for screenshots
//   CHROMIUM            browser, /usr/bin/chromium by default
//
// Prints a line for each check and `N passed, N failed` at the end.
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const env = (name, fallback) => {
  const value = process.env[name] ?? fallback;
  if (value === undefined) {
    console.error(`${name} is not set; see the top of e2e/run.mjs`);
    process.exit(2);
  }
  return value;
};
const secret = (path) => readFileSync(path, "utf8").trimEnd();

const url = env("WEFT_URL").replace(/\/$/, "");
const user = env("WEFT_USER", "admin");
let password = secret(env("WEFT_PASSWORD_FILE"));
const fresh = process.env.WEFT_NEW_PASSWORD_FILE ? secret(process.env.WEFT_NEW_PASSWORD_FILE) : "";
const shots = process.env.WEFT_SHOTS ?? "";
if (shots !== "") mkdirSync(shots, { recursive: true });

const key = new X509Certificate(readFileSync(env("WEFT_CA"))).publicKey.export({ type: "spki", format: "der" });
const pin = createHash("sha256").update(key).digest("base64");

const browser = await chromium.launch({
  executablePath: env("CHROMIUM", "/usr/bin/chromium"),
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", `--ignore-certificate-errors-spki-list=${pin}`,
  ],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, colorScheme: "light" });
const page = await context.newPage();
page.setDefaultTimeout(15_000);
const trouble = [];
// A refused request is no error of the page; a violated policy or a thrown error is.
page.on("console", (message) => {
  if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) trouble.push(message.text());
});
page.on("pageerror", (error) => trouble.push(String(error)));

let passed = 0;
let failed = 0;
async function check(name, work) {
  try {
    await work();
    passed += 1;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${error instanceof Error ? error.message.split("\n").slice(0, 6).join(" | ") : error}`);
    if (shots !== "") await page.screenshot({ path: `${shots}/failed-${failed}.png` }).catch(() => undefined);
  }
}
function expect(condition, words) {
  if (!condition) throw new Error(words);
}
const shot = async (name) => {
  if (shots !== "") await page.screenshot({ path: `${shots}/${name}.png` });
};
const open = async (fragment) => {
  await page.goto(`${url}/${fragment}`);
  await page.locator("main h1").first().waitFor();
};
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
    await screen.getByText("e2e-42").first().waitFor({ timeout: 30_000 });
    await shot("console");
  });
  await check("its history is there again after a reload", async () => {
    await page.reload();
    await page.waitForFunction(() => document.querySelector(".xterm-rows")?.textContent?.includes("e2e-42"), undefined, { timeout: 30_000 });
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
  for (let press = 0; press < 20; press += 1) {
    await page.keyboard.press("Tab");
    names.add(await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? ""));
  }
  for (const name of ["Skip to content", "Nodes", "Servers", "Events", "Images", "Doctor", "Log out"]) {
    expect([...names].some((one) => one.startsWith(name)), `${name} is not reached; reached: ${[...names].join(", ")}`);
  }
  await page.getByRole("button", { name: "New server…" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

await check("each control has a name for a screen reader", async () => {
  for (const fragment of ["#/nodes", "#/servers", "#/events", "#/images", "#/doctor"]) {
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
    for (const fragment of ["#/nodes", "#/servers", "#/events", "#/images", "#/doctor"]) {
      await open(fragment);
      const excess = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(excess <= 0, `${fragment} is ${excess} pixels too wide at ${width}`);
    }
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const before = await ground();
    await page.getByRole("button", { name: /Use the (dark|light) theme/ }).click();
    expect((await ground()) !== before, "the theme did not change");
    await shot(`theme-${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 860 });
});

await check("log-out ends the session", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  const status = await page.evaluate(async () => (await fetch("/api/v1/nodes")).status);
  expect(status === 401, `answered ${status}`);
});

await check("no policy was violated and nothing was thrown", async () => {
  expect(trouble.length === 0, trouble.join(" | "));
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
