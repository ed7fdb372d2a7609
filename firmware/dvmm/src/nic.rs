//! Finding and starting the NICs, and the port that all processors share.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use spin::Once;
use weft_drivers::e1000::{DMA_BYTES, E1000, Family};
use weft_drivers::virtio::{self, Signal, VirtioNet, Windows};
use weft_drivers::{Driver, driver_for};
use weft_hal::dma::Dma;
use weft_hal::pci::{self, Bar, Function, Interrupt};
use weft_hal::{apic, desc, ioapic, println};
use weft_platform::Nic;
use weft_transport::bridge::BoxedNic;
use weft_transport::port::{Port as Shared, SharedNic};
use weft_wire::agent::NicReport;

/// A NIC that works.
pub(crate) struct Port {
    pub(crate) nic: Box<dyn Nic + Send>,
    pub(crate) report: NicReport,
    interrupt: Option<Interrupt>,
}

/// The NIC that reaches the other nodes and the appliance.
static WIRE: Once<(Arc<Shared>, Option<Interrupt>)> = Once::new();

/// The shared port, once the node has one. Any processor may send and take frames of the interconnect.
pub(crate) fn wire() -> Option<&'static Arc<Shared>> {
    WIRE.get().map(|(port, _)| port)
}

/// Makes a NIC the shared port. Returns what the bridge gets of it.
pub(crate) fn share(port: Port) -> BoxedNic {
    let interrupt = port.interrupt;
    println!("weft: NIC {}", describe(interrupt));
    let (shared, _) = WIRE.call_once(|| (Arc::new(Shared::new(port.nic)), interrupt));
    SharedNic::boxed(shared)
}

/// Interrupts of one window of time after which the NIC is polled instead, and that window.
const STORM: u64 = 200;
const STORM_WINDOW_NS: u64 = 10_000_000;
/// How often a NIC that must be polled is looked at: while frames come, and when none has come for a while.
const BUSY_POLL_NS: u64 = 200_000;
const IDLE_POLL_NS: u64 = 2_000_000;
const BUSY_FOR_NS: u64 = 20_000_000;

/// How the first processor learns of frames. An interrupt is switched off while the NIC is served and on before the
/// processor does something else, so each costs one look; a storm of them is cut off by polling for a while. An
/// interrupt is relied on once it was seen: until then the NIC is polled beside it.
pub(crate) struct Watch {
    seen: u64,
    window_ns: u64,
    in_window: u64,
    polled: bool,
    /// Frames received, and when that last changed.
    frames: u64,
    active_ns: u64,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self { seen: 0, window_ns: 0, in_window: 0, polled: true, frames: 0, active_ns: 0 }
    }

    /// Before the NIC is served.
    pub(crate) fn begin(&mut self, now: u64) {
        let count = desc::nic_interrupts();
        let new = count - core::mem::replace(&mut self.seen, count);
        if now >= self.window_ns + STORM_WINDOW_NS {
            (self.window_ns, self.in_window) = (now, 0);
        }
        self.in_window += new;
        if let Some((port, Some(_))) = WIRE.get() {
            port.set_interrupts(false);
        }
    }

    /// After the NIC was served: whether frames wait already.
    pub(crate) fn end(&mut self) -> bool {
        let Some((port, interrupt)) = WIRE.get() else { return false };
        if self.in_window >= STORM || !port.set_interrupts(true) {
            self.polled = true;
            return false;
        }
        if *interrupt == Some(Interrupt::Line) {
            ioapic::unmask();
        }
        self.polled = self.seen == 0;
        port.waiting()
    }

    /// When to look at the NIC again, interrupts apart.
    pub(crate) fn next_look_ns(&mut self, now: u64) -> u64 {
        let Some(port) = wire().filter(|_| self.polled) else { return u64::MAX };
        let counters = port.counters();
        let frames = counters.links + counters.others;
        if core::mem::replace(&mut self.frames, frames) != frames {
            self.active_ns = now;
        }
        now + if now < self.active_ns + BUSY_FOR_NS { BUSY_POLL_NS } else { IDLE_POLL_NS }
    }
}

