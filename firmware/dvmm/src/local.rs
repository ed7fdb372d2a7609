//! A guest without an appliance, for measurements and tests: its kernel and ram disk lie in memory, where an emulator
//! put them, and the node's command line says where. Only a BIOS boot without the trusted path has a command line.
//!
//! `guest=KERNEL,BYTES,INITRD,BYTES,MIB,VCPUS` (addresses and sizes hexadecimal, the rest decimal), and
//! `append=WORD+WORD` for the guest's own command line. Its console goes to the node's. Each reset starts it again
//! until it switches itself off; then the counts are printed.
//!
//! `span=MAC/VCPUS/MIB,MAC/VCPUS/MIB…` makes it a server that spans the nodes with these hardware addresses, of
//! which the first loads it; further members need no `guest=`. Its key is not secret: there is nobody to trust here.
//! `report=SECONDS` prints the counts also while it runs. `drift=PERMILLE` lets this member's guest time run wrong: 1100 is
//! a tenth too fast. `vcpus=pinned` keeps its vCPUs at home.

use crate::guest::{End, Guest, GuestConfig, Share};
use crate::shadow::Paging;
use crate::{nic, schedule, shadow, span};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use spin::Mutex;
use weft_hal::{phys, println, serial, time};
use weft_types::handoff::Handoff;
use weft_types::{Hpa, NodeId, PartitionId, VsId};
use weft_vmm::cpu::exits::EXIT_NAMES;
use weft_wire::cluster::{LinkKey, Place, SpanSpec};

/// Console bytes moved at a time.
const CHUNK: usize = 4096;
/// Largest kernel or ram disk, bytes.
const MOST: u64 = 256 << 20;

struct Local {
    order: Order,
    guest: Arc<Guest>,
    console_seen: u64,
    started_ns: u64,
    reported_ns: u64,
}

struct Order {
    /// Empty where nothing is loaded.
    kernel: Vec<u8>,
    initrd: Vec<u8>,
    memory_mib: u32,
    vcpus: u16,
    append: String,
    span: Option<SpanSpec>,
    /// Times it was started; each is an epoch of its own.
    starts: u64,
}

/// How often counts are printed while it runs; 0: never.
static REPORT_NS: AtomicU64 = AtomicU64::new(0);
static LOCAL: Mutex<Option<Local>> = Mutex::new(None);
/// How fast guest time runs here, of 1000.
static DRIFT: AtomicU64 = AtomicU64::new(1000);

/// How fast the guest time of spanning servers runs on this node beside what it should; 1000 but for tests.
pub(crate) fn drift_permille() -> u64 {
    DRIFT.load(Ordering::Relaxed)
}

/// Starts the guest that the command line asks for, if it does. The wire must be there for one that spans nodes.
pub(crate) fn start(handoff: &Handoff) {
    let cmdline = handoff.cmdline.get(..usize::from(handoff.cmdline_len)).unwrap_or(&[]);
    let Ok(text) = core::str::from_utf8(cmdline) else { return };
    let word = |name| text.split_ascii_whitespace().find_map(|word: &str| word.strip_prefix(name));
    let seconds = word("report=").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    REPORT_NS.store(seconds.saturating_mul(1_000_000_000), Ordering::Relaxed);
    let drift = word("drift=").and_then(|text| text.parse::<u64>().ok()).unwrap_or(1000);
    DRIFT.store(drift.clamp(500, 2000), Ordering::Relaxed);
    let (guest, members) = (word("guest="), word("span="));
    if guest.is_none() && members.is_none() {
        return;
    }
    let pinned = word("vcpus=") == Some("pinned");
    match parse(guest, members, pinned, word("append=").unwrap_or("")) {
        Some(order) => run(order),
        None => println!("weft guest: the order is not understood: {text}"),
    }
}

fn parse(guest: Option<&str>, members: Option<&str>, pinned: bool, append: &str) -> Option<Order> {
    let mut order = match guest {
        Some(guest) => parse_guest(guest, append)?,
        None => Order {
            kernel: Vec::new(),
            initrd: Vec::new(),
            memory_mib: 0,
            vcpus: 0,
            append: String::new(),
            span: None,
            starts: 0,
        },
    };
    if let Some(members) = members {
        let places: Vec<Place> = members.split(',').map(parse_place).collect::<Option<_>>()?;
        order.vcpus = places.iter().map(|place| place.vcpus).sum();
        order.memory_mib = places.iter().map(|place| place.memory_mib).sum();
        let (partition, key) = (PartitionId([0; 16]), LinkKey([0; 32]));
        order.span = Some(SpanSpec { partition, epoch: 1, key, pinned, places });
    }
    Some(order)
}

/// `MAC/VCPUS/MIB`. The address doubles as the node's identity.
fn parse_place(text: &str) -> Option<Place> {
    let mut fields = text.split('/');
    let mut mac = [0; 6];
    let mut digits = fields.next()?.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(digits.next()?, 16).ok()?;
    }
    let vcpus = fields.next()?.parse().ok()?;
    let memory_mib = fields.next()?.parse().ok()?;
    Some(Place { node: identity(mac), mac, address: [0; 4], vcpus, memory_mib })
}

