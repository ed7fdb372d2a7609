//! Tests of the decoder: known encodings, and agreement with another decoder on random bytes.

use super::*;
use crate::fake::Random;
use iced_x86::{
    Code, CodeSize, Decoder as Other, DecoderOptions, Instruction, Mnemonic, OpKind, Register as Name,
};
use std::format;
use std::vec;
use std::vec::Vec;

fn full(encoding: u8, bytes: u8) -> Register {
    Register { encoding, bytes, high: false }
}

#[test]
fn the_forms_that_linux_uses_for_registers_of_devices_are_decoded() {
    // mov eax, [rdi+0x10]
    let insn = decode(&[0x8b, 0x47, 0x10], Mode::Bits64).unwrap();
    let Operation::Load { memory, bytes: 4, register, signed: false } = insn.operation else {
        panic!("{insn:?}")
    };
    assert_eq!((insn.length, register), (3, full(0, 4)));
    assert_eq!(
        memory.effective(|n| if n == 7 { 0xffff_ffff_ff5f_b000 } else { 0 }, 0),
        0xffff_ffff_ff5f_b010
    );
    // mov [rip+0x1234], r9d
    let insn = decode(&[0x44, 0x89, 0x0d, 0x34, 0x12, 0, 0], Mode::Bits64).unwrap();
    let Operation::Store { memory, bytes: 4, source } = insn.operation else { panic!("{insn:?}") };
    assert_eq!(source, Source::Register(full(9, 4)));
    assert_eq!(memory.effective(|_| 99, 0x1000), 0x2234);
    // movzx ecx, byte [r8+rax*4]
    let insn = decode(&[0x41, 0x0f, 0xb6, 0x0c, 0x80], Mode::Bits64).unwrap();
    let Operation::Load { memory, bytes: 1, register, signed: false } = insn.operation else {
        panic!("{insn:?}")
    };
    assert_eq!(register, full(1, 4));
    assert_eq!(memory.effective(|n| u64::from(n) + 1, 0), 9 + 4);
    // mov qword [rax], -2
    let insn = decode(&[0x48, 0xc7, 0x00, 0xfe, 0xff, 0xff, 0xff], Mode::Bits64).unwrap();
    let Operation::Store { bytes: 8, source: Source::Immediate(value), .. } = insn.operation else {
        panic!("{insn:?}")
    };
    assert_eq!(value, u64::MAX - 1);
}

#[test]
fn control_registers_and_fixed_forms_have_their_lengths() {
    let cases: [(&[u8], Operation); 7] = [
        (&[0x0f, 0x22, 0xd8], Operation::WriteControl { number: 3, register: full(0, 8) }),
        (&[0x44, 0x0f, 0x20, 0xc1], Operation::ReadControl { number: 8, register: full(1, 8) }),
        (&[0x41, 0x0f, 0x23, 0xf8], Operation::WriteDebug { number: 7, register: full(8, 8) }),
        (&[0x0f, 0x09], Operation::Plain(Plain::Wbinvd)),
        (&[0xf3, 0x90], Operation::Plain(Plain::Pause)),
        (&[0x48, 0xcf], Operation::Plain(Plain::Iret)),
        (&[0x0f, 0x01, 0xd9], Operation::Plain(Plain::Vmmcall)),
    ];
    for (bytes, operation) in cases {
        assert_eq!(decode(bytes, Mode::Bits64), Ok(Insn { length: bytes.len() as u8, operation }));
    }
}

#[test]
fn byte_registers_are_high_without_rex_and_low_with_it() {
    let register = |bytes: &[u8]| match decode(bytes, Mode::Bits64).unwrap().operation {
        Operation::Load { register, .. } => register,
        other => panic!("{other:?}"),
    };
    let high = register(&[0x8a, 0x20]);
    assert_eq!(high, Register { encoding: 0, bytes: 1, high: true });
    assert_eq!(register(&[0x40, 0x8a, 0x20]), full(4, 1));
    assert_eq!((high.extract(0x1234_5678), high.merge(0x1234_5678, 0xff)), (0x56, 0x1234_ff78));
}

