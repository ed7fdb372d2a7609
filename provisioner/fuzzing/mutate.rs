//! The corpus, and seeded changes of it: what `./just fuzz` does for a while, shortly, on every run of the tests.

use std::path::Path;

/// How many changed inputs a target reads.
const CHANGES: u64 = 20_000;

/// Gives the target all files of the corpus, and then changes of them.
pub(crate) fn replay(target: impl Fn(&[u8])) {
    let corpus = corpus();
    for file in &corpus {
        target(file);
    }
    for run in 0..CHANGES {
        target(&input(&corpus, 1, run));
    }
}

/// The files of the corpus, in order of name.
fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("corpus").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("file")).collect();
    assert!(!corpus.is_empty(), "the corpus is there");
    corpus
}

/// Input number `run` of `seed`: a file of the corpus with a few changes.
fn input(corpus: &[Vec<u8>], seed: u64, run: u64) -> Vec<u8> {
    let mut state = seed ^ run.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut dice = |sides: usize| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    };
    let mut bytes = corpus[dice(corpus.len())].clone();
    for _ in 0..=dice(8) {
        let at = dice(bytes.len());
        match dice(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 4, 16, 17, 52, 127, 128, 255][dice(9)],
            2 => bytes.insert(at.min(bytes.len()), dice(256) as u8),
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {
                // A piece of another file.
                let other = &corpus[dice(corpus.len())];
                let from = dice(other.len());
                let piece = &other[from..(from + dice(40)).min(other.len())];
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), piece.iter().copied());
            }
        }
    }
    bytes
}
