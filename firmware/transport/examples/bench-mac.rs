//! What authentication of interconnect frames costs, by candidate: `./just bench mac`.
//!
//! All run without SIMD, as in the node: the program builds itself again with the soft back ends before it measures.
//! Rows: nanoseconds for a page (three frames at MTU 1500) and for a control message of 64 bytes, medians of rounds;
//! then the whole link layer, from `send` to delivery, with a page and with a control message.

use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use blake2::Blake2sMac;
use blake2::digest::{FixedOutput, KeyInit, Update, consts::U16};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use poly1305::Poly1305;
use sha2::Sha256;
use siphasher::sip128::{Hasher128, SipHasher13, SipHasher24};
use std::hash::Hasher;
use weft_platform::{Piece, SendPage};
use weft_transport::interconnect::{Class, Config, DEFAULT_CREDIT, HEADER, Identity, Links, Payload, Peer};

const ROUNDS: usize = 31;
const REPEAT: usize = 200;
const KEY: [u8; 32] = [7; 32];
const MARK: &str = "WEFT_BENCH_SOFT";
const SOFT: &str =
    "--cfg poly1305_backend=\"soft\" --cfg chacha20_backend=\"soft\" --cfg sha2_backend=\"soft\"";

/// A tag of a frame with this number.
type Tag = fn(u64, &[u8]) -> [u8; 16];

fn half(bytes: &[u8]) -> [u8; 16] {
    bytes[..16].try_into().expect("16 bytes")
}

fn siphash_2_4(_number: u64, frame: &[u8]) -> [u8; 16] {
    let mut state = SipHasher24::new_with_key(&half(&KEY));
    state.write(frame);
    state.finish128().as_bytes()
}

fn siphash_1_3(_number: u64, frame: &[u8]) -> [u8; 16] {
    let mut state = SipHasher13::new_with_key(&half(&KEY));
    state.write(frame);
    state.finish128().as_bytes()
}

fn blake2s(_number: u64, frame: &[u8]) -> [u8; 16] {
    let mut state = Blake2sMac::<U16>::new_from_slice(&KEY).expect("32 bytes");
    Update::update(&mut state, frame);
    half(&state.finalize_fixed())
}

/// As in RFC 8439, 2.6: the one-time key is the start of the frame's key stream.
fn poly1305(number: u64, frame: &[u8]) -> [u8; 16] {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    let mut once = [0; 32];
    ChaCha20::new(&KEY.into(), &nonce.into()).apply_keystream(&mut once);
    let state = <Poly1305 as poly1305::universal_hash::KeyInit>::new(&once.into());
    half(&state.compute_unpadded(frame))
}

fn hmac_sha256(_number: u64, frame: &[u8]) -> [u8; 16] {
    let mut state = <Hmac<Sha256> as KeyInit>::new_from_slice(&KEY).expect("any length");
    Mac::update(&mut state, frame);
    half(&state.finalize().into_bytes())
}

/// Median nanoseconds of `work`, with the least and the most.
fn measure(mut work: impl FnMut(u64)) -> [f64; 3] {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|round| {
            let start = Instant::now();
            for step in 0..REPEAT {
                work((round * REPEAT + step) as u64);
            }
            start.elapsed().as_nanos() as f64 / REPEAT as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    [times[ROUNDS / 2], times[0], times[ROUNDS - 1]]
}

fn row(name: &str, what: &str, [median, least, most]: [f64; 3]) {
    println!("{name:34} {what:10} {median:>10.0} {least:>10.0} {most:>10.0}  ns");
}

struct Page([u8; 4096]);

impl SendPage for Page {
    fn device_address(&self) -> u64 {
        0
    }
    fn size(&self) -> usize {
        4096
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.0[offset..offset + out.len()]);
    }
}

/// From `send` on one side to delivery on the other, the acknowledgement included; the wire is a copy.
fn link(frame: usize, payload: bool) -> [f64; 3] {
    let config = |own| Config {
        identity: Identity { vs: 1, epoch: 1 },
        key: KEY,
        own: Peer(own),
        frame,
        credit: DEFAULT_CREDIT,
        release_by_hand: false,
    };
    let peers = [Peer(0), Peer(1)];
    let (mut a, mut b) = (Links::new(config(0), &peers, 0), Links::new(config(1), &peers, 0));
    let page: Arc<dyn SendPage> = Arc::new(Page([5; 4096]));
    let mut wire = [0; 9000];
    let mut now = 0;
    let mut carry = |from: &mut Links, to: &mut Links, now: u64| {
        from.poll_transmit(now, &mut |_, head, piece| {
            let length = head.len() + piece.map_or(0, |piece| piece.length);
            wire[..head.len()].copy_from_slice(head);
            if let Some(piece) = piece {
                piece.page.read(piece.offset, &mut wire[head.len()..length]);
            }
            to.on_frame(now, &wire[..length], &mut |_, _, control, payload| {
                black_box((control, payload));
            });
            true
        });
    };
    measure(|_| {
        now += 1_000_000;
        let body = match payload {
            true => Payload::Page(Piece { page: page.clone(), offset: 0, length: 4096 }),
            false => Payload::None,
        };
        a.send(now, Peer(1), Class::Response, &[1; 40], body).expect("room");
        carry(&mut a, &mut b, now);
        carry(&mut b, &mut a, now + 500_000);
    })
}

fn rows() {
    let frame: Vec<u8> = (0..HEADER + 1440).map(|i| i as u8).collect();
    println!("{:34} {:10} {:>10} {:>10} {:>10}", "tag of 128 bits", "of", "median", "min", "max");
    let candidates: [(&str, Tag); 5] = [
        ("SipHash-2-4-128", siphash_2_4),
        ("SipHash-1-3-128", siphash_1_3),
        ("BLAKE2s keyed, cut", blake2s),
        ("Poly1305, key by ChaCha20", poly1305),
        ("HMAC-SHA-256, cut", hmac_sha256),
    ];
    for (name, tag) in candidates {
        // 4096 bytes in three frames, each with its header.
        let thirds = [1400, 1400, 1296].map(|length| HEADER + length);
        let of_page = measure(|number| {
            for length in thirds {
                black_box(tag(number, black_box(&frame[..length])));
            }
        });
        row(name, "page", of_page);
        let of_control = measure(|number| {
            black_box(tag(number, black_box(&frame[..HEADER + 48])));
        });
        row(name, "control", of_control);
    }
    row("link layer, MTU 1500", "page", link(1500, true));
    row("link layer, MTU 9000", "page", link(9000, true));
    row("link layer", "control", link(1500, false));
}

fn main() -> ExitCode {
    if std::env::var_os(MARK).is_some() {
        rows();
        return ExitCode::SUCCESS;
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "--package", "weft-transport", "--example", "bench-mac"]);
    cargo.args(["--target-dir", "target/bench-soft"]);
    cargo.env("RUSTFLAGS", SOFT).env(MARK, "1").current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    match cargo.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("bench-mac: the build without SIMD failed ({status})");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench-mac: cannot run cargo: {error}");
            ExitCode::FAILURE
        }
    }
}
