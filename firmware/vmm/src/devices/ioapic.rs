//! The IOAPIC: interrupt pins to messages for local APICs.
//!
//! ```text
//!  edge pin:   rise ─▶ pending ─(unmasked)─▶ message
//!  level pin:  high ─(unmasked, no remote IRR)─▶ message, remote IRR ─(EOI)─▶ looks again
//! ```
//!
//! An edge that comes while its pin is masked stays pending and is sent once when the pin is
//! unmasked; a real one would lose it, and no driver can rely on the loss. A level is sent again after
//! its end of interrupt as long as the line is high.
//!
//! Source: Intel 82093AA data sheet; version 0x20 adds the EOI register.

use crate::layout::IOAPIC_PINS;

const PINS: usize = IOAPIC_PINS as usize;
const SELECT: u64 = 0x00;
const WINDOW: u64 = 0x10;
const EOI: u64 = 0x40;
const REGISTER_ID: u8 = 0;
const REGISTER_VERSION: u8 = 1;
const REGISTER_ARBITRATION: u8 = 2;
const REGISTER_TABLE: u8 = 0x10;
const VERSION: u32 = 0x20;

const LOGICAL: u64 = 1 << 11;
const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
/// Bits that the guest writes: vector, mode, destination mode, polarity, trigger, mask, destination.
const WRITABLE: u64 = 0xff00_0000_0001_afff;

/// How a message is delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeliveryMode {
    /// To all destinations, by vector.
    Fixed,
    /// To the destination that is least busy, by vector.
    LowestPriority,
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
    /// INIT.
    Init,
    /// By an external controller, which this machine does not have.
    ExtInt,
    /// A reserved encoding.
    Reserved(u8),
}

impl DeliveryMode {
    /// From the three bits of a redirection entry or interrupt command.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            7 => Self::ExtInt,
            reserved => Self::Reserved(reserved),
        }
    }
}

/// An interrupt on its way to local APICs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Vector.
    pub vector: u8,
    /// Destination: an APIC id, or a set when `logical`. 0xff is all.
    pub destination: u8,
    /// Whether the destination is a logical one.
    pub logical: bool,
    /// How to deliver.
    pub delivery: DeliveryMode,
    /// Level-triggered: the local APIC reports its end of interrupt to [`IoApic::end_of_interrupt`].
    pub level: bool,
}

/// The controller.
#[derive(Debug)]
pub struct IoApic {
    id: u8,
    select: u8,
    entries: [u64; PINS],
    lines: u64,
    pending: u64,
}

impl Default for IoApic {
    fn default() -> Self {
        Self::new()
    }
}

impl IoApic {
    /// A controller after reset: all pins masked.
    pub fn new() -> Self {
        Self { id: 0, select: 0, entries: [MASKED; PINS], lines: 0, pending: 0 }
    }

    /// Sets the line of `pin` (a global system interrupt; pins that do not exist are ignored).
    pub fn set_line(&mut self, pin: u8, high: bool, send: &mut dyn FnMut(Message)) {
        if pin >= IOAPIC_PINS {
            return;
        }
        let bit = 1 << pin;
        let rose = high && self.lines & bit == 0;
        if high {
            self.lines |= bit;
        } else {
            self.lines &= !bit;
        }
        if rose {
            self.pending |= bit;
        }
        self.service(pin, send);
    }

    /// An edge on `pin`: high and low again.
    pub fn pulse(&mut self, pin: u8, send: &mut dyn FnMut(Message)) {
        self.set_line(pin, true, send);
        self.set_line(pin, false, send);
    }

    /// A local APIC that got a level-triggered message has ended the interrupt of `vector`.
    pub fn end_of_interrupt(&mut self, vector: u8, send: &mut dyn FnMut(Message)) {
        for pin in 0..IOAPIC_PINS {
            let Some(entry) = self.entries.get_mut(usize::from(pin)) else { continue };
            if *entry as u8 == vector && *entry & LEVEL != 0 && *entry & REMOTE_IRR != 0 {
                *entry &= !REMOTE_IRR;
                self.service(pin, send);
            }
        }
    }

