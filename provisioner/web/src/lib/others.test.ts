import { expect, test } from "vitest";
import { elsewhere } from "./others";

test("other appliances are offered, and neither this one nor what nobody reaches", () => {
  const all = [
    { urls: ["https://10.0.0.1:8443"] },
    { urls: ["https://10.0.0.2:8443", "https://127.0.0.1:8443"] },
    { urls: ["https://10.0.0.2:8443", "javascript:alert(1)"] },
  ];
  expect(elsewhere(all, "https://10.0.0.1:8443")).toEqual(["https://10.0.0.2:8443"]);
  expect(elsewhere(all, "https://127.0.0.9:8443")).toContain("https://127.0.0.1:8443");
});
