//! How a guest comes into being: its memory filled, its machine built, its vCPUs set to their first instruction.

use super::affinity;
use super::delay::Delay;
use super::join::{Firmware, Join};
use super::member::Member;
use super::memory::Memory;
use super::moves::Arrivals;
use super::processors::Processors;
use super::whole::Whole;
use super::{Guest, Vcpu};
use crate::entropy::NodeEntropy;
use crate::host_cpuid::ThisProcessor;
use crate::nic;
use crate::shadow::{Paging, ShadowPaging, Tables, pages_are_late};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use spin::Mutex;
use weft_coherence as coherence;
use weft_hal::frames::TableFrames;
use weft_hal::guest_ram::LARGE_SIZE;
use weft_hal::sparse_ram::SparseRam;
use weft_hal::svm::VcpuHardware;
use weft_hal::time;
use weft_node::span::SpanConfig;
use weft_paging::NestedTables;
use weft_platform::GuestMemory;
use weft_types::{PAGE_SIZE, VsId};
use weft_vmm::acpi::{self, Proximity};
use weft_vmm::cpu::{features, setup, stale};
use weft_vmm::devices::virtio::console::Console;
use weft_vmm::devices::virtio::net::Net;
use weft_vmm::devices::virtio::rng::Rng;
use weft_vmm::devices::virtio::{Slot as VirtioSlot, Slots, Transport};
use weft_vmm::layout;
use weft_vmm::loader::entry::EntryState;
use weft_vmm::loader::{self, LoadConfig};
use weft_vmm::machine::remote::Place;
use weft_vmm::machine::{Machine, MachineConfig};
use weft_wire::cluster::SpanSpec;

/// What the monitor adds to each kernel command line. There is no PCI bus: without being told, Linux asks some
/// processors' configuration ports 33,000 times for one.
const COMMAND_LINE: &str = "console=ttyS0 pci=off";
/// What it adds where memory is far away: nothing that reads or moves pages for the sake of it.
const SPANNING_COMMAND_LINE: &str = "numa_balancing=disable transparent_hugepage=never nowatchdog init_on_alloc=0 \
    sysctl.vm.compaction_proactiveness=0";

/// Slots that never move: console, random bytes, then the network ports.
const CONSOLE_SLOT: u8 = 0;
const RNG_SLOT: u8 = 1;
pub(crate) const NET_SLOT: u8 = 2;
const MTU: u16 = 1500;
const MIB: u64 = 1 << 20;

/// What to start.
pub(crate) struct GuestConfig<'a> {
    pub(crate) id: VsId,
    pub(crate) instance: u64,
    pub(crate) vcpus: u16,
    pub(crate) memory_mib: u32,
    pub(crate) macs: &'a [[u8; 6]],
    /// `None` where nothing is loaded: on the further members of a server that spans nodes.
    pub(crate) kernel: Option<&'a [u8]>,
    pub(crate) initrd: Option<&'a [u8]>,
    pub(crate) append: &'a str,
    pub(crate) unix_ns: u64,
    /// Processor of each vCPU on the node where it starts; empty where the node chooses for all.
    pub(crate) affinity: &'a [Option<usize>],
    pub(crate) paging: Paging,
    /// This node's share of a server that spans nodes.
    pub(crate) share: Option<Share<'a>>,
}

/// A node's share of a server that spans nodes.
#[derive(Clone, Copy)]
pub(crate) struct Share<'a> {
    pub(crate) span: &'a SpanSpec,
    /// This node's place in it.
    pub(crate) index: usize,
}

