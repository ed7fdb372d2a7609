//! A guest's memory on one node of a server that spans nodes: the span with its engine and links, the frames
//! that are here, and the way to the wire.
//!
//! Locks, in the order in which they are taken: the machine's (by the caller), the span, the nested tables, the
//! wire's port. Whoever moved a page sends what follows from it at once: a vCPU's processor asks for a page
//! without waiting for management.

use super::End;
use super::filler::Filler;
use super::join::end_message;
use super::memory::{DEVICES, Touched};
use super::processors::Processors;
use crate::nic;
use crate::shadow::{ShadowPaging, Tables};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use spin::{Mutex, MutexGuard};
use weft_coherence::Page;
use weft_coherence::content::PAGE_BYTES;
use weft_hal::frames::TableFrames;
use weft_hal::sparse_ram::SparseRam;
use weft_hal::{cpu, time};
use weft_node::span::{NoFrame, Span, SpanConfig, SpanEvent, SpanHost};
use weft_paging::{NestedTables, PageSize, Rights};
use weft_platform::{Access, GuestMemory, MemError};
use weft_transport::interconnect::Identity;
use weft_types::{Gpa, PAGE_SIZE, VsId};
use weft_wire::figures::SpanFigures;
use weft_wire::span::{MAX_SPAN_PAYLOAD, SpanMessage};

/// Messages for the machine that wait, at most: beyond it the server stops.
const MAX_INBOX: usize = 4096;

/// See the module.
pub(crate) struct Member {
    span: Mutex<Span<NodeHost>>,
    identity: Identity,
    me: u8,
    macs: Vec<[u8; 6]>,
    tables: Arc<Tables>,
    processors: Arc<Processors>,
    /// One after the other deals with messages, so that they keep their order.
    order: Mutex<()>,
    refused: AtomicU64,
    end_told: AtomicBool,
    /// Messages that the machine has not taken, in order.
    inbox: Mutex<VecDeque<(u8, SpanMessage, Vec<u8>)>>,
    /// Why the server cannot go on.
    failed: Mutex<Option<String>>,
    /// The engine waits for processors to leave the guest.
    awaits_flush: Arc<AtomicBool>,
    /// The devices wait for a page.
    devices_parked: Arc<AtomicBool>,
    /// Pages were asked for on behalf of devices since their last operation was done.
    devices_asked: AtomicBool,
    adopted: AtomicBool,
    next_ns: AtomicU64,
    /// Takings that had to wait for an instruction, when processors were last asked to leave the guest for it.
    deferred: AtomicU64,
}

/// What the span asks of this node.
pub(crate) struct NodeHost {
    ram: SparseRam,
    tables: Arc<Tables>,
    processors: Arc<Processors>,
    devices_parked: Arc<AtomicBool>,
    awaits_flush: Arc<AtomicBool>,
    shadow: Option<Arc<ShadowPaging>>,
}

impl Member {
    /// A member without pages. `macs` are the members' hardware addresses in their order, `ranges` the guest's
    /// memory: first address and bytes.
    pub(crate) fn new(
        config: &SpanConfig,
        macs: Vec<[u8; 6]>,
        ranges: Vec<(u64, u64)>,
        tables: Arc<Tables>,
        processors: Arc<Processors>,
        shadow: Option<Arc<ShadowPaging>>,
    ) -> Result<Self, String> {
        let devices_parked = Arc::new(AtomicBool::new(false));
        let awaits_flush = Arc::new(AtomicBool::new(false));
        let host = NodeHost {
            ram: SparseRam::new(ranges),
            tables: tables.clone(),
            processors: processors.clone(),
            devices_parked: devices_parked.clone(),
            awaits_flush: awaits_flush.clone(),
            shadow,
        };
        let span = Span::new(config, host, time::now_ns())?;
        Ok(Self {
            identity: span.identity(),
            span: Mutex::new(span),
            me: config.me,
            macs,
            tables,
            processors,
            order: Mutex::new(()),
            refused: AtomicU64::new(0),
            end_told: AtomicBool::new(false),
            inbox: Mutex::new(VecDeque::new()),
            failed: Mutex::new(None),
            awaits_flush,
            devices_parked,
            devices_asked: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            next_ns: AtomicU64::new(0),
            deferred: AtomicU64::new(0),
        })
    }

