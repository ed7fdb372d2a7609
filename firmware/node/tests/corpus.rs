//! The fuzz targets' checks over the committed corpus and over seeded mutations of it.
//!
//! Files that open with `good-` must come to a good end, files that open with `bad-` must not; nothing may
//! break a check. `WEFT_MUTATIONS` sets the mutations per file.

#[path = "../../fuzz/checks.rs"]
mod checks;

use std::path::PathBuf;

type Check = fn(&[u8]) -> bool;

const TARGETS: [(&str, Check, u64); 10] = [
    ("agent_message", checks::agent_message, 2000),
    ("noise", checks::noise, 10),
    ("operator", checks::operator, 10),
    ("operator_message", checks::operator_message, 2000),
    ("span_message", checks::span_message, 2000),
    ("http", checks::http, 2000),
    ("tftp", checks::tftp, 2000),
    ("dhcp", checks::dhcp, 300),
    ("bridge", checks::bridge, 300),
    ("interconnect", checks::interconnect, 2000),
];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
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
    for (target, check, _) in TARGETS {
        let (mut good, mut bad) = (0, 0);
        for (name, bytes) in corpus(target) {
            let accepted = check(&bytes);
            if name.starts_with("good-") {
                good += 1;
                assert!(accepted, "{target}/{name}");
            } else if name.starts_with("bad-") {
                bad += 1;
                assert!(!accepted, "{target}/{name}");
            }
        }
        assert!(good > 0 && bad > 0, "{target}");
    }
}

#[test]
fn mutations_of_the_corpus_break_nothing() {
    let wanted = std::env::var("WEFT_MUTATIONS").ok().map(|text| text.parse::<u64>().expect("a number"));
    for (target, check, usual) in TARGETS {
        for (name, bytes) in corpus(target) {
            let mut random = 0x2545_f491_4f6c_dd1d_u64 ^ bytes.len() as u64;
            let mut pick = |bound: usize| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                usize::try_from(random % (bound.max(1) as u64)).expect("below a usize")
            };
            for _ in 0..wanted.unwrap_or(usual) {
                let mut changed = bytes.clone();
                for _ in 0..1 + pick(3) {
                    let at = pick(changed.len());
                    match pick(5) {
                        0 if !changed.is_empty() => changed[at] ^= 1 << pick(8),
                        1 if !changed.is_empty() => changed[at] = [0, 1, 0x7f, 0x80, 0xff][pick(5)],
                        2 => changed.truncate(at),
                        3 => changed.insert(at, u8::try_from(pick(256)).expect("a byte")),
                        _ => {
                            let tail = changed.get(at..).unwrap_or(&[]).to_vec();
                            changed.extend(tail);
                        }
                    }
                }
                std::hint::black_box((&name, check(&changed)));
            }
        }
    }
}
