// What the scripts that drive the page in Chromium share: the browser that trusts one certificate, and checks.
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export const env = (name, fallback) => {
  const value = process.env[name] ?? fallback;
  if (value === undefined) {
    console.error(`${name} is not set; see the top of the script`);
    process.exit(2);
  }
  return value;
};
export const secret = (path) => readFileSync(path, "utf8").trimEnd();

export function expect(condition, words) {
  if (!condition) throw new Error(words);
}

/** A page of a browser that trusts the key of `WEFT_CA` and no other, and the checks that it went through. */
export async function start() {
  const url = env("WEFT_URL").replace(/\/$/, "");
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
  page.setDefaultTimeout(60_000);
  const trouble = [];
  // A refused request is no error of the page; a violated policy or a thrown error is.
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) trouble.push(message.text());
  });
  page.on("pageerror", (error) => trouble.push(String(error)));
  const counts = { passed: 0, failed: 0 };
  const dialog = () => page.getByRole("dialog");
  const shot = async (name) => {
    if (shots !== "") await page.screenshot({ path: `${shots}/${name}.png` });
  };
  const check = async (name, work) => {
    try {
      await work();
      counts.passed += 1;
      console.log(`ok   ${name}`);
    } catch (error) {
      counts.failed += 1;
      console.log(`FAIL ${name}: ${error instanceof Error ? error.message.split("\n").slice(0, 6).join(" | ") : error}`);
      if (shots !== "") await page.screenshot({ path: `${shots}/failed-${counts.failed}.png` }).catch(() => undefined);
    }
  };
  let answers;
  return {
    url,
    context,
    page,
    check,
    dialog,
    shot,
    /** Logs in at the page of nodes. */
    async login() {
      await page.goto(url);
      await page.getByLabel("User").fill(env("WEFT_USER", "admin"));
      await page.getByLabel("Password").fill(secret(env("WEFT_PASSWORD_FILE")));
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Nodes", exact: true }).waitFor();
    },
    /** The dialog shows this command. */
    async shows(command) {
      await dialog().getByText(command, { exact: true }).waitFor();
    },
    /** Presses what does it in the dialog, which then goes. */
    async press(name) {
      await dialog().getByRole("button", { name, exact: true }).click();
      await dialog().waitFor({ state: "detached" });
    },
    /** In both widths and both themes: a screenshot, and that nothing is wider than the window. */
    async themes(name, prepare = async () => undefined) {
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: width === 390 ? 844 : 860 });
        await prepare();
        for (const theme of ["light", "dark"]) {
          await page.evaluate((to) => void (document.documentElement.dataset.theme = to), theme);
          await page.waitForTimeout(200);
          await shot(`${name}-${theme}-${width}`);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          expect(wide <= 0, `${name} is ${wide} pixels wider than the window at ${width}`);
        }
      }
      await page.evaluate(() => void (document.documentElement.dataset.theme = "light"));
      await page.setViewportSize({ width: 1280, height: 860 });
    },
    /** What the interface answers: to who is logged in, or to the holder of a token. */
    async api(path, { method = "GET", body, token = "" } = {}) {
      return page.evaluate(
        async ([path, method, body, token]) => {
          const headers = { "Content-Type": "application/json", "X-Weft-Request": "1", ...(token === "" ? {} : { Authorization: `Bearer ${token}` }) };
          const answer = await fetch(`/api/v1${path}`, { method, headers, credentials: token === "" ? "same-origin" : "omit", ...(body === null ? {} : { body }) });
          const text = await answer.text();
          return { status: answer.status, body: text === "" ? null : JSON.parse(text) };
        },
        [path, method, body === undefined ? null : JSON.stringify(body), token],
      );
    },
    /** Has who started this do something to the nodes: it is asked on standard output, and answers a line. */
    async hand(...words) {
      answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
      console.log(["hand", ...words].join(" "));
      await answers.next();
    },
    async open(fragment) {
      await page.goto(`${url}/${fragment}`);
      await page.locator("main h1").first().waitFor();
    },
    /** Prints the last line and ends the process. */
    async finish() {
      await check("nothing violated the policy and nothing threw", async () => expect(trouble.length === 0, trouble.join("; ")));
      await browser.close();
      console.log(`${counts.passed} passed, ${counts.failed} failed`);
      process.exit(counts.failed === 0 ? 0 : 1);
    },
  };
}
