//! A guest that attacks its monitor: a bzImage whose "kernel" executes random privileged instructions, port,
//! MSR and device accesses, hypercalls and interrupt commands, for ever or for a number of rounds.
//!
//! The program is data: each attack is a slot of [`SLOT`] bytes, and whatever exception it raises, the handler
//! goes on with the slot after it. Same seed, same bytes. Each round prints `r` on the serial console; after
//! the last round the guest prints `hostile: done` and powers off.
//!
//! ```text
//! payload + 0x200  entry: stack, IDT, then the first slot
//!         + 0x400  exception handlers (without and with error code)
//!         + 0xa00  program of a second processor, copied below 1 MiB
//!         + 0x1000 IDT, filled by the entry code
//!         + 0x4000 slots
//! ```

/// Bytes of an attack, padding included.
const SLOT: usize = 64;
/// Where the payload is loaded.
pub(crate) const BASE: u32 = 0x100_0000;
const SETUP_BYTES: usize = 1024;
const ENTRY: usize = 0x200;
const HANDLER: usize = 0x400;
const HANDLER_CODE: usize = 0x440;
const IDT: usize = 0x1000;
const POINTER: usize = 0x800;
const ROUNDS: usize = 0x900;
const SECOND: usize = 0xa00;
const SLOTS: usize = 0x4000;
/// Where a second processor starts: a page below 1 MiB that the monitor's boot protocol leaves free.
const SECOND_START: u32 = 0x5_0000;
const APIC_BASE: u32 = 0x1b;
/// Interrupt command register of the x2APIC.
const ICR: u32 = 0x830;
/// Commands to a second processor (identifier 1): reset, and start at [`SECOND_START`].
const INIT: u64 = 1 << 32 | 0x4500;
const STARTUP: u64 = 1 << 32 | 0x4600 | (SECOND_START >> 12) as u64;
/// Top of the stack, below the payload.
const STACK: u32 = BASE - 0x1000;
/// Vectors whose exceptions push an error code.
const WITH_CODE: [u8; 10] = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
/// Ports that end or restart the guest.
const POWER_PORTS: core::ops::RangeInclusive<u16> = 0x600..=0x602;

/// How hard to attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Same seed, same program.
    pub seed: u64,
    /// Different attacks.
    pub slots: usize,
    /// Times that they are gone through.
    pub rounds: u32,
    /// Also what a monitor may only answer by stopping the guest: string ports, atomic operations on device
    /// registers, jumps into devices.
    pub fatal: bool,
    /// Processors of the guest, 1 or 2. The second one sends interrupts as fast as it can, and is reset and
    /// started again in the middle of it.
    pub processors: u8,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }

    /// Small, large, all-ones and arbitrary values alike.
    fn value(&mut self) -> u64 {
        match self.next() % 4 {
            0 => self.next() % 256,
            1 => self.next() & 0xffff_f000,
            2 => u64::MAX >> (self.next() % 64),
            _ => self.next(),
        }
    }
}

struct Code(Vec<u8>);

impl Code {
    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn eax(&mut self, value: u32) -> &mut Self {
        self.put(&[0xb8]).put(&value.to_le_bytes())
    }

    fn rax(&mut self, value: u64) -> &mut Self {
        self.put(&[0x48, 0xb8]).put(&value.to_le_bytes())
    }

    fn ecx(&mut self, value: u32) -> &mut Self {
        self.put(&[0xb9]).put(&value.to_le_bytes())
    }

    fn edx(&mut self, value: u32) -> &mut Self {
        self.put(&[0xba]).put(&value.to_le_bytes())
    }

    fn rbx(&mut self, value: u64) -> &mut Self {
        self.put(&[0x48, 0xbb]).put(&value.to_le_bytes())
    }

    /// `mov byte/dword [absolute], …` of the entry code, by rdi.
    fn edi(&mut self, value: u32) -> &mut Self {
        self.put(&[0xbf]).put(&value.to_le_bytes())
    }
}