impl Share<'_> {
    /// Words for the kernel. Processors that are not where the first one is, which keeps the time for all, need no tick
    /// while they have one thing to do: a tick takes pages that each node's processors write.
    fn command_line(&self) -> String {
        let far = self.span.far_vcpus();
        if far.is_empty() {
            return SPANNING_COMMAND_LINE.to_string();
        }
        alloc::format!("{SPANNING_COMMAND_LINE} nohz_full={}-{}", far.start, far.end - 1)
    }

    /// Shares of all members, for the guest's own tables.
    fn proximities(&self) -> Vec<Proximity> {
        let near = |place: &weft_wire::cluster::Place| Proximity {
            cpus: u32::from(place.vcpus),
            ram_bytes: u64::from(place.memory_mib) * MIB,
        };
        self.span.places.iter().map(near).collect()
    }

    /// Guest memory and who locates it.
    fn ranges(&self) -> Vec<coherence::Range> {
        let mut ranges = Vec::new();
        let mut start = 0u64;
        for (locator, place) in (0u8..).zip(&self.span.places) {
            let end = start + u64::from(place.memory_mib) * MIB;
            let low = start..end.min(layout::LOW_RAM_LIMIT);
            let shift = layout::HIGH_RAM - layout::LOW_RAM_LIMIT;
            let high = start.max(layout::LOW_RAM_LIMIT) + shift..end.saturating_add(shift);
            for part in [low, high].into_iter().filter(|part| part.start < part.end) {
                ranges.push(coherence::Range {
                    first: coherence::Page(part.start / PAGE_SIZE),
                    pages: (part.end - part.start) / PAGE_SIZE,
                    locator: coherence::Member(locator),
                });
            }
            start = end;
        }
        ranges
    }

    fn config(&self, id: VsId, wire_frame: usize) -> SpanConfig {
        let [a, b, c, d, ..] = id.0;
        SpanConfig {
            me: self.index as u8,
            members: self.span.places.len() as u8,
            tag: u32::from_le_bytes([a, b, c, d]),
            epoch: self.span.epoch,
            key: self.span.key.0,
            ranges: self.ranges(),
            frames: SparseRam::free_frames(),
            wire_frame,
        }
    }

    fn place(&self) -> Place {
        Place::part(self.span.places.iter().map(|place| place.vcpus).collect(), self.index)
    }
}

impl Guest {
    /// Loads a guest; it runs when its processors first take it up, or, if it spans nodes, when all members are
    /// ready.
    pub(crate) fn load(config: &GuestConfig<'_>) -> Result<Self, String> {
        let bytes = u64::from(config.memory_mib) * MIB / LARGE_SIZE * LARGE_SIZE;
        let place = match &config.share {
            None => Place::whole(usize::from(config.vcpus)),
            Some(share) => share.place(),
        };
        let vcpus = place.members().iter().map(|count| usize::from(*count)).sum();
        let (pins, homes) = affinity::homes(config.affinity, vcpus, &|vcpu| place.is_local(vcpu))?;
        let processors = Arc::new(Processors::new(homes, &pins));
        processors.set_stays(config.affinity);
        let mut nested = NestedTables::new(&mut TableFrames).ok_or("no memory for page tables")?;
        let root = nested.root();
        let shadow = match config.paging {
            Paging::Nested => None,
            Paging::Shadow => {
                Some(Arc::new(ShadowPaging::new(&mut nested, vcpus, &|vcpu| place.is_local(vcpu))?))
            }
        };
        let tables: Arc<Tables> = Arc::new(Mutex::new(Some(nested)));
        let memory = memory(config, bytes, &tables, &processors, shadow.as_ref())?;
        let slots = if place.has_devices() { slots(config.macs) } else { Slots::new() };
        let entry = fill(config, &memory, bytes, vcpus, &slots)?;
        let hardware = (0..vcpus).map(|index| {
            let mut hardware = VcpuHardware::new();
            let (vmcb, gprs) = hardware.state();
            setup::control(vmcb, root, processors.tsc_offset());
            if let (0, Some(entry)) = (index, &entry) {
                setup::boot(vmcb, gprs, entry);
            }
            Mutex::new(Vcpu::new(hardware))
        });
        let vcpus_here = hardware.collect();
        let join = match &config.share {
            None => Join::alone(),
            Some(share) => {
                let firmware = config
                    .kernel
                    .is_some()
                    .then(|| Firmware { nodes: share.proximities(), virtio_slots: slots.occupied() });
                Join::members(share.span.places.len(), features::collect(&ThisProcessor), firmware)
            }
        };
        let wanders = config.share.is_some_and(|share| !share.span.pinned);
        let origin = |vcpu| place.member_of(vcpu).map_or(0, |(member, _)| member as u8);
        let origins = wanders.then(|| (0..vcpus).map(origin).collect());
        let mut machine = Machine::new(MachineConfig {
            vcpus,
            ram_bytes: bytes,
            base_unix_ns: config.unix_ns,
            slots,
            place,
        });
        machine.set_translated(stale::is_translated(&ThisProcessor));
        let this = Self {
            id: config.id,
            instance: config.instance,
            machine: Mutex::new(machine),
            vcpus: vcpus_here,
            memory,
            tables,
            shadow,
            processors,
            join,
            end: Mutex::new(None),
            stopping: AtomicBool::new(false),
            parked: AtomicUsize::new(0),
            tsc_hz: AtomicU64::new(time::tsc_hz()),
            origins,
            arrivals: Arrivals::new(vcpus),
            busy_ns: AtomicU64::new(0),
        };
        this.begin();
        Ok(this)
    }

