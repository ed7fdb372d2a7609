//! The node's way to the network: a small bridge, an IP stack, and the clients of the appliance's
//! services.
//!
//! - [`bridge`]: shares one NIC between the node's own stack and its guests;
//! - [`port`]: the NIC behind it, whose interconnect frames any processor sends and takes;
//! - [`stack`]: smoltcp over the bridge, with DHCPv4;
//! - [`interconnect`]: messages between the nodes of a virtual server that spans them;
//! - [`tftp`], [`http`], [`noise`]: sans-IO protocol clients. They take bytes and a time and give bytes;
//!   whoever drives them owns the sockets.
//!
//! Every queue, buffer and retry is bounded, and nothing blocks: each call does a bounded amount of work.
#![no_std]
extern crate alloc;

pub mod bridge;
pub mod http;
pub mod interconnect;
pub mod noise;
pub mod port;
pub mod stack;
pub mod tftp;