const MSRS: [u32; 30] = [
    0x10,
    0x1b,
    0x3a,
    0x48,
    0x8b,
    0xfe,
    0x174,
    0x179,
    0x17a,
    0x1a0,
    0x1d9,
    0x277,
    0x2ff,
    0x6e0,
    0x802,
    0x808,
    0x80b,
    0x80f,
    0x828,
    0x832,
    0x838,
    0x83e,
    0x83f,
    0xc000_0080,
    0xc000_0103,
    0xc001_0015,
    0xc001_0114,
    0xc001_0117,
    0x4b56_4d00,
    0x4b56_4d01,
];

/// Privileged and SVM instructions without operands of their own.
const INSTRUCTIONS: [&[u8]; 22] = [
    &[0x0f, 0x01, 0xd8], // VMRUN
    &[0x0f, 0x01, 0xd9], // VMMCALL
    &[0x0f, 0x01, 0xda], // VMLOAD
    &[0x0f, 0x01, 0xdb], // VMSAVE
    &[0x0f, 0x01, 0xdc], // STGI
    &[0x0f, 0x01, 0xdd], // CLGI
    &[0x0f, 0x01, 0xde], // SKINIT
    &[0x0f, 0x01, 0xdf], // INVLPGA
    &[0x0f, 0x01, 0xc1], // VMCALL
    &[0x0f, 0x01, 0xc8], // MONITOR
    &[0x0f, 0x01, 0xc9], // MWAIT
    &[0x0f, 0x01, 0xd1], // XSETBV
    &[0x0f, 0x01, 0xf9], // RDTSCP
    &[0x0f, 0x08],       // INVD
    &[0x0f, 0x09],       // WBINVD
    &[0x0f, 0x0b],       // UD2
    &[0x0f, 0x33],       // RDPMC
    &[0x0f, 0xaa],       // RSM
    &[0x0f, 0xa2],       // CPUID
    &[0x0f, 0x06],       // CLTS
    &[0xcc],             // INT3
    &[0xf1],             // INT1
];

fn device_address(random: &mut Random) -> u64 {
    let page = match random.next() % 8 {
        0 => 0xfec0_0000,
        1 => 0xfee0_0000,
        2 => 0xd000_0000 + (random.next() % 0x1000_0000),
        _ => 0xfe00_0000 + random.next() % 17 * 0x1000,
    };
    // Registers that exist are met often enough.
    let offset =
        if random.next().is_multiple_of(2) { (random.next() % 0x110) & !3 } else { random.next() % 0xff8 };
    (page & !0xfff) + offset
}

/// An interrupt command that leaves the first processor alive: fixed, lowest priority, NMI or reserved, to itself,
/// to all, to others, to nobody; or reset and start of the second one.
fn interrupt_command(random: &mut Random) -> u64 {
    let vector = random.next() & 0xff;
    let mode = random.pick(&[0, 1, 3, 4, 7]) << 8;
    match random.next() % 8 {
        0 => INIT,
        1 | 2 => STARTUP,
        3 => 1 << 18 | mode | vector,
        4 => 2 << 18 | vector,
        5 => 3 << 18 | mode | vector,
        6 => random.value() << 32 | 1 << 11 | vector,
        _ => random.value() << 32 | mode | 1 << 14 | vector,
    }
}

