//! Boots emulated machines from power-on to the monitor, and into every refusal.
//!
//! Needs QEMU, OVMF, iPXE's ROMs, sbsigntool, openssl and python3-venv; a missing one fails the test
//! and names its package. The monitor is `tests/monitor`, which prints its hand-off.

mod bios;
mod files;
mod flash;
mod machine;
mod rare;
mod uefi;
