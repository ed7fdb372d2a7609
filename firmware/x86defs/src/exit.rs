//! Exit codes. APM volume 2, appendix C.

/// First of 16 codes for reads of control registers.
pub const CR_READ: u64 = 0x000;
/// First of 16 codes for writes of control registers.
pub const CR_WRITE: u64 = 0x010;
/// First of 16 codes for reads of debug registers.
pub const DR_READ: u64 = 0x020;
/// First of 16 codes for writes of debug registers.
pub const DR_WRITE: u64 = 0x030;
/// First of 32 codes for exceptions.
pub const EXCEPTION: u64 = 0x040;
/// Physical interrupt.
pub const INTR: u64 = 0x060;
/// NMI.
pub const NMI: u64 = 0x061;
/// SMI.
pub const SMI: u64 = 0x062;
/// INIT.
pub const INIT: u64 = 0x063;
/// Virtual interrupt window.
pub const VINTR: u64 = 0x064;
/// RDTSC.
pub const RDTSC: u64 = 0x06e;
/// RDPMC.
pub const RDPMC: u64 = 0x06f;
/// CPUID.
pub const CPUID: u64 = 0x072;
/// IRET.
pub const IRET: u64 = 0x074;
/// INT n.
pub const INTN: u64 = 0x075;
/// INVD.
pub const INVD: u64 = 0x076;
/// PAUSE.
pub const PAUSE: u64 = 0x077;
/// HLT.
pub const HLT: u64 = 0x078;
/// INVLPG.
pub const INVLPG: u64 = 0x079;
/// INVLPGA.
pub const INVLPGA: u64 = 0x07a;
/// Port I/O.
pub const IOIO: u64 = 0x07b;
/// RDMSR or WRMSR (`exit_info1` 0 or 1).
pub const MSR: u64 = 0x07c;
/// Task switch.
pub const TASK_SWITCH: u64 = 0x07d;
/// Triple fault.
pub const SHUTDOWN: u64 = 0x07f;
/// VMRUN.
pub const VMRUN: u64 = 0x080;
/// VMMCALL.
pub const VMMCALL: u64 = 0x081;
/// VMLOAD.
pub const VMLOAD: u64 = 0x082;
/// VMSAVE.
pub const VMSAVE: u64 = 0x083;
/// STGI.
pub const STGI: u64 = 0x084;
/// CLGI.
pub const CLGI: u64 = 0x085;
/// SKINIT.
pub const SKINIT: u64 = 0x086;
/// RDTSCP.
pub const RDTSCP: u64 = 0x087;
/// WBINVD.
pub const WBINVD: u64 = 0x089;
/// MONITOR.
pub const MONITOR: u64 = 0x08a;
/// MWAIT.
pub const MWAIT: u64 = 0x08b;
/// MWAIT when armed.
pub const MWAIT_ARMED: u64 = 0x08c;
/// XSETBV.
pub const XSETBV: u64 = 0x08d;
/// RDPRU.
pub const RDPRU: u64 = 0x08e;
/// Nested page fault: `exit_info1` error code, `exit_info2` guest physical address.
pub const NPF: u64 = 0x400;
/// The guest state was invalid. The emulator reports the low 32 bits only.
pub const INVALID: u64 = u64::MAX;

/// Error code of a nested page fault: the page was present.
pub const NPF_PRESENT: u64 = 1 << 0;
/// Error code of a nested page fault: a write.
pub const NPF_WRITE: u64 = 1 << 1;
/// Error code of a nested page fault: an instruction fetch.
pub const NPF_FETCH: u64 = 1 << 4;
/// Error code of a nested page fault: the final address of the access.
pub const NPF_FINAL: u64 = 1 << 32;
/// Error code of a nested page fault: a walk of the guest's page tables.
pub const NPF_TABLE_WALK: u64 = 1 << 33;

/// `exit_info1` of IOIO: an IN.
pub const IOIO_IN: u64 = 1 << 0;
/// `exit_info1` of IOIO: a string instruction.
pub const IOIO_STRING: u64 = 1 << 2;
/// `exit_info1` of IOIO: a REP prefix.
pub const IOIO_REP: u64 = 1 << 3;
/// `exit_info1` of IOIO: 8-bit operand (next bits: 16, 32).
pub const IOIO_SIZE8: u64 = 1 << 4;
/// Shift of the port in `exit_info1`.
pub const IOIO_PORT_SHIFT: u32 = 16;