/// One attack.
fn attack(random: &mut Random, fatal: bool, code: &mut Code) {
    if random.next().is_multiple_of(16) {
        let command = interrupt_command(random);
        code.eax(command as u32).edx((command >> 32) as u32).ecx(ICR).put(&[0x0f, 0x30]);
        return;
    }
    match random.next() % if fatal { 64 } else { 60 } {
        0..12 => {
            let port = loop {
                let port = random.value() as u16;
                // A 4-byte access may reach a power port from below.
                if !POWER_PORTS.contains(&port) && !(0x5fd..0x600).contains(&port) {
                    break port;
                }
            };
            let access: &[u8] =
                random.pick(&[&[0xec], &[0xed], &[0x66, 0xed], &[0xee], &[0xef], &[0x66, 0xef]]);
            // The serial port's data register would fill the log.
            let port = if port == 0x3f8 { 0x3f9 } else { port };
            code.eax(random.value() as u32).edx(port.into()).put(access);
        }
        12..24 => {
            let number =
                if random.next().is_multiple_of(3) { random.value() as u32 } else { random.pick(&MSRS) };
            let number =
                if random.next().is_multiple_of(4) { 0x800 + (random.next() % 256) as u32 } else { number };
            // At random it could reset this very processor, which ends the attack.
            let write = number != ICR && random.next().is_multiple_of(2);
            code.eax(random.value() as u32).edx(random.value() as u32).ecx(number);
            code.put(if write { &[0x0f, 0x30] } else { &[0x0f, 0x32] });
        }
        24..34 => {
            code.eax(random.value() as u32).ecx(random.value() as u32).edx(random.value() as u32);
            code.put(random.pick(&INSTRUCTIONS));
        }
        34..56 => {
            code.rbx(device_address(random)).rax(random.value());
            let access: &[u8] = random.pick(&[
                &[0x89, 0x03],
                &[0x8b, 0x03],
                &[0x88, 0x03],
                &[0x8a, 0x03],
                &[0x66, 0x89, 0x03],
                &[0x48, 0x89, 0x03],
                &[0x48, 0x8b, 0x03],
                &[0x0f, 0xb6, 0x03],
                &[0x0f, 0xbf, 0x03],
            ]);
            code.put(access);
        }
        56..60 => {
            // Soft interrupts, and accesses far outside of memory, which the page tables do not map.
            match random.next() % 2 {
                // INT pushes no error code, whatever its vector.
                0 => {
                    let vector = random.next() as u8;
                    code.put(&[0xcd, if WITH_CODE.contains(&vector) { 0x80 } else { vector }])
                }
                _ => code.rbx(random.value() | 1 << 40).put(&[0x8b, 0x03]),
            };
        }
        60 => {
            code.rbx(device_address(random)).put(&[0xf0, 0x01, 0x03]);
        }
        61 => {
            code.edx(0x1234).edi(BASE).ecx(16).put(&[0xf3, 0x6c]);
        }
        62 => {
            code.rax(device_address(random)).put(&[0xff, 0xe0]);
        }
        _ => {
            // A page table in a device.
            code.rax(0xfe00_0000).put(&[0x0f, 0x22, 0xd8]);
        }
    }
}

/// Fills the IDT: `rdi` walks over it, `eax` holds the low half of the first word.
fn idt(payload: &mut [u8]) {
    for vector in 0..=255u8 {
        let handler = if WITH_CODE.contains(&vector) { HANDLER_CODE } else { HANDLER };
        let target = BASE + handler as u32;
        let mut gate = [0u8; 16];
        gate[0..2].copy_from_slice(&(target as u16).to_le_bytes());
        gate[2..4].copy_from_slice(&0x10u16.to_le_bytes());
        gate[5] = 0x8e;
        gate[6..8].copy_from_slice(&((target >> 16) as u16).to_le_bytes());
        let at = IDT + usize::from(vector) * 16;
        payload[at..at + 16].copy_from_slice(&gate);
    }
    payload[POINTER..POINTER + 2].copy_from_slice(&4095u16.to_le_bytes());
    payload[POINTER + 2..POINTER + 10].copy_from_slice(&u64::from(BASE + IDT as u32).to_le_bytes());
}

fn place(payload: &mut [u8], at: usize, code: &Code) {
    payload[at..at + code.0.len()].copy_from_slice(&code.0);
}

