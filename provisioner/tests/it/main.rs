//! The real program on loopback: its own process, its own data folder, real sockets.
//!
//! Nodes are simulated (`weft_server::simnode`): the real channel, the real messages, the real gate.

mod access;
mod accounts;
mod affinity;
mod agents;
mod apply;
mod backup;
mod browser;
mod common;
mod containers;
mod drift;
mod editing;
mod fuzzed;
mod groups;
mod hands;
mod image_undo;
mod jobs;
mod lifecycle;
mod load;
mod networks;
mod operators;
mod page;
mod page_accounts;
mod page_drift;
mod page_groups;
mod page_jobs;
mod page_map;
mod page_networks;
mod page_rollout;
mod page_search;
mod partitions;
mod plans;
mod pools;
mod power;
mod publish;
mod repeats;
mod rights;
mod rollout;
mod search;
mod several;
mod span;
mod streams;
mod templates;
mod transactions;
