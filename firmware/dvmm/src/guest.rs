//! One virtual server that runs here: its machine, its memory, its vCPUs' hardware halves.
//!
//! Locks, in the order in which they are taken: a vCPU's hardware (held by the processor that runs it),
//! the machine, the tables. None is held while the guest runs but the vCPU's own.

use crate::entropy::NodeEntropy;
use crate::host_cpuid::ThisProcessor;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use spin::Mutex;
use weft_hal::fpu::FpuState;
use weft_hal::frames::TableFrames;
use weft_hal::guest_ram::{Backing, GuestRam, LARGE_SIZE};
use weft_hal::svm::VcpuHardware;
use weft_hal::{apic, cpu, desc, smp, time};
use weft_paging::{MapError, NestedTables, PageSize, Rights};
use weft_types::{Gpa, VsId};
use weft_vmm::acpi::{self, Proximity};
use weft_vmm::cpu::clock::Now;
use weft_vmm::cpu::events::Entry;
use weft_vmm::cpu::exits::{Env, Outcome};
use weft_vmm::cpu::setup;
use weft_vmm::devices::virtio::console::Console;
use weft_vmm::devices::virtio::net::Net;
use weft_vmm::devices::virtio::rng::Rng;
use weft_vmm::devices::virtio::{Slot as VirtioSlot, Slots, Transport};
use weft_vmm::layout;
use weft_vmm::loader::{self, LoadConfig};
use weft_vmm::machine::{Machine, MachineConfig};

/// What the monitor adds to each kernel command line. There is no PCI bus: without being told, Linux asks some
/// processors' configuration ports 33,000 times for one.
const COMMAND_LINE: &str = "console=ttyS0 pci=off";

/// Slots that never move: console, random bytes, then the network ports.
const CONSOLE_SLOT: u8 = 0;
const RNG_SLOT: u8 = 1;
pub(crate) const NET_SLOT: u8 = 2;
const MTU: u16 = 1500;

/// What to start.
pub(crate) struct GuestConfig<'a> {
    pub(crate) id: VsId,
    pub(crate) instance: u64,
    pub(crate) memory_mib: u32,
    pub(crate) macs: &'a [[u8; 6]],
    pub(crate) kernel: &'a [u8],
    pub(crate) initrd: Option<&'a [u8]>,
    pub(crate) append: &'a str,
    pub(crate) unix_ns: u64,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It switched itself off.
    PowerOff,
    /// It reset itself.
    Reset,
    /// The operator's wish.
    Stopped,
    /// The monitor stopped it.
    Failed(String),
}

/// A running guest.
pub(crate) struct Guest {
    pub(crate) id: VsId,
    pub(crate) instance: u64,
    pub(crate) machine: Mutex<Machine>,
    ram: GuestRam,
    tables: Mutex<Option<NestedTables>>,
    vcpus: Vec<Mutex<VcpuHardware>>,
    /// The processor that runs each vCPU.
    pub(crate) homes: Vec<usize>,
    end: Mutex<Option<End>>,
    stopping: AtomicBool,
    parked: AtomicUsize,
    tsc_base: u64,
}

/// What a slot of a vCPU came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It ran until the processor was wanted elsewhere.
    Ran,
    /// It waits; it has something to do by itself at this time.
    Waits(Option<u64>),
    /// The guest has ended and this vCPU will not run again.
    Ended,
}

impl Guest {
    /// Loads a guest; it runs when its processors first take it up.
    pub(crate) fn load(config: &GuestConfig<'_>, homes: Vec<usize>) -> Result<Self, String> {
        let bytes = u64::from(config.memory_mib) * 1024 * 1024 / LARGE_SIZE * LARGE_SIZE;
        let ranges = layout::ram(bytes).into_iter().filter(|r| r.end > r.start);
        let ram = GuestRam::new(ranges.map(|r| (r.start, r.end - r.start)).collect());
        let vcpus = homes.len();
        let all = Proximity { cpus: vcpus as u32, ram_bytes: bytes };
        let slots = slots(config.macs);
        let tables = acpi::build(&[all], slots.occupied()).map_err(|e| e.to_string())?;
        let command_line = alloc::format!("{COMMAND_LINE} {}", config.append);
        let entry = loader::load(
            &ram,
            &LoadConfig {
                ram_bytes: bytes,
                kernel: &config.kernel,
                initrd: config.initrd.as_ref().map(|i| i as &dyn loader::Source),
                command_line: command_line.trim_end().as_bytes(),
                acpi: &tables,
            },
        )
        .map_err(|e| e.to_string())?;
        let nested = NestedTables::new(&mut TableFrames).ok_or("no memory for page tables")?;
        let tsc_base = cpu::rdtsc();
        let hardware = (0..vcpus).map(|index| {
            let mut vcpu = VcpuHardware::new();
            let (vmcb, gprs) = vcpu.state();
            setup::control(vmcb, nested.root(), tsc_base.wrapping_neg());
            if index == 0 {
                setup::boot(vmcb, gprs, &entry);
            }
            Mutex::new(vcpu)
        });
        Ok(Self {
            id: config.id,
            instance: config.instance,
            machine: Mutex::new(Machine::new(MachineConfig {
                vcpus,
                ram_bytes: bytes,
                base_unix_ns: config.unix_ns,
                slots,
            })),
            vcpus: hardware.collect(),
            ram,
            tables: Mutex::new(Some(nested)),
            homes,
            end: Mutex::new(None),
            stopping: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            tsc_base,
        })
    }