fn identity(mac: [u8; 6]) -> NodeId {
    let mut id = [0; 16];
    id[..6].copy_from_slice(&mac);
    NodeId(id)
}

fn parse_guest(order: &str, append: &str) -> Option<Order> {
    let mut fields = order.split(',');
    let mut hex = || u64::from_str_radix(fields.next()?.trim_start_matches("0x"), 16).ok();
    let (kernel, kernel_size, initrd, initrd_size) = (hex()?, hex()?, hex()?, hex()?);
    let memory_mib = fields.next()?.parse().ok()?;
    let vcpus = fields.next()?.parse().ok().filter(|n| (1..=32).contains(n))?;
    Some(Order {
        kernel: bytes(kernel, kernel_size)?,
        initrd: bytes(initrd, initrd_size)?,
        memory_mib,
        vcpus,
        append: append.replace('+', " "),
        span: None,
        starts: 0,
    })
}

fn bytes(at: u64, size: u64) -> Option<Vec<u8>> {
    if size > MOST {
        return None;
    }
    let mut out = alloc::vec![0; size as usize];
    phys::read_firmware(Hpa(at), &mut out);
    Some(out)
}

fn run(mut order: Order) {
    order.starts += 1;
    let starts = order.starts;
    if let Some(span) = &mut order.span {
        span.epoch = starts;
    }
    let share = order.span.as_ref().and_then(|span| {
        let own = identity(nic::wire()?.mac());
        span.index_of(own).map(|index| Share { span, index })
    });
    if order.span.is_some() && share.is_none() {
        println!("weft guest: this node is no member");
        return;
    }
    let config = GuestConfig {
        id: VsId([0xfe; 16]),
        instance: 1,
        vcpus: order.vcpus,
        memory_mib: order.memory_mib,
        macs: &[],
        kernel: (!order.kernel.is_empty()).then_some(order.kernel.as_slice()),
        initrd: (!order.initrd.is_empty()).then_some(order.initrd.as_slice()),
        append: &order.append,
        unix_ns: 0,
        affinity: &[],
        paging: if share.is_some() { Paging::Shadow } else { shadow::default_paging() },
        share,
    };
    match Guest::load(&config) {
        Ok(guest) => {
            let guest = Arc::new(guest);
            span::add(&guest);
            schedule::add(guest.clone());
            *LOCAL.lock() = Some(Local {
                order,
                guest,
                console_seen: 0,
                started_ns: time::now_ns(),
                reported_ns: time::now_ns(),
            });
        }
        Err(reason) => println!("weft guest: not started: {reason}"),
    }
}

/// Moves console bytes, and sees to the guest's end. Called from the first processor's loop; returns when it wants
/// to be called again.
pub(crate) fn poll() -> u64 {
    let mut slot = LOCAL.lock();
    let now = time::now_ns();
    let Some(local) = slot.as_mut() else { return u64::MAX };
    let mut machine = local.guest.machine.lock();
    let (from, bytes) = machine.console_output(local.console_seen, CHUNK);
    drop(machine);
    if !bytes.is_empty() {
        local.console_seen = from + bytes.len() as u64;
        serial::print(format_args!("{}", String::from_utf8_lossy(&bytes)));
        return now;
    }
    let every = REPORT_NS.load(Ordering::Relaxed);
    if every != 0 && now >= local.reported_ns + every {
        local.reported_ns = now;
        print_counts(&local.guest);
    }
    local.guest.exchange_frames(0, &mut NoPorts);
    let pause = if local.guest.late_pages().is_some() { 200_000 } else { 10_000_000 };
    let Some(end) = local.guest.ended() else { return now + pause };
    schedule::remove(&local.guest);
    span::remove(&local.guest);
    println!("weft guest: {end:?} after {} ms", (now - local.started_ns) / 1_000_000);
    print_counts(&local.guest);
    let local = slot.take();
    drop(slot);
    if let (End::Reset, Some(Local { order, .. })) = (end, local) {
        run(order);
    }
    now
}

fn print_counts(guest: &Guest) {
    let mut text = String::from("weft guest: exits");
    let machine = guest.machine.lock();
    for (name, count) in EXIT_NAMES.iter().zip(machine.exits()) {
        text.push_str(&alloc::format!(" {name} {count}"));
    }
    println!("{text}");
    for vcpu in 0..machine.vcpu_count() {
        let (at, moves) = (machine.place().lives_at(vcpu).unwrap_or(0), machine.place().moves(vcpu));
        println!("weft guest: vCPU {vcpu} at member {at}, moves {moves}");
    }
    drop(machine);
    if let Some(member) = guest.member() {
        for line in member.report() {
            println!("weft guest: {line}");
        }
    }
    if let Some((late, lost)) = guest.late_pages() {
        println!("weft guest: pages late {late} lost {lost}");
    }
    for (vcpu, counters) in guest.shadow_counters().iter().enumerate() {
        println!("weft guest: shadow of vCPU {vcpu}: {counters:?}");
    }
    println!("weft guest: no more figures");
}

struct NoPorts;

impl crate::guest::Exchange for NoPorts {
    fn from_guest(&mut self, _port: u16, _frame: &[u8]) {}

    fn to_guest(&mut self, _port: u16) -> Option<Vec<u8>> {
        None
    }
}
