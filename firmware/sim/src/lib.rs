//! Many nodes in one process: the engines that ship, on simulated time, over a simulated network, with guests that
//! read and write real bytes, store buffers, TLBs and flushes that take time, cuts and crashes.
//!
//! After every event these invariants hold, or the run ends with the name of the one that does not, the seed and
//! a trace: *single writer*, *no stale read*, *no lost update*, *acknowledgement after flush*, *flush first*,
//! *last copy*, *shared zeros*, *held is mapped*, *epoch fencing*, *bounded memory*, *nothing after stop*, and
//! *progress*: all programs end once faults stop.
//!
//! One seed is one run. `./just sim coherence --seeds 1000` runs many, `--seed N` replays one, a failing one with its trace.

mod checks;
pub mod compare;
pub mod frames;
mod guest;
pub mod link;
pub mod memory;
mod node;
pub mod program;
pub mod rng;
pub mod scenario;
pub mod world;

pub use node::Broken;