#[test]
fn a_write_of_four_bytes_clears_the_upper_half_and_shorter_ones_keep_it() {
    let old = 0x1111_2222_3333_4444;
    assert_eq!(full(1, 8).merge(old, 5), 5);
    assert_eq!(full(1, 4).merge(old, u64::MAX), 0xffff_ffff);
    assert_eq!(full(1, 2).merge(old, u64::MAX), 0x1111_2222_3333_ffff);
    assert_eq!(full(1, 1).merge(old, 0), 0x1111_2222_3333_4400);
}

#[test]
fn segment_bases_count_by_mode() {
    let memory = |bytes: &[u8], mode| match decode(bytes, mode).unwrap().operation {
        Operation::Load { memory, .. } => memory,
        other => panic!("{other:?}"),
    };
    let linear = |bytes: &[u8], mode| memory(bytes, mode).linear(mode, |_| 0x10, 0, |_| 0xffff_fff8);
    assert_eq!(linear(&[0x65, 0x8b, 0x00], Mode::Bits64), 0x1_0000_0008);
    assert_eq!(linear(&[0x3e, 0x8b, 0x00], Mode::Bits64), 0x10);
    assert_eq!(linear(&[0x8b, 0x00], Mode::Bits32), 8);
    assert_eq!(memory(&[0x8b, 0x45, 0x00], Mode::Bits64).segment, Segment::Ss);
    assert_eq!(memory(&[0x65, 0x8b, 0x45, 0x00], Mode::Bits64).segment, Segment::Gs);
}

#[test]
fn what_is_not_completed_is_refused() {
    let opcode = |opcode, two_byte| Err(Undecodable::Opcode { opcode, two_byte });
    let form = |opcode, two_byte| Err(Undecodable::Form { opcode, two_byte });
    let at = |bytes: &[u8]| decode(bytes, Mode::Bits64);
    assert_eq!(at(&[]), Err(Undecodable::Truncated));
    assert_eq!(at(&[0x8b]), Err(Undecodable::Truncated));
    assert_eq!(at(&[0x66; 20]), Err(Undecodable::TooLong));
    assert_eq!(at(&[0x01, 0x00]), opcode(0x01, false), "add");
    assert_eq!(at(&[0x0f, 0xc1, 0x00]), opcode(0xc1, true), "xadd");
    assert_eq!(at(&[0x8b, 0xc0]), form(0x8b, false), "register to register");
    assert_eq!(at(&[0xf0, 0x89, 0x00]), form(0x89, false), "locked move");
    assert_eq!(at(&[0xf3, 0xa4]), form(0xa4, false), "string move");
    assert_eq!(at(&[0xc7, 0x08, 0, 0, 0, 0]), form(0xc7, false), "C7 /1");
    assert_eq!(at(&[0x0f, 0x20, 0xc8]), form(0x20, true), "CR1");
    assert_eq!(at(&[0x0f, 0x01, 0x10]), form(0x01, true), "LGDT");
}

/// Encoding and size of a general register by the other decoder's name, with high bytes marked.
fn named(register: Name) -> Register {
    let high = matches!(register, Name::AH | Name::CH | Name::DH | Name::BH);
    let encoding = register.full_register().number() as u8;
    Register { encoding, bytes: register.size() as u8, high }
}

fn check_address(memory: &Address, other: &Instruction, context: &str) {
    let segment = match other.memory_segment() {
        Name::ES => Segment::Es,
        Name::CS => Segment::Cs,
        Name::SS => Segment::Ss,
        Name::DS => Segment::Ds,
        Name::FS => Segment::Fs,
        Name::GS => Segment::Gs,
        register => panic!("{register:?} {context}"),
    };
    // In 64-bit mode the four others are all the same, and only their names may differ.
    let counts =
        |segment| other.code_size() != CodeSize::Code64 || matches!(segment, Segment::Fs | Segment::Gs);
    if counts(memory.segment) || counts(segment) {
        assert_eq!(memory.segment, segment, "{context}");
    }
    let values = |encoding: u8| 0x1234_5678_9abc_def1u64.rotate_left(u32::from(encoding) * 7);
    let ours = memory.effective(values, other.next_ip());
    let mut theirs = other.memory_displacement64();
    if !other.is_ip_rel_memory_operand() && other.memory_base() != Name::None {
        theirs = theirs.wrapping_add(values(named(other.memory_base()).encoding));
    }
    if other.memory_index() != Name::None {
        let index = values(named(other.memory_index()).encoding);
        theirs = theirs.wrapping_add(index.wrapping_mul(u64::from(other.memory_index_scale())));
    }
    assert_eq!(ours, theirs & mask(memory.bytes), "{context}");
}

