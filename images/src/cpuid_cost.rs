//! A program that measures what one CPUID costs: a static Linux executable written as bytes, since building
//! guests needs no compiler.
//!
//! It runs [`BLOCKS`] blocks of [`PER_BLOCK`] CPUID instructions (leaf 0) in user mode, reads the time-stamp
//! counter around each block, and prints the difference of each as one decimal number a line. Under a monitor
//! every CPUID is an exit, so that a block is the price of [`PER_BLOCK`] exits and entries.

/// Blocks, and so lines.
pub const BLOCKS: u32 = 20;
/// Instructions of a block.
pub const PER_BLOCK: u32 = 1000;

/// Where the file is loaded as a whole.
const BASE: u64 = 0x40_0000;
const HEADERS: usize = 64 + 56;
/// The newline of the printed line; digits grow downwards from it.
const LINE_END: u64 = BASE + 0x1f0;
const SIZE: usize = 0x200;

/// The executable.
pub fn program() -> Vec<u8> {
    let mut file = headers();
    file.extend_from_slice(&code());
    file.resize(SIZE, 0);
    if let Some(end) = file.get_mut((LINE_END - BASE) as usize) {
        *end = b'\n';
    }
    file
}

/// ELF header and one segment, readable, writable and executable.
fn headers() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    for half in [2u16, 62] {
        put(&half.to_le_bytes());
    }
    put(&1u32.to_le_bytes());
    for word in [BASE + HEADERS as u64, 64, 0] {
        put(&word.to_le_bytes());
    }
    put(&0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        put(&half.to_le_bytes());
    }
    for word in [1u32, 7] {
        put(&word.to_le_bytes());
    }
    for word in [0, BASE, BASE, SIZE as u64, SIZE as u64, 0x1000] {
        put(&word.to_le_bytes());
    }
    file
}

fn code() -> Vec<u8> {
    /// rdtsc; shl rdx, 32; or rax, rdx
    const COUNTER: &[u8] = &[0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0];
    let mut code = Vec::new();
    let mut put = |bytes: &[u8]| code.extend_from_slice(bytes);
    // mov r12d, BLOCKS
    put(&[0x41, 0xbc]);
    put(&BLOCKS.to_le_bytes());
    // block: mov r13d, PER_BLOCK; counter; mov r14, rax
    put(&[0x41, 0xbd]);
    put(&PER_BLOCK.to_le_bytes());
    put(COUNTER);
    put(&[0x49, 0x89, 0xc6]);
    // again: xor eax, eax; xor ecx, ecx; cpuid; dec r13d; jnz again
    put(&[0x31, 0xc0, 0x31, 0xc9, 0x0f, 0xa2, 0x41, 0xff, 0xcd, 0x75, 0xf5]);
    // counter; sub rax, r14
    put(COUNTER);
    put(&[0x4c, 0x29, 0xf0]);
    // mov edi, LINE_END; mov ebx, 10
    put(&[0xbf]);
    put(&(LINE_END as u32).to_le_bytes());
    put(&[0xbb, 10, 0, 0, 0]);
    // digit: xor edx, edx; div rbx; add dl, '0'; dec rdi; mov [rdi], dl; test rax, rax; jnz digit
    put(&[
        0x31, 0xd2, 0x48, 0xf7, 0xf3, 0x80, 0xc2, b'0', 0x48, 0xff, 0xcf, 0x88, 0x17, 0x48, 0x85, 0xc0, 0x75,
        0xee,
    ]);
    // write(1, rdi, LINE_END + 1 - rdi): mov rsi, rdi; mov edx, LINE_END + 1; sub rdx, rsi; mov edi, 1; mov eax, 1
    put(&[0x48, 0x89, 0xfe, 0xba]);
    put(&(LINE_END as u32 + 1).to_le_bytes());
    put(&[0x48, 0x29, 0xf2, 0xbf, 1, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0x0f, 0x05]);
    // dec r12d; jnz block
    put(&[0x41, 0xff, 0xcc, 0x0f, 0x85]);
    let to_block = 6 - (code.len() as i32 + 4);
    code.extend_from_slice(&to_block.to_le_bytes());
    // exit(0)
    code.extend_from_slice(&[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_program_runs_and_prints_a_number_for_each_block() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cpuid-cost");
        std::fs::write(&file, program()).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let output = std::process::Command::new(&file).output().expect("it starts");
        assert!(output.status.success(), "{}", output.status);
        let text = String::from_utf8(output.stdout).expect("digits");
        let ticks: Vec<u64> = text.lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(ticks.len(), BLOCKS as usize);
        // No processor answers CPUID in less than ten ticks.
        assert!(ticks.iter().all(|ticks| *ticks > 10 * u64::from(PER_BLOCK)), "{ticks:?}");
    }

    #[test]
    fn code_ends_before_the_printed_line() {
        assert!(HEADERS + code().len() < (LINE_END - BASE) as usize - 24);
    }
}
