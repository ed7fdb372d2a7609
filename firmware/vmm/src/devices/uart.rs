//! A 16550A serial port, as far as a driver can tell: FIFOs, interrupt causes, loopback, modem lines.
//!
//! Bytes leave at once, so the transmitter is always empty; "transmitter empty" is an interrupt cause
//! after each byte and when its enable bit is set. Received bytes wait in a bounded queue behind a
//! FIFO of 16. The interrupt is a level: [`Uart::interrupt`] is true while an enabled cause stands.
//! The baud rate is stored and has no effect.
//!
//! Source: National Semiconductor PC16550D data sheet; the probing of Linux's 8250 driver.

use alloc::collections::VecDeque;

use super::ring::OutputRing;

/// Bytes of console history that are kept.
pub const OUTPUT_BYTES: usize = 256 << 10;
/// Bytes of input that wait at most.
pub const INPUT_BYTES: usize = 4096;
const FIFO_BYTES: usize = 16;

const IER_RECEIVE: u8 = 1;
const IER_TRANSMIT: u8 = 2;
const IER_LINE: u8 = 4;
const IER_MODEM: u8 = 8;
const IIR_NONE: u8 = 1;
const IIR_MODEM: u8 = 0;
const IIR_TRANSMIT: u8 = 2;
const IIR_RECEIVE: u8 = 4;
const IIR_LINE: u8 = 6;
const IIR_TIMEOUT: u8 = 12;
const IIR_FIFO: u8 = 0xc0;
const FCR_ENABLE: u8 = 1;
const FCR_CLEAR_RECEIVE: u8 = 2;
const LCR_DIVISOR: u8 = 0x80;
const LSR_DATA: u8 = 1;
const LSR_OVERRUN: u8 = 2;
pub(crate) const LSR_EMPTY: u8 = 0x60;
const MCR_DTR: u8 = 1;
const MCR_RTS: u8 = 2;
const MCR_OUT1: u8 = 4;
const MCR_OUT2: u8 = 8;
const MCR_LOOP: u8 = 0x10;
const MSR_CTS: u8 = 0x10;
const MSR_DSR: u8 = 0x20;
const MSR_RING: u8 = 0x40;
const MSR_CARRIER: u8 = 0x80;

/// The port.
#[derive(Debug)]
pub struct Uart {
    enabled: u8,
    line_control: u8,
    modem_control: u8,
    fifo_control: u8,
    scratch: u8,
    divisor: u16,
    overrun: bool,
    transmit_cause: bool,
    modem_delta: u8,
    fifo: VecDeque<u8>,
    waiting: VecDeque<u8>,
    output: OutputRing,
}

impl Default for Uart {
    fn default() -> Self {
        Self::new()
    }
}

impl Uart {
    /// A port after reset.
    pub fn new() -> Self {
        Self {
            enabled: 0,
            line_control: 0,
            modem_control: MCR_OUT2,
            fifo_control: 0,
            scratch: 0,
            divisor: 12,
            overrun: false,
            transmit_cause: false,
            modem_delta: 0,
            fifo: VecDeque::new(),
            waiting: VecDeque::new(),
            output: OutputRing::new(OUTPUT_BYTES),
        }
    }

    /// Resets the registers; output so far stays.
    pub fn reset(&mut self) {
        let output = core::mem::replace(&mut self.output, OutputRing::new(0));
        *self = Self { output, ..Self::new() };
    }

    /// What the guest has printed.
    pub fn output(&self) -> &OutputRing {
        &self.output
    }

