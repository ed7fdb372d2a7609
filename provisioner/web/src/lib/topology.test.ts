import { describe, expect, it } from "vitest";
import type { Topology, TopologyNode } from "../api/types";
import { FREE_KEY, HIDDEN, NEW_KEY, WAITING, index, lit, moveCommand, movers, nameOf, path, pinned, pins, placeCommand, plugTo, processors, reuse, serverOf, targetKey, targetWords, vnicOf } from "./topology";

const box = (id: string, parent = "") => ({ id, name: id, state: "in-use", parent, labels: {} });
const node = (id: string, frame: string, servers: string[] = [], partition = "", state = "ready"): TopologyNode => ({
  id, name: id, state, approved: state !== "quarantined", frame, partition, cpus: 4, cpu_model: "", memory_mib: 4096, free_mib: 1024, nics: [], labels: {},
  servers: servers.map((server) => ({ server, vcpus: 1, memory_mib: 256 })),
});
const place = (id: string, first_vcpu: number) => ({ node: id, first_vcpu, vcpus: 1, memory_mib: 256 });
const vs = (id: string, on: string[], partition = "") => ({ id, name: id, state: "stopped", vcpus: on.length, memory_mib: 512, partition, affinity: "", labels: {}, places: on.map(place) });

const world: Topology = {
  transaction: 7,
  datacenters: [box("north")],
  mainframes: [box("m1", "north")],
  frames: [box("rack-1", "m1"), box("rack-2", "m1")],
  nodes: [node("n1", "rack-1", ["big", "web"], "p1"), node("n2", "rack-1", ["big"], "p1"), node("n3", ""), node("n4", "elsewhere"), node("n5", "", [], "", "quarantined")],
  partitions: [{ id: "p1", name: "p1", state: "whole", members: ["n1", "n2"], servers: ["big"] }],
  servers: [vs("big", ["n1", "n2"], "p1"), vs("web", ["n1"])],
  switches: [{
    id: "lan", name: "lan", state: "not applied", reason: "nodes have no virtual switch yet",
    ports: [{ id: "lan-1", name: "lan-1", gateways: ["up"], pathing: "failover", vnic: "vnic-web" }, { id: "lan-2", name: "lan-2", gateways: [], pathing: "failover", vnic: "" }],
    gateways: [{ id: "up", name: "up", node: "n3", nic: "02:00:00:00:00:03" }],
  }],
  vnics: [{ id: "vnic-web", name: "web.0", state: "not applied", reason: "", server: "web", port: "lan-1" }],
};

describe("the map", () => {
  const all = index(world);
  it("has each node where it stands, partitions together", () => {
    const rack = all.standing.get("rack-1");
    expect(rack?.partitions.map((one) => one.nodes.map(({ id }) => id))).toEqual([["n1", "n2"]]);
    expect([rack?.count, rack?.nodes.length]).toEqual([2, 0]);
    expect(all.standing.get("")?.nodes.map(({ id }) => id)).toEqual(["n3"]);
    expect(all.standing.get(HIDDEN)?.nodes.map(({ id }) => id)).toEqual(["n4"]);
    expect(all.standing.get(WAITING)?.nodes.map(({ id }) => id)).toEqual(["n5"]);
  });
  it("lights what lies on a node and what stands around it", () => {
    expect([...lit(all, { kind: "node", id: "n1" })].sort()).toEqual(["big", "m1", "n1", "north", "p1", "rack-1", "web"]);
  });
  it("lights where a server lives, on each node that it spans", () => {
    expect([...lit(all, { kind: "vs", id: "big" })].sort()).toEqual(["big", "m1", "n1", "n2", "north", "p1", "rack-1", "vnic-big"]);
    expect([...lit(all, { kind: "vs", id: "web" })]).not.toContain("n2");
  });
  it("lights what is in a frame, and nothing of the frame beside it", () => {
    const found = lit(all, { kind: "frame", id: "rack-1" });
    expect(found.has("web") && found.has("north") && !found.has("rack-2") && !found.has("n3")).toBe(true);
    expect(lit(all, { kind: "datacenter", id: "north" }).has("rack-2")).toBe(true);
    expect(lit(all, null).size).toBe(0);
  });
  it("lights the way of a VNIC, and the place of a virtual processor", () => {
    expect([...lit(all, { kind: "vnic", id: "vnic-web" })].sort()).toEqual(["lan", "lan-1", "m1", "n1", "north", "p1", "rack-1", "up", "vnic-web", "web"]);
    expect(lit(all, { kind: "gateway", id: "up" }).has("n3")).toBe(true);
    expect(lit(all, { kind: "vnic", id: "vnic-big" }).has("lan")).toBe(false);
    const of = lit(all, { kind: "vcpu", id: "big/1" });
    expect([of.has("n2"), of.has("n1"), of.has("big")]).toEqual([true, false, true]);
    expect([...lit(all, { kind: "switch", id: "lan" })].sort()).toEqual(["lan", "lan-1", "lan-2", "n3", "up", "vnic-web", "web"]);
  });
  it("knows a server's own VNIC, changed or not, and its processors by number", () => {
    expect([nameOf(all, { kind: "vnic", id: "vnic-big" }), nameOf(all, { kind: "vnic", id: "vnic-gone" }), nameOf(all, { kind: "vcpu", id: "big/1" }), nameOf(all, { kind: "vcpu", id: "big/2" })]).toEqual(["big.0", "", "big/1", ""]);
    expect(vnicOf(all, "vnic-big")?.state).toBe("applied");
    expect(vnicOf(all, "vnic-web")?.state).toBe("not applied");
    expect(serverOf(all, { kind: "vnic", id: "vnic-big" })?.id).toBe("big");
  });
  it("says where a node stands and which processors are where", () => {
    expect([path(all, world.nodes[0]!), path(all, world.nodes[2]!), path(all, world.nodes[3]!)]).toEqual([["rack-1", "m1", "north"], ["free pool"], ["…"]]);
    expect([processors(place("n1", 3)), processors({ first_vcpu: 0, vcpus: 2 }), processors({ first_vcpu: 0, vcpus: 0 })]).toEqual(["vCPU 3", "vCPUs 0–1", "memory only"]);
  });
});

