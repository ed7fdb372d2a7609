//! The fuzz target's check over the committed corpus and over seeded mutations of it: files that open with `good-`
//! are messages that the engine can use, files that open with `bad-` are not, and nothing breaks the check.
//! `WEFT_MUTATIONS` sets the mutations per file.

#[path = "../../fuzz/coherence.rs"]
mod checks;

use weft_sim::rng::Random;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/coherence");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("corpus folder")
        .map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.file_name().into_string().expect("name");
            (name, std::fs::read(entry.path()).expect("read"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_corpus_is_judged_as_its_names_say() {
    let (mut good, mut bad) = (0, 0);
    for (name, bytes) in corpus() {
        let accepted = checks::coherence(&bytes);
        assert_eq!(accepted, name.starts_with("good-"), "{name}");
        good += u64::from(accepted);
        bad += u64::from(!accepted);
    }
    assert!(good > 5 && bad > 5);
}

#[test]
fn mutations_of_the_corpus_break_nothing() {
    let count = std::env::var("WEFT_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500);
    let corpus = corpus();
    let mut random = Random(11);
    for (_, bytes) in &corpus {
        for _ in 0..count {
            let mut changed = bytes.clone();
            // Sequences of several files reach states that none reaches alone.
            for _ in 0..random.below(4) {
                let (_, more) = &corpus[usize::try_from(random.below(corpus.len() as u64)).unwrap()];
                changed.extend(more);
            }
            for _ in 0..random.between(0, 3) {
                let at = usize::try_from(random.below(changed.len() as u64)).unwrap();
                match random.below(4) {
                    0 => changed[at] ^= 1 << random.below(8),
                    1 => changed[at] = random.pick(&[0, 1, 2, 5, 17, 33, 0x7f, 0x80, 0xff]),
                    2 => changed.truncate(at.max(1)),
                    _ => changed.insert(at, u8::try_from(random.below(256)).unwrap()),
                }
            }
            std::hint::black_box(checks::coherence(&changed));
        }
    }
}