fn check_plain(plain: Plain, other: &Instruction, context: &str) {
    let expected: &[Mnemonic] = match plain {
        Plain::Clts => &[Mnemonic::Clts],
        Plain::Cpuid => &[Mnemonic::Cpuid],
        Plain::Hlt => &[Mnemonic::Hlt],
        Plain::Invd => &[Mnemonic::Invd],
        Plain::Iret => &[Mnemonic::Iret, Mnemonic::Iretd, Mnemonic::Iretq],
        Plain::Monitor => &[Mnemonic::Monitor],
        Plain::Mwait => &[Mnemonic::Mwait],
        Plain::Pause => &[Mnemonic::Pause],
        Plain::Rdmsr => &[Mnemonic::Rdmsr],
        Plain::Rdpmc => &[Mnemonic::Rdpmc],
        Plain::Rdtsc => &[Mnemonic::Rdtsc],
        Plain::Rdtscp => &[Mnemonic::Rdtscp],
        Plain::Vmmcall => &[Mnemonic::Vmmcall],
        Plain::Wbinvd => &[Mnemonic::Wbinvd],
        Plain::Wbnoinvd => &[Mnemonic::Wbnoinvd],
        Plain::Wrmsr => &[Mnemonic::Wrmsr],
        Plain::Xsetbv => &[Mnemonic::Xsetbv],
    };
    assert!(expected.contains(&other.mnemonic()), "{context}");
}

fn check_operation(operation: &Operation, other: &Instruction, context: &str) {
    let memory_bytes = other.memory_size().size() as u8;
    match operation {
        Operation::Load { memory, bytes, register, signed } => {
            let mnemonics: &[Mnemonic] = match (*signed, *bytes == register.bytes) {
                (true, _) => &[Mnemonic::Movsx, Mnemonic::Movsxd],
                (false, true) => &[Mnemonic::Mov, Mnemonic::Movzx],
                (false, false) => &[Mnemonic::Movzx],
            };
            assert!(mnemonics.contains(&other.mnemonic()), "{context}");
            assert_eq!((*bytes, *register), (memory_bytes, named(other.op0_register())), "{context}");
            check_address(memory, other, context);
        }
        Operation::Store { memory, bytes, source } => {
            assert_eq!(other.mnemonic(), Mnemonic::Mov, "{context}");
            assert_eq!((other.op0_kind(), *bytes), (OpKind::Memory, memory_bytes), "{context}");
            match source {
                Source::Register(register) => assert_eq!(*register, named(other.op1_register()), "{context}"),
                Source::Immediate(value) => {
                    assert_eq!(*value & mask(*bytes), other.immediate(1) & mask(*bytes), "{context}");
                }
            }
            check_address(memory, other, context);
        }
        Operation::Exchange { memory, register } => {
            assert_eq!(other.mnemonic(), Mnemonic::Xchg, "{context}");
            assert_eq!(*register, named(other.op1_register()), "{context}");
            check_address(memory, other, context);
        }
        Operation::ReadControl { number, register } | Operation::ReadDebug { number, register } => {
            assert_eq!(*register, named(other.op0_register()), "{context}");
            assert_eq!(usize::from(*number), other.op1_register().number(), "{context}");
            let control = matches!(operation, Operation::ReadControl { .. });
            assert_eq!(
                (other.op1_register().is_cr(), other.op1_register().is_dr()),
                (control, !control),
                "{context}"
            );
        }
        Operation::WriteControl { number, register } | Operation::WriteDebug { number, register } => {
            assert_eq!(*register, named(other.op1_register()), "{context}");
            assert_eq!(usize::from(*number), other.op0_register().number(), "{context}");
            let control = matches!(operation, Operation::WriteControl { .. });
            assert_eq!(
                (other.op0_register().is_cr(), other.op0_register().is_dr()),
                (control, !control),
                "{context}"
            );
        }
        Operation::InvalidatePage { memory } => {
            assert_eq!(other.mnemonic(), Mnemonic::Invlpg, "{context}");
            check_address(memory, other, context);
        }
        Operation::LoadStatus { register } => {
            assert_eq!(other.mnemonic(), Mnemonic::Lmsw, "{context}");
            assert_eq!(register.encoding, named(other.op0_register()).encoding, "{context}");
        }
        Operation::StoreStatus { register } => {
            assert_eq!(other.mnemonic(), Mnemonic::Smsw, "{context}");
            assert_eq!(*register, named(other.op0_register()), "{context}");
        }
        Operation::Plain(plain) => check_plain(*plain, other, context),
    }
}