    /// Which links are this server's.
    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// This member's number.
    pub(crate) fn me(&self) -> u8 {
        self.me
    }

    /// How many members there are.
    pub(crate) fn members(&self) -> u8 {
        self.macs.len() as u8
    }

    /// Counts removals from the nested tables.
    pub(crate) fn generation(&self) -> u64 {
        self.tables.lock().as_ref().map_or(0, NestedTables::generation)
    }

    /// Fills the guest's memory before its start; pages come into being here.
    pub(crate) fn fill<T>(&self, load: impl FnOnce(&dyn GuestMemory) -> T) -> T {
        let mut span = self.span.lock();
        let filler = Filler::new(&mut span.host().ram);
        load(&filler)
    }

    /// Tells the other members which pages were filled here.
    pub(crate) fn adopt(&self) {
        let mut span = self.span.lock();
        for (first, count) in span.host().ram.runs() {
            span.adopt(time::now_ns(), Page(first.0 / PAGE_SIZE), count);
        }
        self.after(&mut span);
    }

    /// Shortest round trip to each member, microseconds; 0: unknown, or this member.
    pub(crate) fn round_trips_us(&self) -> Vec<u32> {
        let span = self.span.lock();
        let least = |other: u8| span.link_stats(other).and_then(|stats| stats.rtt_least_ns);
        (0..self.members())
            .map(|other| least(other).map_or(0, |ns| (ns / 1000).clamp(1, 1 << 31) as u32))
            .collect()
    }

    /// The member before this one that sends most about pages here.
    pub(crate) fn busiest_before(&self) -> Option<u8> {
        self.span.lock().busiest_before()
    }

    /// Whether all members know which pages were filled here.
    pub(crate) fn is_adopted(&self) -> bool {
        // Each stretch of pages is confirmed by itself; the engine is idle when all are.
        self.adopted.load(Ordering::Acquire) && self.span.lock().engine().is_idle()
    }

    /// Lets a vCPU reach a page that it touched, or parks it until it can.
    pub(crate) fn touch(&self, vcpu: usize, gpa: Gpa, access: Access) -> Result<Touched, String> {
        let mut span = self.span.lock();
        if !self.want(&mut span, vcpu as u16, gpa, access) {
            return Ok(Touched::Parked);
        }
        if access == Access::Write {
            span.host().end_watch(gpa);
        }
        Ok(Touched::Mapped)
    }

    fn want(&self, span: &mut Span<NodeHost>, waiter: u16, gpa: Gpa, access: Access) -> bool {
        // Before it is asked for, so that an answer which comes at once is not lost.
        self.mark(waiter, true);
        let held = span.want(time::now_ns(), waiter, gpa, access);
        if held {
            self.mark(waiter, false);
        }
        self.after(span);
        held
    }

    fn mark(&self, waiter: u16, parked: bool) {
        match (waiter, parked) {
            (DEVICES, parked) => {
                self.devices_parked.store(parked, Ordering::Release);
                self.devices_asked.store(true, Ordering::Release);
            }
            (vcpu, true) => self.processors.park(usize::from(vcpu)),
            (vcpu, false) => self.processors.unpark(usize::from(vcpu)),
        }
    }

    /// The instruction for which a waiter asked for pages is done.
    pub(crate) fn retired(&self, waiter: u16) {
        let mut span = self.span.lock();
        span.retired(time::now_ns(), waiter);
        self.after(&mut span);
    }

    /// The devices' operation is done, unless it waits for a page.
    pub(crate) fn devices_done(&self) {
        if !self.devices_parked() && self.devices_asked.swap(false, Ordering::AcqRel) {
            self.retired(DEVICES);
        }
    }

    /// A processor has left the guest: flushes may be over.
    pub(crate) fn left(&self) {
        if self.awaits_flush.load(Ordering::SeqCst) {
            let mut span = self.span.lock();
            span.flushed(time::now_ns());
            self.after(&mut span);
        }
    }

    /// Takes a frame of this server's links.
    pub(crate) fn frame(&self, frame: &[u8]) {
        let mut span = self.span.lock();
        span.frame(time::now_ns(), frame);
        self.after(&mut span);
    }

