import { describe, expect, it } from "vitest";
import type { Node, Vs, VsCreate } from "../api/types";
import { bmcCommand, command, copyCommand, createCommand, powerCommand, quote, seriesCommand } from "./cli";
import { href, parseRoute } from "./route";
import { tone } from "./tone";
import { addressProblem, freeMib, freeName, freeNameOf, hostnameProblem, lastGroupMatches, nameProblem, patternProblem, validate } from "./validate";

const vs: VsCreate = { name: "web", node: "", vcpus: 1, memory_mib: 256, kernel: "", initrd: "", append: "", partition: "", labels: {}, template: "", hostname: "", address: "", gateway: "", mac_pool: "", wwnn_pool: "", affinity: "", pinned: false };

describe("the equivalent command", () => {
  it("quotes what a shell would take apart", () => {
    expect(quote("node-1")).toBe("node-1");
    expect(quote("a b")).toBe("'a b'");
    expect(quote("it's; rm -r")).toBe(`'it'\\''s; rm -r'`);
    expect(command("vs", "console", "$(x)")).toBe("weft vs console '$(x)'");
  });
  it("has all that the form has", () => {
    expect(createCommand({ ...vs, node: "node-1", append: "quiet x=1" }, true, { kernel: "vmlinuz 6" })).toBe(
      "weft vs create web --node node-1 --vcpus 1 --memory 256M --kernel 'vmlinuz 6' --append 'quiet x=1' --start",
    );
    expect(createCommand({ ...vs, name: "" }, false)).toContain("create NAME");
    expect(createCommand({ ...vs, labels: { env: "prod", note: "" } }, false)).toMatch(/ --label env=prod --label note=$/);
  });
});

describe("power", () => {
  const bmc = { kind: "redfish", address: "10.0.9.1", account: "weft", password: "hunter2", certificate: "sha256:ab", system: "" };
  it("has an equivalent command without the password", () => {
    expect(bmcCommand("node-1", bmc)).toBe("weft node bmc set node-1 --kind redfish --address 10.0.9.1 --account weft --certificate sha256:ab");
    expect(bmcCommand("node-1", { ...bmc, certificate: "-----BEGIN", system: "2" })).toMatch(/ --certificate FILE --system 2$/);
    expect(powerCommand("node-1", "off", true)).toBe("weft node power off node-1 --graceful");
    expect(powerCommand("node-1", "reset", false)).toBe("weft node power reset node-1");
  });
});

describe("copies and servers of a template", () => {
  const copy = { name: "web-2", node: "", hostname: "", address: "", gateway: "", mac_pool: "", wwnn_pool: "" };
  it("have an equivalent command", () => {
    expect(copyCommand("web", copy)).toBe("weft vs copy web web-2");
    expect(copyCommand("web", { ...copy, node: "node-1", hostname: "w", address: "10.0.0.5/24", gateway: "10.0.0.1" })).toBe(
      "weft vs copy web web-2 --node node-1 --hostname w --address 10.0.0.5/24 --gateway 10.0.0.1",
    );
    expect(seriesCommand({ count: 10, first: 1, vs: { ...vs, template: "t" } })).toBe("weft vs create web --template t --count 10");
    expect(seriesCommand({ count: 2, first: 7, vs: { ...vs, name: "r{n}", template: "t", hostname: "h{n}" } })).toBe("weft vs create 'r{n}' --template t --count 2 --first 7 --hostname 'h{n}'");
  });
  it("are checked before they are asked for", () => {
    expect(freeNameOf("web", ["web", "web-2"])).toBe("web-3");
    expect([nameProblem("web-2", ["web"]), patternProblem("r{n}x", true), patternProblem("", false), hostnameProblem(""), hostnameProblem("w-1"), addressProblem("10.0.0.5/24"), addressProblem("")].every((problem) => problem === undefined)).toBe(true);
    expect([nameProblem("web", ["web"]), nameProblem("a b", []), patternProblem("", true), patternProblem("{m}", true), hostnameProblem("-w"), hostnameProblem("w-"), addressProblem("10.0.0.5")].every((problem) => problem !== undefined)).toBe(true);
  });
});