fn text(code: &mut Code, words: &str) {
    code.edx(0x3f8);
    for byte in words.bytes() {
        code.put(&[0xb0, byte, 0xee]);
    }
}

/// Handler: takes the interrupted address, rounds it up to the next slot, and goes there.
fn handler(skip: u8) -> Code {
    let mut code = Code(Vec::new());
    // mov rax, [rsp + skip]; and rax, -64; add rax, 64; mov esp, STACK; jmp rax
    code.put(&[0x48, 0x8b, 0x44, 0x24, skip]).put(&[0x48, 0x83, 0xe0, 0xc0]).put(&[0x48, 0x83, 0xc0, 0x40]);
    code.put(&[0xbc]).put(&STACK.to_le_bytes()).put(&[0xff, 0xe0]);
    code
}

/// Program of the second processor, in real mode: switches the x2APIC on and sends interrupts to all others, for ever.
fn second() -> Code {
    let mut code = Code(Vec::new());
    // mov ax, SECOND_START >> 4; mov ss, ax; mov sp, 0x1000: whatever interrupts it starts it anew
    code.put(&[0xb8]).put(&((SECOND_START >> 4) as u16).to_le_bytes()).put(&[0x8e, 0xd0, 0xbc, 0, 0x10]);
    // mov ecx, APIC_BASE; rdmsr; or eax, 0xc00; wrmsr
    code.put(&[0x66]).ecx(APIC_BASE).put(&[0x0f, 0x32, 0x66, 0x0d, 0, 0x0c, 0, 0, 0x0f, 0x30]);
    // mov ecx, ICR; xor edx, edx; mov ebx, 0xc0000 (all but itself)
    code.put(&[0x66]).ecx(ICR).put(&[0x66, 0x31, 0xd2, 0x66, 0xbb, 0, 0, 0x0c, 0]);
    // mov eax, ebx; wrmsr; inc bl; jmp back: all vectors in turn
    code.put(&[0x66, 0x89, 0xd8, 0x0f, 0x30, 0xfe, 0xc3, 0xeb, 0xf7]);
    code
}

/// Switches the x2APIC on, puts the second processor's program where it starts, and starts it.
fn start_second(entry: &mut Code) {
    entry.ecx(APIC_BASE).put(&[0x0f, 0x32, 0x0d, 0, 0x0c, 0, 0, 0x0f, 0x30]);
    // mov esi, BASE + SECOND; mov edi, SECOND_START; mov ecx, 64; rep movsb
    entry.put(&[0xbe]).put(&(BASE + SECOND as u32).to_le_bytes()).edi(SECOND_START).ecx(SLOT as u32);
    entry.put(&[0xf3, 0xa4]);
    // The vectors of real mode lead to the same place, or an NMI would run through memory: edi = 0, rep stosd.
    entry.edi(0).ecx(32).eax(SECOND_START << 12).put(&[0xf3, 0xab]);
    for command in [INIT, STARTUP] {
        entry.eax(command as u32).edx((command >> 32) as u32).ecx(ICR).put(&[0x0f, 0x30]);
    }
}

/// The image.
pub fn kernel(attack_plan: Attack) -> Vec<u8> {
    let end = SLOTS + (attack_plan.slots + 4) * SLOT;
    let mut payload = vec![0x90u8; end];
    idt(&mut payload);
    let mut entry = Code(Vec::new());
    // cli; mov esp, STACK; lidt [POINTER]; jmp to the first slot
    entry.put(&[0xfa, 0xbc]).put(&STACK.to_le_bytes());
    entry.rbx(u64::from(BASE + POINTER as u32)).put(&[0x0f, 0x01, 0x1b]);
    text(&mut entry, "hostile: start\n");
    if attack_plan.processors > 1 {
        start_second(&mut entry);
    }
    entry.rax(u64::from(BASE + SLOTS as u32)).put(&[0xff, 0xe0]);
    place(&mut payload, ENTRY, &entry);
    place(&mut payload, SECOND, &second());
    place(&mut payload, HANDLER, &handler(0));
    place(&mut payload, HANDLER_CODE, &handler(8));
    payload[ROUNDS..ROUNDS + 4].copy_from_slice(&attack_plan.rounds.to_le_bytes());
    let mut random = Random(attack_plan.seed);
    for slot in 0..attack_plan.slots {
        let mut code = Code(Vec::new());
        attack(&mut random, attack_plan.fatal, &mut code);
        place(&mut payload, SLOTS + slot * SLOT, &code);
    }
    finish(&mut payload, attack_plan.slots);
    wrap(&payload)
}