    /// Timers; returns when it wants to be called again.
    pub(crate) fn poll(&self, now_ns: u64) -> u64 {
        if now_ns >= self.next_ns.load(Ordering::Acquire) {
            let mut span = self.span.lock();
            span.poll(now_ns);
            self.after(&mut span);
        }
        self.next_ns.load(Ordering::Acquire)
    }

    /// Sends a message to a member.
    pub(crate) fn send(&self, to: u8, message: &SpanMessage, payload: &[u8]) {
        let mut span = self.span.lock();
        span.send(time::now_ns(), to, message, payload);
        self.after(&mut span);
    }

    /// Sends a message to all other members.
    pub(crate) fn send_all(&self, message: &SpanMessage, payload: &[u8]) {
        for to in (0..self.members()).filter(|to| *to != self.me) {
            self.send(to, message, payload);
        }
    }

    /// The next message for the machine.
    pub(crate) fn next_message(&self) -> Option<(u8, SpanMessage, Vec<u8>)> {
        self.inbox.lock().pop_front()
    }

    /// Gives a message back that needs a page first.
    pub(crate) fn postpone(&self, message: (u8, SpanMessage, Vec<u8>)) {
        self.inbox.lock().push_front(message);
    }

    /// Taken by who deals with messages.
    pub(crate) fn serve_in_order(&self) -> MutexGuard<'_, ()> {
        self.order.lock()
    }

    /// Counts a message that made no sense to the machine.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the other members once that the server ends.
    pub(crate) fn tell_end(&self, end: &End) {
        if !self.end_told.swap(true, Ordering::AcqRel) {
            let (message, words) = end_message(end);
            self.send_all(&message, words.get(..MAX_SPAN_PAYLOAD).unwrap_or(words));
        }
    }

    /// Whether the devices wait for a page.
    pub(crate) fn devices_parked(&self) -> bool {
        self.devices_parked.load(Ordering::Acquire)
    }

    /// Why the server cannot go on, once.
    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failed.lock().take()
    }

    /// Figures, a line for each thing that has some.
    pub(crate) fn report(&self) -> Vec<String> {
        let span = self.span.lock();
        let mut lines = Vec::new();
        let mut faults = String::from("coherence");
        for (name, count) in span.engine_counters().each().filter(|(_, count)| *count != 0) {
            faults.push_str(&alloc::format!(" {name} {count}"));
        }
        lines.push(faults);
        let engine = span.engine_counters();
        for (name, latency) in [("read", &engine.read_latency), ("write", &engine.write_latency)] {
            let mut text = alloc::format!(
                "{name} latency, mean {} us:",
                latency.total_ns / 1000 / latency.count().max(1)
            );
            for (bucket, count) in latency.buckets.iter().enumerate().filter(|(_, count)| **count != 0) {
                text.push_str(&alloc::format!(" {}us {count}", (1u64 << bucket) / 1000));
            }
            lines.push(text);
        }
        lines.push(alloc::format!("hottest pages {:?}", span.engine().hottest()));
        lines.push(alloc::format!("span {:?}, frames dropped {:?}", span.counters(), span.link_drops()));
        for other in (0..self.members()).filter(|other| *other != self.me) {
            lines.push(alloc::format!("link to {other}: {:?}", span.link_stats(other)));
        }
        if let Some(port) = nic::wire() {
            lines.push(alloc::format!("port {:?}", port.counters()));
        }
        lines
    }

    /// Bytes of the node that pages, old contents and twins take.
    pub(crate) fn taken(&self) -> u64 {
        self.span.lock().engine().frames_used().saturating_mul(PAGE_SIZE)
    }

    /// Figures for the appliance. `homes` are the vCPUs that run here, and the processor of each.
    pub(crate) fn figures(
        &self,
        vs: VsId,
        instance: u64,
        homes: impl Iterator<Item = (usize, usize)>,
    ) -> SpanFigures {
        self.span.lock().figures(vs, instance, time::now_ns(), homes)
    }

    /// What follows from every call: frames leave, events find their way, the next look is set.
    fn after(&self, span: &mut Span<NodeHost>) {
        let now = time::now_ns();
        if let Some(port) = nic::wire() {
            span.transmit(now, &mut |to, head, piece| match self.macs.get(usize::from(to)) {
                // A frame that the NIC does not take is sent again by its timer.
                Some(mac) => port.transmit_link(*mac, head, piece).is_ok(),
                None => true,
            });
        }
        for event in span.take_events() {
            self.event(event);
        }
        self.awaits_flush.store(span.awaits_flush(), Ordering::SeqCst);
        // Somebody waits for an instruction here. It is done by now, most likely, and only an exit shows it.
        let deferred = span.engine_counters().deferred;
        if self.deferred.swap(deferred, Ordering::Relaxed) != deferred {
            self.processors.nudge();
        }
        self.next_ns.store(span.next_ns(now), Ordering::Release);
    }

    fn event(&self, event: SpanEvent) {
        match event {
            SpanEvent::Message { from, message, payload } => {
                let mut inbox = self.inbox.lock();
                if inbox.len() < MAX_INBOX {
                    inbox.push_back((from, message, payload));
                } else {
                    self.failed.lock().get_or_insert_with(|| "too many messages wait for the devices".into());
                }
            }
            SpanEvent::Adopted => self.adopted.store(true, Ordering::Release),
            SpanEvent::Stop(cause) => {
                self.failed.lock().get_or_insert(cause);
            }
        }
    }

    /// Copies from guest memory for a waiter.
    pub(crate) fn read(&self, waiter: u16, gpa: Gpa, out: &mut [u8]) -> Result<(), MemError> {
        let mut span = self.span.lock();
        self.hold(&mut span, waiter, gpa, out.len(), Access::Read)?;
        let mut rest = out;
        for (at, length) in pieces(gpa, rest.len()) {
            let (now, later) = rest.split_at_mut(length);
            if !span.host().ram.read(at, now) {
                return Err(MemError::Unbacked { gpa: at });
            }
            rest = later;
        }
        Ok(())
    }

    /// Copies to guest memory for a waiter.
    pub(crate) fn write(&self, waiter: u16, gpa: Gpa, data: &[u8]) -> Result<(), MemError> {
        let mut span = self.span.lock();
        self.hold(&mut span, waiter, gpa, data.len(), Access::Write)?;
        let mut rest = data;
        for (at, length) in pieces(gpa, rest.len()) {
            let (now, later) = rest.split_at(length);
            if !span.host().ram.write(at, now) {
                return Err(MemError::Unbacked { gpa: at });
            }
            rest = later;
        }
        Ok(())
    }

    /// Compares and exchanges 8 bytes of guest memory for a waiter.
    pub(crate) fn compare_exchange(
        &self,
        waiter: u16,
        gpa: Gpa,
        old: u64,
        new: u64,
    ) -> Result<u64, MemError> {
        let mut span = self.span.lock();
        self.hold(&mut span, waiter, gpa, 8, Access::Write)?;
        span.host().ram.compare_exchange(gpa, old, new).ok_or(MemError::Unbacked { gpa })
    }

    /// Makes sure that all pages of an access are here, before anything is done.
    fn hold(
        &self,
        span: &mut Span<NodeHost>,
        waiter: u16,
        gpa: Gpa,
        length: usize,
        access: Access,
    ) -> Result<(), MemError> {
        for (at, _) in pieces(gpa, length) {
            if !span.host().ram.contains(at) {
                return Err(MemError::Unbacked { gpa: at });
            }
            if !self.want(span, waiter, at, access) {
                return Err(MemError::Need { gpa: at.page(), access });
            }
        }
        Ok(())
    }
}