    /// Queues typed bytes and returns how many were taken; the rest found no room.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(INPUT_BYTES.saturating_sub(self.waiting.len()));
        self.waiting.extend(bytes.iter().take(count));
        self.refill();
        count
    }

    /// Level of the interrupt line.
    pub fn interrupt(&self) -> bool {
        self.cause() != IIR_NONE
    }

    /// The line status register, without the effect of reading it.
    pub fn line_status(&self) -> u8 {
        let overrun = if self.overrun { LSR_OVERRUN } else { 0 };
        LSR_EMPTY | overrun | if self.fifo.is_empty() { 0 } else { LSR_DATA }
    }

    /// Reads register `offset` (0 to 7; others read as ones).
    pub fn read(&mut self, offset: u16) -> u8 {
        let divisor = self.line_control & LCR_DIVISOR != 0;
        match offset {
            0 if divisor => self.divisor as u8,
            1 if divisor => (self.divisor >> 8) as u8,
            0 => {
                let byte = self.fifo.pop_front().unwrap_or(0);
                self.refill();
                byte
            }
            1 => self.enabled,
            2 => {
                let cause = self.cause();
                if cause == IIR_TRANSMIT {
                    self.transmit_cause = false;
                }
                cause | if self.fifo_control & FCR_ENABLE != 0 { IIR_FIFO } else { 0 }
            }
            3 => self.line_control,
            4 => self.modem_control,
            5 => {
                let status = self.line_status();
                self.overrun = false;
                status
            }
            6 => {
                let value = self.modem_status() | self.modem_delta;
                self.modem_delta = 0;
                value
            }
            7 => self.scratch,
            _ => 0xff,
        }
    }

    /// Writes register `offset` (0 to 7; others are ignored).
    pub fn write(&mut self, offset: u16, value: u8) {
        let divisor = self.line_control & LCR_DIVISOR != 0;
        match offset {
            0 if divisor => self.divisor = (self.divisor & 0xff00) | u16::from(value),
            1 if divisor => self.divisor = (self.divisor & 0x00ff) | u16::from(value) << 8,
            0 => self.transmit(value),
            1 => {
                let value = value & 0x0f;
                if value & !self.enabled & IER_TRANSMIT != 0 {
                    self.transmit_cause = true;
                }
                self.enabled = value;
            }
            2 => self.control_fifo(value),
            3 => self.line_control = value,
            4 => self.control_modem(value & 0x1f),
            7 => self.scratch = value,
            // Line and modem status cannot be written; nothing else is there.
            _ => {}
        }
    }

    fn transmit(&mut self, byte: u8) {
        if self.modem_control & MCR_LOOP == 0 {
            self.output.push(&[byte]);
        } else if self.fifo.len() < FIFO_BYTES {
            self.fifo.push_back(byte);
        } else {
            self.overrun = true;
        }
        self.transmit_cause = true;
    }

    fn control_fifo(&mut self, value: u8) {
        let switched = (value ^ self.fifo_control) & FCR_ENABLE != 0;
        if value & FCR_CLEAR_RECEIVE != 0 || switched {
            self.fifo.clear();
        }
        self.fifo_control = value & (FCR_ENABLE | 0xc0);
        self.refill();
    }

    fn control_modem(&mut self, value: u8) {
        let before = self.modem_status();
        self.modem_control = value;
        let after = self.modem_status();
        let changed = before ^ after;
        // Clear-to-send, data-set-ready and carrier report each change, ring only its end.
        let ring_ended = before & !after & MSR_RING;
        self.modem_delta |= ((changed & !MSR_RING) | ring_ended) >> 4;
        self.refill();
    }

    fn modem_status(&self) -> u8 {
        if self.modem_control & MCR_LOOP == 0 {
            return MSR_CTS | MSR_DSR | MSR_CARRIER;
        }
        [(MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RING), (MCR_OUT2, MSR_CARRIER)]
            .into_iter()
            .filter(|(output, _)| self.modem_control & output != 0)
            .fold(0, |status, (_, input)| status | input)
    }

    /// Moves waiting input to the FIFO once the driver has emptied it. Loopback is cut off from the
    /// line.
    fn refill(&mut self) {
        if self.modem_control & MCR_LOOP != 0 || !self.fifo.is_empty() {
            return;
        }
        let room = if self.fifo_control & FCR_ENABLE != 0 { FIFO_BYTES } else { 1 };
        let count = room.min(self.waiting.len());
        self.fifo.extend(self.waiting.drain(..count));
    }

    fn trigger_bytes(&self) -> usize {
        match (self.fifo_control & FCR_ENABLE, self.fifo_control >> 6) {
            (0, _) | (_, 0) => 1,
            (_, 1) => 4,
            (_, 2) => 8,
            _ => 14,
        }
    }

    /// The enabled cause of highest priority.
    fn cause(&self) -> u8 {
        let enabled = |bit| self.enabled & bit != 0;
        if enabled(IER_LINE) && self.overrun {
            IIR_LINE
        } else if enabled(IER_RECEIVE) && self.fifo.len() >= self.trigger_bytes() {
            IIR_RECEIVE
        } else if enabled(IER_RECEIVE) && !self.fifo.is_empty() {
            IIR_TIMEOUT
        } else if enabled(IER_TRANSMIT) && self.transmit_cause {
            IIR_TRANSMIT
        } else if enabled(IER_MODEM) && self.modem_delta != 0 {
            IIR_MODEM
        } else {
            IIR_NONE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THR: u16 = 0;
    const IER: u16 = 1;
    const IIR: u16 = 2;
    const FCR: u16 = 2;
    const LCR: u16 = 3;
    const MCR: u16 = 4;
    const LSR: u16 = 5;
    const MSR: u16 = 6;
    const SCRATCH: u16 = 7;

    /// The steps by which Linux's `autoconfig` tells a 16550A from its kin.
    #[test]
    fn a_driver_that_probes_finds_a_16550a() {
        let mut uart = Uart::new();
        uart.write(IER, 0);
        assert_eq!(uart.read(IER) & 0x0f, 0);
        uart.write(IER, 0x0f);
        assert_eq!(uart.read(IER), 0x0f);
        uart.write(IER, 0);
        uart.write(MCR, MCR_LOOP | 0x0a);
        assert_eq!(uart.read(MSR) & 0xf0, 0x90, "loopback of RTS and OUT2");
        uart.write(MCR, MCR_OUT2);
        uart.write(LCR, 0xbf);
        uart.write(FCR, 0);
        uart.write(LCR, 0);
        uart.write(FCR, 1);
        assert_eq!(uart.read(IIR) >> 6, 3, "FIFOs");
        uart.write(LCR, LCR_DIVISOR);
        assert_ne!(uart.read(2), 0, "no 16650");
        uart.write(LCR, 0);
        uart.write(FCR, 0x21);
        assert_eq!(uart.read(IIR) >> 5, 6, "no 16750");
        uart.write(IER, 0x40);
        assert_eq!(uart.read(IER) & 0x40, 0, "no XScale");
        uart.write(SCRATCH, 0xa5);
        assert_eq!(uart.read(SCRATCH), 0xa5);
    }

    #[test]
    fn the_divisor_hides_behind_its_latch() {
        let mut uart = Uart::new();
        uart.write(LCR, LCR_DIVISOR | 3);
        uart.write(0, 0x34);
        uart.write(1, 0x12);
        assert_eq!((uart.read(0), uart.read(1)), (0x34, 0x12));
        uart.write(LCR, 3);
        assert_eq!((uart.read(IER), uart.output().end()), (0, 0));
    }

    #[test]
    fn printed_bytes_come_out_and_the_transmitter_is_always_empty() {
        let mut uart = Uart::new();
        for byte in b"login: " {
            assert_eq!(uart.read(LSR) & LSR_EMPTY, LSR_EMPTY);
            uart.write(THR, *byte);
        }
        assert_eq!(uart.output().read_from(0, 100).1, b"login: ");
        assert!(!uart.interrupt(), "nothing is enabled");
    }

    #[test]
    fn transmitter_interrupts_come_at_enabling_and_after_each_byte_until_seen() {
        let mut uart = Uart::new();
        uart.write(IER, IER_TRANSMIT);
        assert!(uart.interrupt());
        assert_eq!(uart.read(IIR) & 0x0f, IIR_TRANSMIT);
        assert!(!uart.interrupt());
        assert_eq!(uart.read(IIR) & 0x0f, IIR_NONE);
        uart.write(THR, b'x');
        assert!(uart.interrupt());
        uart.write(IER, 0);
        assert!(!uart.interrupt());
        uart.write(IER, IER_TRANSMIT);
        assert!(uart.interrupt(), "enabling anew raises it again");
    }

    #[test]
    fn input_interrupts_by_trigger_level_or_timeout_and_is_read_in_order() {
        let mut uart = Uart::new();
        uart.write(FCR, 0x81);
        uart.write(IER, IER_RECEIVE);
        assert_eq!(uart.input(b"0123456789"), 10);
        assert_eq!(uart.read(IIR) & 0x0f, IIR_RECEIVE);
        let mut got = alloc::vec::Vec::new();
        while uart.read(LSR) & LSR_DATA != 0 {
            got.push(uart.read(0));
            if got.len() == 5 {
                assert_eq!(uart.read(IIR) & 0x0f, IIR_TIMEOUT);
            }
        }
        assert_eq!(got, b"0123456789");
        assert!(!uart.interrupt());
    }

    #[test]
    fn input_that_finds_no_room_is_refused_and_none_is_lost_before() {
        let mut uart = Uart::new();
        let typed = alloc::vec![b'k'; INPUT_BYTES * 2];
        let taken = uart.input(&typed);
        assert!((INPUT_BYTES..=INPUT_BYTES + FIFO_BYTES).contains(&taken));
        let mut got = 0;
        while uart.read(LSR) & LSR_DATA != 0 {
            assert_eq!(uart.read(0), b'k');
            got += 1;
        }
        assert_eq!(got, taken);
    }

    #[test]
    fn loopback_returns_bytes_overruns_and_keeps_the_line_apart() {
        let mut uart = Uart::new();
        uart.write(FCR, 1);
        uart.write(MCR, MCR_LOOP);
        uart.write(IER, IER_LINE);
        for n in 0..17 {
            uart.write(THR, n);
        }
        assert_eq!(uart.read(IIR) & 0x0f, IIR_LINE);
        assert_eq!(uart.read(LSR), LSR_EMPTY | LSR_OVERRUN | LSR_DATA);
        assert!(!uart.interrupt());
        uart.input(b"z");
        for n in 0..16 {
            assert_eq!(uart.read(0), n);
        }
        assert_eq!(uart.read(LSR) & LSR_DATA, 0);
        assert_eq!(uart.output().end(), 0);
        uart.write(MCR, 0);
        assert_eq!(uart.read(0), b'z');
    }

    #[test]
    fn a_reset_keeps_what_was_printed() {
        let mut uart = Uart::new();
        uart.write(THR, b'a');
        uart.write(IER, 0x0f);
        uart.reset();
        assert_eq!((uart.read(IER), uart.output().end()), (0, 1));
    }
}
