/**
 * What travels between page and appliance. The shapes come from the appliance's OpenAPI document (`npm run types`); a
 * test fails when they differ.
 */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Appliance = Schemas["Appliance"];
export type BootStage = Schemas["BootStage"];
export type Nic = Schemas["Nic"];
export type Node = Schemas["Node"];
export type Vs = Schemas["Vs"];
/** The page always says everything. */
export type VsCreate = Required<Schemas["VsCreate"]>;
export type VsEdit = Schemas["VsEdit"];
export type VsCopy = Required<Schemas["VsCopy"]>;
export type VsSeries = Required<Omit<Schemas["VsSeries"], "vs">> & { vs: VsCreate };
export type Template = Schemas["Template"];
export type TemplateCreate = Schemas["TemplateCreate"];
export type Pool = Schemas["Pool"];
export type Licence = Schemas["Licence"];
export type Series = Schemas["Series"];
export type Span = Schemas["Span"];
export type SpanNode = Schemas["SpanNode"];
export type SpanRates = Schemas["SpanRates"];
export type SpanLatency = Schemas["SpanLatency"];
export type SpanPage = Schemas["SpanPage"];
export type Bmc = Schemas["Bmc"];
export type BmcSet = Required<Schemas["BmcSet"]>;
export type PowerState = Schemas["PowerState"];
export type Partition = Schemas["Partition"];
export type Topology = Schemas["Topology"];
export type TopologyBox = Schemas["TopologyBox"];
export type TopologyNode = Schemas["TopologyNode"];
export type TopologyPartition = Schemas["TopologyPartition"];
export type TopologyServer = Schemas["TopologyServer"];
export type TopologySwitch = Schemas["TopologySwitch"];
export type TopologyPort = Schemas["TopologyPort"];
export type TopologyGateway = Schemas["TopologyGateway"];
export type TopologyVnic = Schemas["TopologyVnic"];
export type NetObject = Schemas["NetObject"];
export type NetCreate = Schemas["NetCreate"];
export type NetEdit = Partial<Schemas["NetEdit"]>;
export type NodeNic = Schemas["NodeNic"];
export type Target = Schemas["Target"];
export type Targets = Schemas["Targets"];
export type PartitionCreate = Schemas["PartitionCreate"];
export type Image = Schemas["Image"];
export type WeftEvent = Schemas["Event"];
export type LogEntry = Schemas["LogEntry"];
export type Finding = Schemas["Finding"];
export type ApplianceConfig = Schemas["ApplianceConfig"];
export type Problem = Schemas["Problem"];
export type BlobReply = Schemas["BlobReply"];
export type LoginReply = Schemas["LoginReply"];
export type Transaction = Schemas["Transaction"];
export type TransactionDetail = Schemas["TransactionDetail"];
export type ObjectChange = Schemas["ObjectChange"];
export type FieldChange = Schemas["FieldChange"];
export type Plan = Schemas["Plan"];
export type LabelChange = Required<Schemas["LabelChange"]>;
export type Job = Schemas["Job"];
export type JobStep = Schemas["JobStep"];
export type Rollout = Schemas["Rollout"];
export type RolloutNode = Schemas["RolloutNode"];
export type RolloutCreate = Required<Schemas["RolloutCreate"]>;
export type JobCreate = Schemas["JobCreate"];
export type JobStepCreate = Schemas["JobStepCreate"];
export type JobPlan = Schemas["JobPlan"];
export type Drift = Schemas["Drift"];
/** What the stream of events says of what was missed; it is no answer of its own in the document. */
export interface EventGap {
  first: number;
  last: number;
  text: string;
  next: string;
}
export type EventPage = Schemas["EventPage"];
export type Account = Schemas["Account"];
export type AccountCreate = Schemas["AccountCreate"];
export type SessionInfo = Schemas["SessionInfo"];
export type Token = Schemas["Token"];
export type TokenScope = Schemas["TokenScope"];
export type TokenCreate = Schemas["TokenCreate"];
export type Question = Schemas["Question"];
export type Answer = Schemas["Answer"];
export type Conflict = Schemas["Conflict"];