/// An access, split at page borders.
pub(super) fn pieces(gpa: Gpa, length: usize) -> impl Iterator<Item = (Gpa, usize)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        if done >= length {
            return None;
        }
        let at = Gpa(gpa.0.saturating_add(done as u64));
        let step = (length - done).min((PAGE_SIZE - at.page_offset()) as usize);
        done += step;
        Some((at, step))
    })
}

fn address(page: Page) -> Gpa {
    page.gpa().unwrap_or(Gpa(u64::MAX))
}

impl NodeHost {
    /// The guest writes a page that may be written here: whoever watches it for its page tables learns of that.
    fn end_watch(&mut self, gpa: Gpa) {
        let Some(shadow) = &self.shadow else { return };
        // Under the lock of the tables: nobody begins a new watch in between.
        let _ = self.with_tables(|tables| {
            shadow.lose(gpa);
            match tables.query(&TableFrames, gpa) {
                Some(leaf) if !leaf.rights.write => {
                    tables.protect(&mut TableFrames, gpa.page(), Rights::ALL).is_ok()
                }
                Some(_) | None => false,
            }
        });
    }

    fn with_tables<T>(&self, work: impl FnOnce(&mut NestedTables) -> T) -> Option<T> {
        self.tables.lock().as_mut().map(work)
    }
}