/// Random bytes, most of them beginning with prefixes and an opcode of interest.
fn candidate(random: &mut Random) -> Vec<u8> {
    const PREFIXES: [u8; 12] = [0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x48];
    const OPCODES: [u8; 18] = [
        0x88, 0x89, 0x8a, 0x8b, 0x86, 0x87, 0xa0, 0xa1, 0xa2, 0xa3, 0xc6, 0xc7, 0x63, 0xcf, 0xf4, 0x90, 0x0f,
        0x0f,
    ];
    const SECOND: [u8; 18] = [
        0x01, 0x01, 0x20, 0x21, 0x22, 0x23, 0xb6, 0xb7, 0xbe, 0xbf, 0x06, 0x08, 0x09, 0x30, 0x31, 0x32, 0x33,
        0xa2,
    ];
    let mut bytes = vec![];
    if random.below(8) > 0 {
        for _ in 0..random.below(4) {
            bytes.push(PREFIXES[random.below(12) as usize]);
        }
        if random.below(2) == 0 {
            bytes.push(0x40 | random.below(16) as u8);
        }
        let opcode = OPCODES[random.below(18) as usize];
        bytes.push(opcode);
        if opcode == 0x0f {
            bytes.push(SECOND[random.below(18) as usize]);
        }
    }
    let rest = random.below(14) as usize;
    bytes.extend(random.bytes(rest));
    bytes
}

#[test]
fn every_instruction_that_is_accepted_agrees_with_another_decoder() {
    let mut random = Random(2024);
    let mut accepted = 0;
    for round in 0..400_000u32 {
        let bytes = candidate(&mut random);
        let (mode, bits) = [(Mode::Bits64, 64), (Mode::Bits32, 32), (Mode::Bits16, 16)][round as usize % 3];
        let Ok(insn) = decode(&bytes, mode) else { continue };
        accepted += 1;
        let mut other = Other::with_ip(bits, &bytes, 0x4000, DecoderOptions::AMD);
        let theirs = other.decode();
        let context = format!("{bytes:02x?} {mode:?} {insn:?} {:?}", theirs.code());
        assert_ne!(theirs.code(), Code::INVALID, "{context}");
        assert_eq!(usize::from(insn.length), theirs.len(), "{context}");
        check_operation(&insn.operation, &theirs, &context);
    }
    assert!(accepted > 60_000, "{accepted}");
}

#[test]
fn a_longer_view_of_the_same_bytes_changes_nothing() {
    let mut random = Random(5);
    for _ in 0..50_000 {
        let mut bytes = candidate(&mut random);
        let Ok(insn) = decode(&bytes, Mode::Bits64) else { continue };
        assert!((1..=MAX_BYTES).contains(&usize::from(insn.length)));
        let length = usize::from(insn.length);
        assert_eq!(decode(&bytes[..length - 1], Mode::Bits64), Err(Undecodable::Truncated));
        bytes.truncate(length);
        bytes.extend(random.bytes(4));
        assert_eq!(decode(&bytes, Mode::Bits64), Ok(insn));
    }
}
