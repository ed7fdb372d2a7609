//! A vCPU: what happens at its exits and before its entries. Pure: the VMCB is plain memory here, and the
//! instruction that runs it is elsewhere.
//!
//! - [`setup`]: intercepts and the state in which a vCPU starts;
//! - [`exits`]: from exit code to action;
//! - [`events`]: what is injected before an entry;
//! - [`msr`], [`cpuid`], [`lapic`], [`clock`]: the emulated parts;
//! - [`counter`]: a counter of another frequency than the processor's;
//! - [`stale`]: what an emulator that translates code needs;
//! - [`travel`]: a vCPU as bytes, and back;
//! - [`features`]: what all nodes of a spanning server have in common.
//!
//! An exit that is not understood stops this one guest with a report, never the node.

pub mod clock;
pub mod counter;
pub mod cpuid;
pub mod events;
pub mod exits;
pub mod features;
mod io;
pub mod lapic;
pub mod mmio;
pub mod msr;
pub mod setup;
pub mod shadow;
pub mod stale;
pub mod travel;

use crate::machine::remote::RemoteRead;
use lapic::Lapic;
use weft_types::Gpa;

/// What a vCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Runs or wants to.
    Running,
    /// Halted until an interrupt.
    Halted,
    /// Waits for INIT and start-up.
    WaitForStartUp,
}

/// State of a vCPU beside its VMCB and registers.
#[derive(Clone, Debug)]
pub struct Vcpu {
    /// What it does.
    pub run_state: RunState,
    /// Its local APIC.
    pub lapic: Lapic,
    /// Page number of a start-up that is to be taken before the next entry.
    start_up: Option<u8>,
    nmi_pending: bool,
    nmi_blocked: bool,
    /// An exception that the next entry injects.
    exception: Option<Exception>,
    /// The interrupt that the last entry offered, until the exit tells whether the guest took it.
    offered: Option<u8>,
    /// The next entry lets a software interrupt pass (see [`stale`]).
    pub(crate) passes_interrupt: bool,
    tsc_aux: u32,
    mtrr_default: u64,
    system_time: Gpa,
    system_time_msr: u64,
    /// A register of a device on another node that it waits for, and how many it has asked for.
    pub(crate) remote_read: RemoteRead,
    pub(crate) remote_reads: u32,
    /// Vectors whose end is to be told to the member that has the devices.
    pub(crate) level_vectors: [u32; 8],
}

/// An exception to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Vector.
    pub vector: u8,
    /// Error code, for those that have one.
    pub error: Option<u32>,
}

impl Exception {
    /// Undefined instruction.
    pub const UD: Self = Self { vector: 6, error: None };
    /// General protection.
    pub const GP: Self = Self { vector: 13, error: Some(0) };
}

impl Vcpu {
    /// The first vCPU of a guest runs at once, the others wait for start-up.
    pub fn new(id: u32) -> Self {
        Self {
            run_state: if id == 0 { RunState::Running } else { RunState::WaitForStartUp },
            lapic: Lapic::new(id),
            start_up: None,
            nmi_pending: false,
            nmi_blocked: false,
            exception: None,
            offered: None,
            passes_interrupt: false,
            tsc_aux: 0,
            mtrr_default: 0x806,
            system_time: Gpa(0),
            system_time_msr: 0,
            remote_read: RemoteRead::Idle,
            remote_reads: 0,
            level_vectors: [0; 8],
        }
    }

    /// TSC_AUX as the guest has set it; the processor must hold it while this vCPU runs.
    pub fn tsc_aux(&self) -> u32 {
        self.tsc_aux
    }

    /// INIT: everything is forgotten, start-up is awaited.
    pub fn init(&mut self) {
        let id = self.lapic.id();
        // Numbers of reads go on, so that a late answer is not taken for a new one.
        let remote_reads = self.remote_reads;
        let rests = self.lapic.rests();
        *self = Self { run_state: RunState::WaitForStartUp, remote_reads, ..Self::new(id) };
        self.lapic.set_rests(rests);
    }

    /// Whether an INIT has come since the last entry.
    fn is_reset(&self) -> bool {
        self.run_state == RunState::WaitForStartUp || self.start_up.is_some()
    }

    /// Start-up: taken only while waiting for it.
    pub fn start_up(&mut self, page: u8) {
        if self.run_state == RunState::WaitForStartUp && self.start_up.is_none() {
            self.start_up = Some(page);
            self.run_state = RunState::Running;
        }
    }

    /// A non-maskable interrupt.
    pub fn nmi(&mut self) {
        self.nmi_pending = true;
    }
}