    fn now(&self) -> Now {
        Now {
            ns: time::now_ns(),
            guest_tsc: cpu::rdtsc().wrapping_sub(self.tsc_base),
            tsc_hz: time::tsc_hz(),
        }
    }

    /// Ends the guest on all processors. The first reason stands.
    pub(crate) fn stop(&self, end: End) {
        self.end.lock().get_or_insert(end);
        self.stopping.store(true, Ordering::Release);
        for home in &self.homes {
            wake(*home);
        }
    }

    /// How it ended, once no processor runs it any more.
    pub(crate) fn ended(&self) -> Option<End> {
        if self.parked.load(Ordering::Acquire) < self.vcpus.len() {
            return None;
        }
        self.end.lock().clone()
    }

    /// Wakes the processors of vCPUs that have something new.
    pub(crate) fn deliver_kicks(&self, kicks: u64) {
        for (index, home) in self.homes.iter().enumerate() {
            if kicks >> index & 1 == 1 {
                wake(*home);
            }
        }
    }

    /// Exits so far.
    pub(crate) fn exits(&self) -> u64 {
        self.machine.lock().exits().iter().sum()
    }

    /// Gives console input to the guest; returns how much it took.
    pub(crate) fn console_input(&self, bytes: &[u8]) -> usize {
        let mut machine = self.machine.lock();
        let taken = machine.console_input(bytes, &self.ram);
        let kicks = machine.take_kicks();
        drop(machine);
        self.deliver_kicks(kicks);
        taken
    }

    /// Moves frames between the guest's ports and the node's bridge, and serves devices with more to do.
    /// `exchange` gets each frame of the guest with its port's number, and is then asked for frames.
    pub(crate) fn exchange_frames(&self, ports: u16, bridge: &mut dyn Exchange) {
        let mut machine = self.machine.lock();
        for port in 0..ports {
            let slot = NET_SLOT + port as u8;
            while let Some(frame) = machine.take_frame(slot) {
                bridge.from_guest(port, &frame);
            }
            while let Some(frame) = bridge.to_guest(port) {
                if !machine.deliver_frame(slot, &frame) {
                    break;
                }
            }
        }
        machine.serve(&self.ram);
        let kicks = machine.take_kicks();
        drop(machine);
        self.deliver_kicks(kicks);
    }

    /// Takes a vCPU off this processor for good.
    fn park(&self, hardware: &mut VcpuHardware) -> Slot {
        hardware.unload();
        self.parked.fetch_add(1, Ordering::AcqRel);
        Slot::Ended
    }

    /// Takes a vCPU's extended state out of its processor, so that another vCPU can have it.
    pub(crate) fn unload(&self, index: usize) {
        self.vcpus[index].lock().unload();
    }