fn describe(interrupt: Option<Interrupt>) -> &'static str {
    match interrupt {
        Some(Interrupt::MsiX) => "interrupts by MSI-X",
        Some(Interrupt::Msi) => "interrupts by MSI",
        Some(Interrupt::Line) => "interrupts by its line",
        None => "cannot interrupt and is polled",
    }
}

/// Functions that have a driver, their registers made reachable. Before other processors start.
pub(crate) fn scan() -> Vec<Function> {
    let mut functions = pci::scan();
    functions.retain(|function| driver_for(function.id.0, function.id.1).is_some());
    pci::map_windows(&functions);
    functions
}

/// Starts the NICs of `functions`, in the order of their PCI addresses.
pub(crate) fn start(functions: &[Function]) -> Vec<Port> {
    let mut ports = Vec::new();
    for function in functions {
        let Some(driver) = driver_for(function.id.0, function.id.1) else { continue };
        match open(function, driver) {
            Ok((nic, interrupt)) => {
                let report = NicReport {
                    mac: nic.mac(),
                    driver: driver.name().into(),
                    pci_id: function.id,
                    link_up: true,
                    address: [0; 4],
                };
                ports.push(Port { nic, report, interrupt });
            }
            Err(error) => {
                println!("weft: NIC {:04x}:{:04x} does not start: {error}", function.id.0, function.id.1)
            }
        }
    }
    ports
}

/// Routes a function's interrupt to this processor.
fn route(function: &Function, wanted: &[Interrupt]) -> Option<Interrupt> {
    function.address.route_interrupt(apic::id(), desc::VECTOR_NIC, wanted)
}

type Opened = (Box<dyn Nic + Send>, Option<Interrupt>);

fn open(function: &Function, driver: Driver) -> Result<Opened, &'static str> {
    match driver {
        Driver::VirtioNet => open_virtio(function),
        Driver::E1000 | Driver::E1000e => {
            let family = if driver == Driver::E1000 { Family::Pci } else { Family::PciExpress };
            let window = Bar::open(function.address, 0).ok_or("no register window")?;
            let memory = Dma::new(DMA_BYTES).ok_or("no memory for its rings")?;
            let mut nic =
                E1000::new(family, window, memory).map_err(|_| "the device does not come out of reset")?;
            let interrupt = route(function, &[Interrupt::Msi, Interrupt::Line]);
            if interrupt.is_some() {
                nic.interrupt_is_routed();
            }
            Ok((Box::new(nic), interrupt))
        }
    }
}

fn open_virtio(function: &Function) -> Result<Opened, &'static str> {
    let address = function.address;
    address.enable();
    let layout = virtio::find(|offset| address.read(offset)).ok_or("no virtio 1 interface")?;
    let part = |part: virtio::Part| {
        Bar::open_part(address, part.bar, part.offset, part.length).ok_or("a register window is missing")
    };
    let windows = Windows {
        common: part(layout.common)?,
        notify: part(layout.notify)?,
        notify_multiplier: layout.notify_multiplier,
        isr: part(layout.isr)?,
        device: part(layout.device)?,
    };
    let interrupt = route(function, &[Interrupt::MsiX, Interrupt::Line]);
    let signal = match interrupt {
        Some(Interrupt::MsiX) => Signal::Vector(0),
        Some(Interrupt::Line) => Signal::Line,
        Some(Interrupt::Msi) | None => Signal::None,
    };
    let nic = VirtioNet::new(windows, Dma::new, signal).map_err(|error| match error {
        virtio::SetupError::Window => "a register window is too small",
        virtio::SetupError::Memory => "no memory for its rings",
        virtio::SetupError::Reset => "the device does not come out of reset",
        virtio::SetupError::Features => "the device refuses the features that are needed",
        virtio::SetupError::Queue => "the device lacks a queue",
    })?;
    Ok((Box::new(nic), interrupt))
}