describe("the create form", () => {
  const node = { name: "node-1", memory_kib: 1_048_576, monitor_kib: 32_768, guest_kib: 0 } as Node;
  it("accepts the defaults", () => {
    expect(validate(vs, [], [node])).toEqual({});
  });
  it("says what is wrong with each field", () => {
    const errors = validate({ ...vs, name: "a b", vcpus: 33, memory_mib: 63, node: "moon" }, [], [node]);
    expect(Object.keys(errors).sort()).toEqual(["memory_mib", "name", "node", "vcpus"]);
    expect(validate({ ...vs, vcpus: Number.NaN, memory_mib: Number.NaN }, [], []).vcpus).toBeDefined();
    expect(validate(vs, [{ name: "web" } as Vs], [node]).name).toContain("this name");
    expect(validate({ ...vs, name: "x".repeat(64) }, [], []).name).toBeDefined();
  });
  it("wants a node first", () => {
    expect(validate(vs, [], []).node).toContain("approve one first");
  });
  it("knows what fits on a node", () => {
    expect(validate({ ...vs, node: "node-1", memory_mib: 1024 }, [], [node]).memory_mib).toBe("node-1 has 992 MiB free.");
    // What is stopped has its memory too, and what spans nodes has a part on each.
    const [off, wide] = [{ name: "off", partition: "", node: "node-1", memory_mib: 500 }, { name: "wide", partition: "p1", node: "", memory_mib: 900, places: [{ node: "node-1", memory_mib: 200 }, { node: "node-2", memory_mib: 700 }] }];
    expect(freeMib(node, [off, wide] as Vs[])).toBe(292);
    expect(freeMib(node, [{ ...off, memory_mib: 4096 } as Vs])).toBe(0);
  });
  it("proposes a free name", () => {
    expect(freeName(["vs-1", "vs-3"])).toBe("vs-2");
  });
});

it("approval wants the last group of the fingerprint, typed", () => {
  expect(lastGroupMatches("3f2a-91c0-77de-0b14", " 0B14 ")).toBe(true);
  for (const typed of ["", "3f2a", "0b1", "3f2a-91c0-77de-0b14"]) expect(lastGroupMatches("3f2a-91c0-77de-0b14", typed)).toBe(false);
  expect(lastGroupMatches("", "")).toBe(false);
});

describe("routes", () => {
  it("go to an address and back", () => {
    for (const route of [{ page: "nodes" }, { page: "node", name: "a/b c" }, { page: "server", name: "ü" }, { page: "console", name: "web" }, { page: "templates" }, { page: "pools" }, { page: "partitions" }, { page: "partition", name: "p/1" }, { page: "history" }, { page: "transaction", number: 42 }, { page: "doctor" }] as const) {
      expect(parseRoute(href(route))).toEqual(route);
    }
  });
  it("take a number for a transaction and nothing else", () => {
    for (const fragment of ["#/history/x", "#/history/0", "#/history/-1", "#/history/1e9", `#/history/${"9".repeat(17)}`]) expect(parseRoute(fragment)).toEqual({ page: "history" });
  });
  it("fall back to the nodes", () => {
    for (const fragment of ["", "#", "#/", "#/nonsense", "#/%E0%A4%A"]) expect(parseRoute(fragment)).toEqual({ page: "nodes" });
  });
});

it("each state that the interface names has a tone of its own kind", () => {
  expect(["ready", "running", "active", "ok"].map(tone)).toEqual(["ok", "ok", "ok", "ok"]);
  expect(["lost", "conflict", "failed", "revoked", "error", "fail"].every((state) => tone(state) === "bad")).toBe(true);
  expect(tone("later-invention")).toBe("idle");
});
