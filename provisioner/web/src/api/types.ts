/** What travels between page and appliance; the appliance's `weft_api` crate explains each field. */

export interface BootStage {
  stage: string;
  at: string;
  since_first_ms: number;
}

export interface Nic {
  mac: string;
  driver: string;
  pci_id: string;
  link_up: boolean;
  address: string;
}

export interface Node {
  name: string;
  state: string;
  id: string;
  fingerprint: string;
  mac: string;
  address: string;
  boot_path: string;
  trusted_boot: boolean;
  generation: number;
  image: string;
  cpus: number;
  cpu_model: string;
  memory_kib: number;
  monitor_kib: number;
  guest_kib: number;
  exits: number;
  busy_permille: number;
  uptime_ms: number;
  last_seen: string;
  stages: BootStage[];
  nics: Nic[];
  features: string[];
  servers: string[];
}

export interface Vs {
  name: string;
  state: string;
  id: string;
  desired: string;
  node: string;
  vcpus: number;
  memory_mib: number;
  kernel: string;
  initrd: string;
  append: string;
  macs: string[];
  generation: number;
  instance: number;
  reason: string;
  exits: number;
}

export interface VsCreate {
  name: string;
  node: string;
  vcpus: number;
  memory_mib: number;
  kernel: string;
  initrd: string;
  append: string;
}

export interface Image {
  name: string;
  state: string;
  digest: string;
  generation: number;
  floor: number;
  size: number;
  not_after: string;
  signers: string[];
}

export interface WeftEvent {
  seq: number;
  at: string;
  name: string;
  state: string;
  node: string;
  vs: string;
  actor: string;
  text: string;
}

export interface LogEntry {
  at: string;
  uptime_ms: number;
  level: string;
  text: string;
}

export interface Finding {
  name: string;
  state: string;
  text: string;
  next: string;
}

export interface ApplianceConfig {
  cluster: string;
  interface: string;
  address: string;
  dhcp_mode: string;
  active_image: string;
  delegation_version: number;
}

export interface Problem {
  code: string;
  status: number;
  title: string;
  next: string;
}