    /// What remains to be done once the guest is whole: the shadow's first look at each vCPU, and what members
    /// tell each other.
    fn begin(&self) {
        if let Some(shadow) = &self.shadow {
            for (index, _) in self.processors.local() {
                let view = self.view(index as u16);
                shadow.adopt(index, &mut self.vcpus[index].lock().hardware, &self.tables, &view);
            }
        }
        if let Some(member) = self.member() {
            member.adopt();
        }
    }
}

fn memory(
    config: &GuestConfig<'_>,
    bytes: u64,
    tables: &Arc<Tables>,
    processors: &Arc<Processors>,
    shadow: Option<&Arc<ShadowPaging>>,
) -> Result<Memory, String> {
    let Some(share) = &config.share else {
        let mut whole = Whole::new(bytes, tables.clone());
        if let Some(shadow) = shadow.filter(|_| pages_are_late()) {
            whole.set_delay(Delay::new(tables.clone(), processors.clone(), shadow.clone()));
        }
        return Ok(Memory::Whole(whole));
    };
    let port = nic::wire().ok_or("this node has no NIC that reaches the others")?;
    let ranges = layout::ram(bytes).into_iter().filter(|r| r.end > r.start);
    Member::new(
        &share.config(config.id, port.mtu()),
        share.span.places.iter().map(|place| place.mac).collect(),
        ranges.map(|r| (r.start, r.end - r.start)).collect(),
        tables.clone(),
        processors.clone(),
        shadow.cloned(),
    )
    .map(Memory::Spanning)
}

/// Puts kernel, ram disk and tables into memory; `None` on members that load nothing.
fn fill(
    config: &GuestConfig<'_>,
    memory: &Memory,
    bytes: u64,
    vcpus: usize,
    slots: &Slots,
) -> Result<Option<EntryState>, String> {
    let Some(kernel) = config.kernel else { return Ok(None) };
    let alone = [Proximity { cpus: vcpus as u32, ram_bytes: bytes }];
    let (nodes, extra) = match &config.share {
        None => (alone.to_vec(), String::new()),
        Some(share) => (share.proximities(), share.command_line()),
    };
    let unknown = acpi::Distances::unknown(nodes.len());
    let tables = acpi::build(&nodes, &unknown, slots.occupied()).map_err(|e| e.to_string())?;
    let command_line = alloc::format!("{COMMAND_LINE} {extra} {}", config.append);
    let load = |mem: &dyn GuestMemory| {
        let config = LoadConfig {
            ram_bytes: bytes,
            kernel: &kernel,
            initrd: config.initrd.as_ref().map(|i| i as &dyn loader::Source),
            command_line: command_line.trim_end().as_bytes(),
            acpi: &tables,
        };
        loader::load(mem, &config)
    };
    let loaded = match memory {
        Memory::Whole(whole) => load(whole.ram()),
        Memory::Spanning(member) => member.fill(load),
    };
    loaded.map(Some).map_err(|e| e.to_string())
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
