import { describe, expect, it } from "vitest";
import { creation, edition, netCreateCommand, netEditCommand, wishOf } from "./networks";
import { rolloutCommand, rolloutOf } from "./rollouts";

const wish = { ...wishOf(null), name: "a", switch: "lan", node: "node-1", nic: "02:00:00:00:00:01", server: "web", port: "lan-1", gateways: ["up-2", "up-1"] };

describe("a network object", () => {
  it("is made of the fields of its kind alone", () => {
    expect(creation("switch", wish)).toEqual({ name: "a", labels: {}, switch: "", gateways: [], pathing: "", node: "", nic: "", server: "", port: "", pool: "" });
    expect(creation("port", wish)).toMatchObject({ switch: "lan", gateways: ["up-2", "up-1"], pathing: "failover", node: "", server: "" });
    expect(creation("vnic", wish)).toMatchObject({ server: "web", port: "lan-1", switch: "" });
  });
  it("is changed where it differs", () => {
    const before = { ...wish };
    expect(edition("port", before, wish)).toBeNull();
    expect(edition("port", before, { ...wish, gateways: ["up-1", "up-2"] })).toEqual({ gateways: ["up-1", "up-2"] });
    expect(edition("vnic", before, { ...wish, port: "" })).toEqual({ port: "" });
    expect(edition("switch", before, { ...wish, port: "", name: "b" })).toEqual({ name: "b" });
  });
  it("has the command line that does the same", () => {
    expect(netCreateCommand("port", creation("port", wish))).toBe("weft port create a --switch lan --gateways up-2,up-1");
    expect(netCreateCommand("gateway", creation("gateway", { ...wish, name: "" }))).toBe("weft gateway create NAME --switch lan --node node-1 --nic 02:00:00:00:00:01");
    expect(netEditCommand("vnic", "web.0", { port: "" })).toBe("weft vnic edit web.0 --detach");
    expect(netEditCommand("port", "a", { gateways: [], pathing: "balance" })).toBe("weft port edit a --gateways '' --pathing balance");
    expect(netEditCommand("switch", "a", null)).toBe("weft switch edit a");
  });
});

describe("a rollout", () => {
  const wanted = { image: "3f2a91c0".repeat(8), nodes: [], canary: "", atOnce: 1, stop: false };
  it("is for all, or for those that are named", () => {
    expect(rolloutOf(wanted).select).toMatchObject({ all: true, names: [] });
    expect(rolloutOf({ ...wanted, nodes: ["node-2"], stop: true })).toMatchObject({ select: { all: false, names: ["node-2"] }, drain: "stop", max_unavailable: 1 });
  });
  it("has the command line that begins it", () => {
    expect(rolloutCommand(wanted)).toBe("weft image rollout start 3f2a91c03f2a91c0 --all");
    expect(rolloutCommand({ ...wanted, nodes: ["node-1", "node-2"], canary: "node-2", atOnce: 2, stop: true })).toBe("weft image rollout start 3f2a91c03f2a91c0 --nodes node-1,node-2 --canary node-2 --max-unavailable 2 --drain stop");
  });
});
