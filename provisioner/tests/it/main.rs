//! The real program on loopback: its own process, its own data folder, real sockets.
//!
//! Nodes are simulated (`weft_server::simnode`): the real channel, the real messages, the real gate.

mod access;
mod agents;
mod common;
mod lifecycle;
mod page;
mod publish;
mod streams;