impl SpanHost for NodeHost {
    fn guest_tsc(&self) -> u64 {
        self.processors.guest_tsc(cpu::rdtsc())
    }

    fn advance_tsc(&mut self, tsc: u64) {
        self.processors.advance_tsc(tsc);
    }

    fn read(&self, page: Page, out: &mut [u8; PAGE_BYTES]) -> bool {
        self.ram.read(address(page), out)
    }

    fn write(&mut self, page: Page, data: &[u8; PAGE_BYTES]) -> Result<(), NoFrame> {
        self.ram.take(address(page)).map_err(|_| NoFrame)?;
        if self.ram.write(address(page), data) { Ok(()) } else { Err(NoFrame) }
    }

    fn share_zero(&mut self, page: Page) -> Result<(), NoFrame> {
        self.ram.share_zero(address(page)).map(|_| ()).map_err(|_| NoFrame)
    }

    fn drop_frame(&mut self, page: Page) {
        self.ram.release(address(page));
    }

    fn map(&mut self, page: Page, write: bool) -> Result<(), NoFrame> {
        let gpa = address(page);
        let host = self.ram.frame(gpa).ok_or(NoFrame)?;
        let old = self.with_tables(|tables| tables.query(&TableFrames, gpa)).flatten();
        if old.is_some_and(|leaf| leaf.hpa != host) {
            // From the frame of zeros to one of its own: nobody may read the old one afterwards.
            self.unmap(page);
            let generation = self.begin_flush();
            self.processors.await_flush(generation);
        }
        let done = self.with_tables(|tables| {
            let watched = self.shadow.as_ref().is_some_and(|shadow| shadow.is_watched(gpa));
            let rights = if write && !watched { Rights::ALL } else { Rights::READ_ONLY };
            match tables.query(&TableFrames, gpa) {
                Some(_) => tables.protect(&mut TableFrames, gpa, rights).map(|_| ()),
                None => tables.map(&mut TableFrames, gpa, host, PageSize::Small, rights),
            }
        });
        match done {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(NoFrame),
        }
    }

    fn unmap(&mut self, page: Page) {
        // Under one lock: a watch that began in between would believe in a page that is gone. A page that was
        // never mapped here may still have been read for its table entries.
        let _ = self.with_tables(|tables| {
            if let Some(shadow) = &self.shadow {
                shadow.lose(address(page));
            }
            tables.unmap(&mut TableFrames, address(page)).is_ok()
        });
    }

    fn protect(&mut self, page: Page) {
        let _ = self
            .with_tables(|tables| tables.protect(&mut TableFrames, address(page), Rights::READ_ONLY).is_ok());
    }

    fn begin_flush(&mut self) -> u64 {
        let generation = self.with_tables(|tables| tables.generation()).unwrap_or(0);
        // Before anybody is asked to leave: who leaves at once must see that somebody waits for it.
        self.awaits_flush.store(true, Ordering::SeqCst);
        self.processors.expel(generation);
        generation
    }

    fn flushes_over(&self) -> u64 {
        let generation = self.with_tables(|tables| tables.generation()).unwrap_or(u64::MAX);
        self.processors.flushed_up_to(generation)
    }

    fn free_frames(&self) -> u64 {
        SparseRam::free_frames()
    }

    fn unpark(&mut self, waiter: u16) {
        if waiter == DEVICES {
            self.devices_parked.store(false, Ordering::Release);
        } else {
            self.processors.unpark(usize::from(waiter));
        }
    }
}
