/**
 * What travels between page and appliance. The shapes come from the appliance's OpenAPI document (`npm run types`); a
 * test fails when they differ.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type BootStage = Schemas["BootStage"];
export type Nic = Schemas["Nic"];
export type Node = Schemas["Node"];
export type Vs = Schemas["Vs"];
/** The page always says everything. */
export type VsCreate = Required<Schemas["VsCreate"]>;
export type Image = Schemas["Image"];
export type WeftEvent = Schemas["Event"];
export type LogEntry = Schemas["LogEntry"];
export type Finding = Schemas["Finding"];
export type ApplianceConfig = Schemas["ApplianceConfig"];
export type Problem = Schemas["Problem"];
export type BlobReply = Schemas["BlobReply"];
export type LoginReply = Schemas["LoginReply"];
