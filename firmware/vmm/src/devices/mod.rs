//! Device models. Pure: ports and registers in, interrupt levels and bytes out.
//!
//! - [`uart`]: the 16550 serial console.
//! - [`ioapic`]: interrupt pins to messages.
//! - [`ring`]: bounded output, numbered so that gaps show.
//! - [`virtio`]: console, random bytes, network.

pub mod ioapic;
pub mod ring;
pub mod uart;
pub mod virtio;
