//! The fuzz targets' checks over the committed corpus and over seeded mutations of it.
//!
//! Files that open with `good-` must be accepted, files that open with `bad-` refused; others only must
//! not break a check. `WEFT_MUTATIONS` sets the mutations per file.

#[path = "../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::PathBuf;

use crate::common::{
    cluster_envelope, cluster_payload, cluster_record, delegation, envelope, payload, record, roots,
    signed_delegation, signed_image,
};
use weft_format::revocation::Revocations;
use weft_signing::{document, image};
use weft_wire::cluster::{CLUSTER_VERSION, ClusterEnvelope, ClusterPayload};
use weft_wire::operator::AMENDED_TAG;
use weft_wire::record::Envelope;

type Check = fn(&[u8]) -> bool;

const TARGETS: [(&str, Check); 6] = [
    ("manifest", checks::manifest),
    ("delegation", checks::delegation),
    ("record", checks::record),
    ("cluster", checks::cluster),
    ("operator", checks::operator),
    ("pe", checks::pe),
];

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder(target))
        .expect("corpus folder")
        .map(|entry| {
            let entry = entry.expect("entry");
            let name = entry.file_name().into_string().expect("name");
            (name, fs::read(entry.path()).expect("read"))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_corpus_is_judged_as_its_names_say() {
    for (target, check) in TARGETS {
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

/// A xorshift generator: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap_or_default() % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        let [byte, ..] = self.next().to_le_bytes();
        byte
    }
}

/// One to four of: a bit flipped, a byte set, an edge value written, a piece cut, doubled or zeroed.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let place = random.below(bytes.len());
        let end = bytes.len().min(place + 1 + random.below(80));
        match random.below(6) {
            0 if place < bytes.len() => bytes[place] ^= 1 << random.below(8),
            1 if place < bytes.len() => bytes[place] = random.byte(),
            2 => {
                let edge = [[0; 4], [0xff; 4], [0, 0, 0, 0x80], [1, 0, 0, 0]][random.below(4)];
                for (slot, value) in bytes.iter_mut().skip(place).zip(edge) {
                    *slot = value;
                }
            }
            3 => drop(bytes.drain(place..end)),
            4 => {
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
            _ => bytes[place..end].fill(0),
        }
    }
}

#[test]
fn no_mutation_of_the_corpus_breaks_a_check() {
    let count = std::env::var("WEFT_MUTATIONS")
        .map_or(600, |text| text.parse::<u32>().expect("WEFT_MUTATIONS is a number"));
    let mut random = Random(0x5eed_0f3e);
    for (target, check) in TARGETS {
        let mut accepted = 0u32;
        for (_, bytes) in corpus(target) {
            for _ in 0..count {
                let mut bytes = bytes.clone();
                mutate(&mut bytes, &mut random);
                accepted += u32::from(check(&bytes));
            }
        }
        assert!(accepted > 0, "{target}: mutations never get past the first test");
    }
}

/// The corpus as the code of today would write it.
fn written() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let file = signed_image(b"payload", &[1, 2]);
    let section = image::section(&file).expect("section").to_vec();
    let unsigned = signed_image(b"payload", &[]);
    let mut over_long = section.clone();
    over_long[256] = 17;
    let list =
        document::revocations(&Revocations { version: 1, root_version: 1, images: vec![[1; 32], [2; 32]] });
    let rotation = document::rotation(&roots(), 1, &[*crate::common::holder(4).public_key()]);
    let delegated = signed_delegation(&delegation(), &[1, 2]);
    let good_record = record(&envelope(1, 1), &payload());
    // What was written between the change of the layout and the number that it should have taken.
    let unnumbered = record(&Envelope { version: 1, ..envelope(3, 3) }, &crate::common::two_servers());
    let cluster = cluster_record(&cluster_envelope(1), &cluster_payload());
    let (certificate, amendment) = (crate::operator::certificate(), crate::operator::amendment());
    let later = cluster_record(
        &ClusterEnvelope { version: CLUSTER_VERSION + 1, ..cluster_envelope(1) },
        &cluster_payload(),
    );
    let cut = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
    let mut long_number = good_record.clone();
    long_number.splice(18..19, [long_number[18] | 0x80, 0x00]);
    long_number[16] += 1;
    let mut wide = file.clone();
    wide[64 + 6] = 96;
    vec![
        ("manifest", "good-signed", section.clone()),
        ("manifest", "good-unsigned", image::section(&unsigned).expect("section").to_vec()),
        ("manifest", "bad-empty", vec![0; 4096]),
        ("manifest", "bad-seventeen", over_long),
        ("manifest", "bad-short", section[..300].to_vec()),
        ("delegation", "good-delegation", delegated.clone()),
        ("delegation", "good-revocations", list.expect("encode")),
        ("delegation", "good-licence", crate::licence::signed()),
        ("delegation", "good-rotation", rotation.expect("encode")),
        ("delegation", "good-roots", document::root_set(&roots())),
        ("delegation", "bad-short", cut(&delegated)),
        ("record", "good-config", good_record.clone()),
        ("record", "good-servers", record(&envelope(3, u64::MAX), &crate::common::two_servers())),
        ("record", "good-span", record(&envelope(1, 3), &crate::common::spanning())),
        ("record", "good-standing", record(&envelope(1, 2), &crate::common::standing())),
        ("record", "bad-trailing", [&good_record[..], &[0]].concat()),
        ("record", "bad-long-number", long_number),
        ("record", "bad-layout-unnumbered", unnumbered),
        ("cluster", "good-config", cluster.clone()),
        ("cluster", "good-dissolved", cluster_record(&cluster_envelope(2), &ClusterPayload::Dissolved)),
        ("cluster", "bad-layout-next", later),
        ("cluster", "bad-short", cut(&cluster)),
        ("operator", "good-certificate", certificate.clone()),
        ("operator", "good-amendment", amendment.clone()),
        ("operator", "good-amended", crate::operator::amended(&cluster)),
        ("operator", "bad-short-certificate", cut(&certificate)),
        ("operator", "bad-short-amendment", cut(&amendment)),
        ("operator", "bad-length", [&AMENDED_TAG[..], &[0xff; 80]].concat()),
        ("pe", "good-image", file.clone()),
        ("pe", "good-certified", crate::common::with_certificates(&file)),
        ("pe", "bad-short", cut(&file)),
        ("pe", "bad-many-sections", wide),
    ]
}

/// Fails when a layout changed and its version (`RECORD_VERSION`, `CLUSTER_VERSION`) did not: what others wrote would be
/// misread, not refused. With the next version, keep a file of the old layout as `bad-layout-N`, which nothing here writes.
///
/// After a change of format on purpose: `WEFT_UPDATE_CORPUS=1 cargo test -p weft-signing --test it corpus`.
#[test]
fn the_formats_still_write_the_committed_corpus() {
    let update = std::env::var_os("WEFT_UPDATE_CORPUS").is_some();
    for (target, name, bytes) in written() {
        if update {
            fs::create_dir_all(folder(target)).expect("folder");
            fs::write(folder(target).join(name), &bytes).expect("write");
        }
        let committed = fs::read(folder(target).join(name)).expect("committed");
        assert!(committed == bytes, "{target}/{name}: a format changed without a new version");
    }
}