/// After the last slot: count a round, and start again or power off.
fn finish(payload: &mut [u8], slots: usize) {
    let mut again = Code(Vec::new());
    text(&mut again, "r");
    // dec dword [rbx]; jz +12; mov rax, first slot; jmp rax
    again.rbx(u64::from(BASE + ROUNDS as u32)).put(&[0xff, 0x0b, 0x74, 0x0c]);
    again.rax(u64::from(BASE + SLOTS as u32)).put(&[0xff, 0xe0]);
    place(payload, SLOTS + slots * SLOT, &again);
    let mut done = Code(Vec::new());
    text(&mut done, "\nhostile: done\n");
    // Sleep control: soft-off with its enable bit.
    done.edx(0x600).put(&[0xb0, 5 << 2 | 1 << 5, 0xee]);
    place(payload, SLOTS + (slots + 1) * SLOT, &done);
}

/// Puts a setup header before the payload (Linux boot protocol 2.15).
pub(crate) fn wrap(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0u8; SETUP_BYTES];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[(SETUP_BYTES / 512 - 1) as u8]);
    put(0x1f4, &(payload.len().div_ceil(16) as u32).to_le_bytes());
    put(0x1fe, &[0x55, 0xaa]);
    put(0x200, &[0xeb, 0x6a]);
    put(0x202, b"HdrS");
    put(0x206, &0x020fu16.to_le_bytes());
    put(0x211, &[1]);
    put(0x22c, &0x7fff_ffffu32.to_le_bytes());
    put(0x230, &0x20_0000u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x236, &1u16.to_le_bytes());
    put(0x238, &2047u32.to_le_bytes());
    put(0x258, &u64::from(BASE).to_le_bytes());
    put(0x260, &(payload.len().next_multiple_of(0x20_0000) as u32).to_le_bytes());
    image.extend_from_slice(payload);
    image.resize(SETUP_BYTES + payload.len().next_multiple_of(16), 0x90);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Attack = Attack { seed: 1, slots: 5000, rounds: 3, fatal: true, processors: 2 };

    #[test]
    fn the_same_seed_gives_the_same_guest() {
        assert_eq!(kernel(PLAN), kernel(PLAN));
        assert_ne!(kernel(PLAN), kernel(Attack { seed: 2, ..PLAN }));
    }

    #[test]
    fn every_attack_fits_its_slot() {
        let mut random = Random(7);
        for _ in 0..100_000 {
            let mut code = Code(Vec::new());
            attack(&mut random, true, &mut code);
            assert!(code.0.len() < SLOT, "{:02x?}", code.0);
        }
    }

    #[test]
    fn the_programs_do_not_overlap() {
        assert!(second().0.len() <= SLOT);
        let mut entry = Code(Vec::new());
        text(&mut entry, "hostile: start\n");
        start_second(&mut entry);
        assert!(entry.0.len() + 64 < HANDLER - ENTRY, "{}", entry.0.len());
    }

    #[test]
    fn the_monitors_loader_takes_the_image() {
        let image = kernel(PLAN);
        let header = weft_vmm::loader::KernelHeader::read(&image.as_slice()).unwrap();
        assert_eq!(header.load_address, u64::from(BASE));
        assert_eq!(header.payload_offset, SETUP_BYTES as u64);
    }
}
