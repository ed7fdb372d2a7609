// What the scripts that drive the page in Chromium share: the browser that trusts one certificate, and checks.
import { createHash, X509Certificate } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
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
  return {
    url,
    context,
    page,
    trouble,
    async check(name, work) {
      try {
        await work();
        counts.passed += 1;
        console.log(`ok   ${name}`);
      } catch (error) {
        counts.failed += 1;
        console.log(`FAIL ${name}: ${error instanceof Error ? error.message.split("\n").slice(0, 6).join(" | ") : error}`);
        if (shots !== "") await page.screenshot({ path: `${shots}/failed-${counts.failed}.png` }).catch(() => undefined);
      }
    },
    async shot(name) {
      if (shots !== "") await page.screenshot({ path: `${shots}/${name}.png` });
    },
    async open(fragment) {
      await page.goto(`${url}/${fragment}`);
      await page.locator("main h1").first().waitFor();
    },
    /** Prints the last line and ends the process. */
    async finish() {
      await browser.close();
      console.log(`${counts.passed} passed, ${counts.failed} failed`);
      process.exit(counts.failed === 0 ? 0 : 1);
    },
  };
}