    /// Reads the register at `offset` of the page.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            SELECT => u32::from(self.select),
            WINDOW => self.read_selected(),
            _ => 0,
        }
    }

    /// Writes the register at `offset` of the page.
    pub fn write(&mut self, offset: u64, value: u32, send: &mut dyn FnMut(Message)) {
        match offset {
            SELECT => self.select = value as u8,
            WINDOW => self.write_selected(value, send),
            EOI => self.end_of_interrupt(value as u8, send),
            // Reads and writes elsewhere in the page do nothing.
            _ => {}
        }
    }

    fn read_selected(&self) -> u32 {
        match self.select {
            REGISTER_ID | REGISTER_ARBITRATION => u32::from(self.id) << 24,
            REGISTER_VERSION => VERSION | (u32::from(IOAPIC_PINS) - 1) << 16,
            _ => match self.selected_entry() {
                Some((pin, high)) => {
                    let entry = self.entries.get(pin).copied().unwrap_or(0);
                    if high { (entry >> 32) as u32 } else { entry as u32 }
                }
                None => 0,
            },
        }
    }

    fn write_selected(&mut self, value: u32, send: &mut dyn FnMut(Message)) {
        if self.select == REGISTER_ID {
            self.id = (value >> 24) as u8 & 0x0f;
            return;
        }
        let Some((pin, high)) = self.selected_entry() else { return };
        let Some(entry) = self.entries.get_mut(pin) else { return };
        let written = if high {
            (*entry & 0xffff_ffff) | u64::from(value) << 32
        } else {
            (*entry & !0xffff_ffff) | u64::from(value)
        };
        let remote_irr = *entry & REMOTE_IRR;
        *entry = written & WRITABLE;
        if *entry & LEVEL != 0 {
            *entry |= remote_irr;
        }
        self.service(pin as u8, send);
    }

    fn selected_entry(&self) -> Option<(usize, bool)> {
        let index = usize::from(self.select.checked_sub(REGISTER_TABLE)?);
        let pin = index / 2;
        (pin < PINS).then_some((pin, index % 2 == 1))
    }

    /// Sends what pin `pin` has to send.
    fn service(&mut self, pin: u8, send: &mut dyn FnMut(Message)) {
        let Some(entry) = self.entries.get_mut(usize::from(pin)) else { return };
        let bit = 1 << pin;
        let level = *entry & LEVEL != 0;
        let due = if level {
            self.pending &= !bit;
            self.lines & bit != 0 && *entry & REMOTE_IRR == 0
        } else {
            self.pending & bit != 0
        };
        if !due || *entry & MASKED != 0 {
            return;
        }
        self.pending &= !bit;
        let delivery = DeliveryMode::from_bits((*entry >> 8) as u8);
        if level && matches!(delivery, DeliveryMode::Fixed | DeliveryMode::LowestPriority) {
            *entry |= REMOTE_IRR;
        }
        send(Message {
            vector: *entry as u8,
            destination: (*entry >> 56) as u8,
            logical: *entry & LOGICAL != 0,
            delivery,
            level,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn program(ioapic: &mut IoApic, pin: u8, entry: u64) -> Vec<Message> {
        let mut sent = Vec::new();
        for (half, value) in [(1, (entry >> 32) as u32), (0, entry as u32)] {
            ioapic.write(SELECT, u32::from(REGISTER_TABLE + 2 * pin + half), &mut |m| sent.push(m));
            ioapic.write(WINDOW, value, &mut |m| sent.push(m));
        }
        sent
    }

    fn line(ioapic: &mut IoApic, pin: u8, high: bool) -> Vec<Message> {
        let mut sent = Vec::new();
        ioapic.set_line(pin, high, &mut |m| sent.push(m));
        sent
    }

    fn end(ioapic: &mut IoApic, vector: u8) -> Vec<Message> {
        let mut sent = Vec::new();
        ioapic.end_of_interrupt(vector, &mut |m| sent.push(m));
        sent
    }

    fn selected(ioapic: &mut IoApic, register: u8) -> u32 {
        ioapic.write(SELECT, u32::from(register), &mut |_| panic!("selecting sends nothing"));
        ioapic.read(WINDOW)
    }

    #[test]
    fn the_version_register_names_48_pins_all_masked() {
        let mut ioapic = IoApic::new();
        assert_eq!(selected(&mut ioapic, REGISTER_VERSION), 0x002f_0020);
        for pin in 0..48 {
            assert_eq!(selected(&mut ioapic, REGISTER_TABLE + 2 * pin), MASKED as u32);
        }
        assert_eq!(selected(&mut ioapic, REGISTER_TABLE + 96), 0);
    }

    #[test]
    fn an_edge_is_sent_once_to_its_destination() {
        let mut ioapic = IoApic::new();
        assert_eq!(program(&mut ioapic, 20, 0x0300_0000_0000_0841), []);
        let message = Message {
            vector: 0x41,
            destination: 3,
            logical: true,
            delivery: DeliveryMode::Fixed,
            level: false,
        };
        assert_eq!(line(&mut ioapic, 20, true), [message]);
        assert_eq!(line(&mut ioapic, 20, true), []);
        assert_eq!(line(&mut ioapic, 20, false), []);
        let mut sent = Vec::new();
        ioapic.pulse(20, &mut |m| sent.push(m));
        assert_eq!(sent, [message]);
    }

    #[test]
    fn an_edge_on_a_masked_pin_waits_for_the_mask_to_go() {
        let mut ioapic = IoApic::new();
        assert_eq!(program(&mut ioapic, 17, 0x1_0041), []);
        for _ in 0..3 {
            assert_eq!(line(&mut ioapic, 17, true), []);
            assert_eq!(line(&mut ioapic, 17, false), []);
        }
        assert_eq!(program(&mut ioapic, 17, 0x41).len(), 1);
        assert_eq!(program(&mut ioapic, 17, 0x41), []);
    }

    #[test]
    fn a_level_is_sent_again_after_its_end_while_the_line_is_high() {
        let mut ioapic = IoApic::new();
        program(&mut ioapic, 4, 0x8030);
        assert_eq!(line(&mut ioapic, 4, true).len(), 1);
        assert_eq!(line(&mut ioapic, 4, true), [], "remote IRR holds it back");
        assert_eq!(selected(&mut ioapic, REGISTER_TABLE + 8) as u64 & REMOTE_IRR, REMOTE_IRR);
        assert_eq!(end(&mut ioapic, 0x31), [], "another vector");
        assert_eq!(end(&mut ioapic, 0x30).len(), 1);
        assert_eq!(line(&mut ioapic, 4, false), []);
        assert_eq!(end(&mut ioapic, 0x30), []);
        assert_eq!(line(&mut ioapic, 4, true).len(), 1);
    }

    #[test]
    fn a_level_on_a_masked_pin_is_sent_at_unmasking_only_if_still_high() {
        let mut ioapic = IoApic::new();
        program(&mut ioapic, 4, 0x1_8030);
        assert_eq!(line(&mut ioapic, 4, true), []);
        assert_eq!(line(&mut ioapic, 4, false), []);
        assert_eq!(program(&mut ioapic, 4, 0x8030), []);
        program(&mut ioapic, 4, 0x1_8030);
        line(&mut ioapic, 4, true);
        assert_eq!(program(&mut ioapic, 4, 0x8030).len(), 1);
    }

    #[test]
    fn changing_a_pin_to_edge_clears_its_remote_irr() {
        let mut ioapic = IoApic::new();
        program(&mut ioapic, 4, 0x8030);
        line(&mut ioapic, 4, true);
        program(&mut ioapic, 4, 0x1_0030);
        assert_eq!(selected(&mut ioapic, REGISTER_TABLE + 8) as u64 & REMOTE_IRR, 0);
    }

    #[test]
    fn the_eoi_register_ends_a_level_too() {
        let mut ioapic = IoApic::new();
        program(&mut ioapic, 4, 0x8030);
        line(&mut ioapic, 4, true);
        let mut sent = Vec::new();
        ioapic.write(EOI, 0x30, &mut |m| sent.push(m));
        assert_eq!(sent.len(), 1);
    }

    #[test]
    fn pins_that_do_not_exist_are_ignored() {
        let mut ioapic = IoApic::new();
        assert_eq!(line(&mut ioapic, 48, true), []);
        assert_eq!(line(&mut ioapic, 255, true), []);
        for register in 0..=255 {
            selected(&mut ioapic, register);
        }
    }
}
