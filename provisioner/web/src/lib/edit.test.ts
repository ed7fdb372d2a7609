import { expect, it } from "vitest";
import type { Vs } from "../api/types";
import { editCommand } from "./cli";
import { changeWords, editOf, shown } from "./edit";

const vs = { name: "web", vcpus: 1, memory_mib: 256, append: "quiet", hostname: "", address: "" } as Vs;

it("only what differs is sent, and what was typed and taken back is not", () => {
  expect(editOf(vs, { memory_mib: 512, vcpus: 1, append: "quiet", hostname: "" })).toEqual({ memory_mib: 512 });
  expect(editOf(vs, { append: "", gateway: "" })).toEqual({ append: "" });
  expect(shown(vs, { name: "shop" }, "name")).toBe("shop");
  expect(shown(vs, {}, "memory_mib")).toBe(256);
  expect(shown(vs, {}, "gateway")).toBe("");
});

it("the command line does the same", () => {
  expect(editCommand("web", { name: "shop", memory_mib: 512, vcpus: 2, append: "" })).toBe("weft vs set web --name shop --vcpus 2 --memory 512M --append ''");
  expect(editCommand("web", { hostname: "w", address: "10.0.0.5/24" })).toBe("weft vs set web --hostname w --address 10.0.0.5/24");
});

it("what another changed is told in words", () => {
  expect(changeWords({ field: "memory_mib", before: "256", after: "512" })).toBe("memory (MiB): 256 → 512");
  expect(changeWords({ field: "labels.env", before: "", after: "prod" })).toBe("label env: none → prod");
});