    /// Runs a vCPU on its processor until its slot is over, something else wants the processor, or it waits.
    pub(crate) fn run_slot(&self, index: usize, slot_end_ns: u64) -> Slot {
        let mut hardware = self.vcpus[index].lock();
        // What the timer is set to. Setting it is slow, and most exits change nothing about it.
        let mut armed = None;
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return self.park(&mut hardware);
            }
            let now = self.now();
            if now.ns >= slot_end_ns {
                return Slot::Ran;
            }
            let due = match self.enter(index, &mut hardware, now) {
                Ok(due) => due,
                Err(due) => return Slot::Waits(due),
            };
            let wake_at = due.map_or(slot_end_ns, |due| due.min(slot_end_ns));
            if armed != Some(wake_at) {
                apic::set_timer(wake_at.saturating_sub(now.ns));
                armed = Some(wake_at);
            }
            hardware.run(self.generation());
            cpu::take_interrupts();
            if let Some(end) = self.exit(index, &mut hardware) {
                self.stop(end);
            }
            let pending = desc::take_pending();
            if pending & TIMER_BIT != 0 {
                // It fired, be it a little early: it is set again.
                armed = None;
            }
            if pending & !schedule_bits() != 0 {
                return Slot::Ran;
            }
        }
    }

    fn generation(&self) -> u64 {
        self.tables.lock().as_ref().map_or(0, NestedTables::generation)
    }

    /// Prepares an entry: `Ok` to run until the time given, `Err` to wait until it.
    fn enter(&self, index: usize, hardware: &mut VcpuHardware, now: Now) -> Result<Option<u64>, Option<u64>> {
        let mut machine = self.machine.lock();
        let (vmcb, gprs) = hardware.state();
        let entry = machine.prepare(index, vmcb, gprs, now);
        let due = machine.due_ns(index);
        let tsc_aux = machine.tsc_aux(index);
        drop(machine);
        match entry {
            Entry::Wait => return Err(due),
            Entry::RunFromReset => hardware.reset_fpu(),
            Entry::Run => {}
        }
        hardware.set_tsc_aux(tsc_aux);
        hardware.load();
        Ok(due)
    }

    fn exit(&self, index: usize, hardware: &mut VcpuHardware) -> Option<End> {
        let env = Env { mem: &self.ram, host: &ThisProcessor, now: self.now(), xcr0: FpuState::live_xcr0() };
        let mut machine = self.machine.lock();
        let (vmcb, gprs) = hardware.state();
        let outcome = machine.handle_exit(index, vmcb, gprs, env);
        let kicks = machine.take_kicks();
        drop(machine);
        self.deliver_kicks(kicks & !(1 << index));
        match outcome {
            // Guests of one node have all their memory here: nothing is ever elsewhere.
            Outcome::Resume | Outcome::Halt | Outcome::Need(_) => None,
            Outcome::SetXcr0(value) => {
                FpuState::set_live_xcr0(value);
                None
            }
            Outcome::Map { gpa } => self.map(gpa).err().map(End::Failed),
            Outcome::Reset => Some(End::Reset),
            Outcome::PowerOff => Some(End::PowerOff),
            Outcome::Stop(report) => Some(End::Failed(report)),
        }
    }

    fn map(&self, gpa: Gpa) -> Result<(), String> {
        let Some(backing) = self.ram.back(gpa) else {
            return Err(alloc::format!("the node has no memory left for {gpa:?}"));
        };
        let mut guard = self.tables.lock();
        let tables = guard.as_mut().ok_or("the guest's tables are gone")?;
        let result = match backing {
            Backing::Large(hpa) => {
                let start = Gpa(gpa.0 & !(LARGE_SIZE - 1));
                tables.map(&mut TableFrames, start, hpa, PageSize::Large, Rights::ALL)
            }
            Backing::Small(hpa) => {
                tables.map(&mut TableFrames, gpa.page(), hpa, PageSize::Small, Rights::ALL)
            }
        };
        match result {
            // Another vCPU was faster.
            Ok(()) | Err(MapError::Occupied { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The node's bridge, as a guest's ports see it.
pub(crate) trait Exchange {
    /// Takes a frame that the guest sent.
    fn from_guest(&mut self, port: u16, frame: &[u8]);
    /// The next frame for the guest.
    fn to_guest(&mut self, port: u16) -> Option<Vec<u8>>;
}

fn slots(macs: &[[u8; 6]]) -> Slots {
    let mut slots = Slots::new();
    slots.insert(CONSOLE_SLOT, VirtioSlot::Console(Transport::new(Console::new())));
    slots.insert(RNG_SLOT, VirtioSlot::Rng(Transport::new(Rng::new(Box::new(NodeEntropy::new(&[]))))));
    for (slot, mac) in (NET_SLOT..layout::VIRTIO_SLOTS).zip(macs) {
        slots.insert(slot, VirtioSlot::Net(Transport::new(Net::new(*mac, MTU))));
    }
    slots
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(tables) = self.tables.get_mut().take() {
            tables.free(&mut TableFrames, &mut |_store, _leaf| {});
        }
    }
}

fn wake(home: usize) {
    if home != cpu::index() {
        apic::wake(smp::apic_id(home));
    }
}

/// Pending bit of the timer.
const TIMER_BIT: u32 = 1;

/// Pending bits that do not end a slot: a wake-up for this vCPU is seen at its next entry anyway.
fn schedule_bits() -> u32 {
    1 << (desc::VECTOR_WAKE - desc::VECTOR_TIMER) | TIMER_BIT | 1 << 15
}
