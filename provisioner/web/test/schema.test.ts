import { readFile } from "node:fs/promises";
import openapiTS, { astToString, COMMENT_HEADER } from "openapi-typescript";
import { expect, it } from "vitest";

it("the page's types are those of the checked-in OpenAPI document", async () => {
  const document = await readFile(new URL("../../../docs/openapi.json", import.meta.url), "utf8");
  const kept = await readFile(new URL("../src/api/schema.ts", import.meta.url), "utf8");
  const now = COMMENT_HEADER + astToString(await openapiTS(document));
  expect(kept === now, "src/api/schema.ts is stale: npm run types").toBe(true);
});

it("the page asks only for routes that the document has", async () => {
  const document = JSON.parse(await readFile(new URL("../../../docs/openapi.json", import.meta.url), "utf8")) as { paths: Record<string, Record<string, unknown>> };
  const client = await readFile(new URL("../src/api/client.ts", import.meta.url), "utf8");
  const known = Object.entries(document.paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
  const wanted = [...client.matchAll(/(get|change|upload)(?:<[^(]*>)?\((?:"([A-Z]+)", )?["`](\/[^"`?]*)/g)].map(([, kind, method, path]) => {
    const plain = (path ?? "").replace(/\$\{at\((node|vs|partition|template|account|session|token)\)\}/g, "{name}").replace("${at(digest)}", "{digest}").replace("${number}", "{number}");
    return `${kind === "get" ? "GET" : method} /api/v1${plain}`;
  });
  expect(wanted.length).toBeGreaterThan(15);
  for (const route of wanted) {
    const verbs = route.includes("${verb}") ? ["start", "stop", "reset"].map((verb) => route.replace("${verb}", verb)) : [route];
    for (const one of verbs) expect(known).toContain(one);
  }
});