describe("a newer document", () => {
  it("keeps what did not change, so that it is not drawn again", async () => {
    const pause = () => Promise.resolve();
    const copy = JSON.parse(JSON.stringify(world)) as Topology;
    expect(await reuse(world, copy, pause)).toBe(world);
    copy.nodes[2]!.frame = "rack-2";
    const next = await reuse(world, copy, pause);
    expect([next.nodes[0] === world.nodes[0], next.nodes[2] === world.nodes[2], next.servers === world.servers]).toEqual([true, false, true]);
    expect(await reuse(null, copy, pause)).toBe(copy);
  });
});

it("a long document is compared a piece at a time", async () => {
  const many = { ...world, servers: Array.from({ length: 1000 }, (_, n) => vs(`s${n}`, ["n1"])) };
  let pauses = 0;
  const pause = () => { pauses += 1; return Promise.resolve(); };
  expect(await reuse(many, JSON.parse(JSON.stringify(many)) as Topology, pause)).toBe(many);
  expect(pauses).toBe(2);
});

describe("moves", () => {
  it("have an equivalent command", () => {
    expect(moveCommand("node", ["n1", "n2"], { kind: "frame", name: "rack-2" })).toBe("weft node move n1 n2 --frame rack-2");
    expect(moveCommand("node", ["n1"], { kind: "free", name: "free" })).toBe("weft node move n1 --free");
    expect(moveCommand("vs", ["web"], { kind: "node", name: "n2" })).toBe("weft vs move web --node n2");
    expect([moveCommand("node", ["n1"], null), moveCommand("vs", ["web"], null)]).toEqual(["weft node move n1 --frame FRAME", "weft vs move web --node NODE"]);
  });
  it("take all members of a partition", () => {
    expect(movers(index(world), { kind: "partition", id: "p1" })).toEqual(["n1", "n2"]);
    expect(movers(index(world), { kind: "vs", id: "web" })).toEqual(["web"]);
  });
  it("name their targets", () => {
    expect([FREE_KEY, NEW_KEY, targetKey({ kind: "frame", id: "x", name: "rack-1" })]).toEqual(["free:free", "partition:new", "x"]);
    expect([{ kind: "free", name: "free" }, { kind: "partition", name: "new" }, { kind: "partition", name: "p1" }, { kind: "node", name: "n1" }].map(targetWords)).toEqual(["the free pool", "a new partition", "partition p1", "node n1"]);
  });
});

describe("a virtual processor and a VNIC", () => {
  const all = index({ ...world, servers: [{ ...vs("web", ["n1"]), vcpus: 2, affinity: "1=3" }] });
  it("have an affinity with one of them elsewhere", () => {
    expect([...pins("0=13,2=0")]).toEqual([[0, 13], [2, 0]]);
    expect(pins("").size).toBe(0);
    expect([pinned("", 1, 3), pinned("0=1,1=3", 1, 0), pinned("0=1,1=3", 0, null), pinned("2=0", 0, 7), pinned("1=3", 1, null)]).toEqual(["1=3", "0=1,1=0", "1=3", "0=7,2=0", ""]);
  });
  it("have the command line that places them", () => {
    const vcpu = { kind: "vcpu" as const, id: "web/0" };
    expect(placeCommand(all, vcpu, { kind: "processor", id: "n1/2", name: "n1/2" })).toBe("weft vs set web --affinity 0=2,1=3");
    expect(placeCommand(all, { ...vcpu, id: "web/1" }, { kind: "any", id: "", name: "any" })).toBe("weft vs set web --affinity ''");
    const vnic = { kind: "vnic" as const, id: "vnic-web" };
    expect(placeCommand(all, vnic, { kind: "port", id: "lan-2", name: "lan-2" })).toBe("weft vnic edit web.0 --port lan-2");
    expect(placeCommand(all, vnic, { kind: "gateway", id: "up", name: "up" })).toBe("weft vnic edit web.0 --gateway up");
    expect(placeCommand(all, vnic, { kind: "none", id: "", name: "none" })).toBe("weft vnic edit web.0 --detach");
    expect([plugTo({ kind: "gateway", id: "up" }), plugTo({ kind: "port", id: "lan-2" }), plugTo(null)]).toEqual([{ gateway: "up" }, { port: "lan-2" }, { port: "" }]);
  });
});
