//! `bench=link own=0|1 peer=02:57:45:46:54:02`: what a message costs between two nodes, by the same driver, port and
//! link layer that spanning servers use, with nothing of coherence in between. Member 1 answers each request with a
//! control message or a page; member 0 measures and prints.

use crate::nic;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use weft_hal::dma::Dma;
use weft_hal::{println, time};
use weft_platform::{DmaBuf, Piece, SendPage};
use weft_transport::interconnect::backend::Backend;
use weft_transport::interconnect::ethernet::Ethernet;
use weft_transport::interconnect::{Class, Config, DEFAULT_CREDIT, Identity, Links, Payload, Peer};
use weft_types::PAGE_SIZE;
use weft_types::handoff::Handoff;

/// Round trips of a row, after some to warm up.
const ROUNDS: usize = 1000;
const WARM_UP: usize = 50;
/// How long the other node may take to appear, and member 1 answers at most.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Both run the same image: there is no stranger to keep out.
const KEY: [u8; 32] = [0x4c; 32];
/// Control bytes of a usual message.
const CONTROL: usize = 40;

struct Ends {
    links: Links,
    wire: Ethernet,
    peer: Peer,
}

impl Ends {
    /// Moves frames once; hands messages on.
    fn turn(&mut self, take: &mut dyn FnMut(&[u8], &[u8])) {
        let now = time::now_ns();
        let Self { links, wire, .. } = self;
        wire.receive(&mut |frame| {
            links.on_frame(now, frame, &mut |_, _, control, payload| take(control, payload));
        });
        links.poll(now);
        links.poll_transmit(now, &mut |peer, head, piece| wire.transmit(peer, head, piece).is_ok());
    }
}

/// Measures where the command line asks for it.
pub(crate) fn on_request(handoff: &Handoff) {
    let cmdline = handoff.cmdline.get(..usize::from(handoff.cmdline_len)).unwrap_or(&[]);
    let word = |name: &[u8]| {
        let mut words = cmdline.split(u8::is_ascii_whitespace);
        words.find_map(|word| word.strip_prefix(name))
    };
    if word(b"bench=") != Some(b"link") {
        return;
    }
    let own = Peer(u8::from(word(b"own=") == Some(b"1")));
    let (Some(mac), Some(port)) = (word(b"peer=").and_then(mac), nic::wire()) else {
        println!("weft bench: no NIC, or no peer=MAC");
        return;
    };
    port.want_links(true);
    let peer = Peer(1 - own.0);
    let wire = Ethernet::new(port.clone(), vec![(peer, mac)]);
    let config = Config {
        identity: Identity { vs: 0, epoch: 0 },
        key: KEY,
        own,
        frame: wire.frame(),
        credit: DEFAULT_CREDIT,
        release_by_hand: false,
    };
    let links = Links::new(config, &[own, peer], time::now_ns());
    let mut ends = Ends { links, wire, peer };
    let done = if own.0 == 0 { measure(&mut ends) } else { answer(&mut ends) };
    if done.is_none() {
        println!("weft bench: the other node is not there, or no memory");
    }
    port.want_links(false);
}

fn mac(text: &[u8]) -> Option<[u8; 6]> {
    let mut out = [0; 6];
    let mut parts = text.split(|byte| *byte == b':');
    for byte in &mut out {
        *byte = u8::from_str_radix(core::str::from_utf8(parts.next()?).ok()?, 16).ok()?;
    }
    Some(out)
}

/// Answers until it was told to end.
fn answer(ends: &mut Ends) -> Option<()> {
    let mut page = Dma::new(PAGE_SIZE as usize)?;
    page.write(0, &[0xa5; PAGE_SIZE as usize]);
    let page: Arc<dyn SendPage> = Arc::new(page);
    let give_up = time::now_ns() + PATIENCE_NS;
    while time::now_ns() < give_up {
        let mut wanted = None;
        ends.turn(&mut |control, _| wanted = control.first().copied());
        let payload = match wanted {
            Some(b'p') => Payload::Page(Piece { page: page.clone(), offset: 0, length: PAGE_SIZE as usize }),
            Some(b'e') => return Some(()),
            Some(_) => Payload::None,
            None => continue,
        };
        ends.links.send(time::now_ns(), ends.peer, Class::Response, &[1; CONTROL], payload).ok()?;
        ends.turn(&mut |_, _| {});
    }
    None
}

fn measure(ends: &mut Ends) -> Option<()> {
    for (what, kind, bytes) in [("control", b'c', 0), ("page", b'p', PAGE_SIZE as usize)] {
        let mut times = Vec::with_capacity(ROUNDS);
        for round in 0..WARM_UP + ROUNDS {
            let start = time::now_ns();
            ends.links.send(start, ends.peer, Class::Request, &[kind; CONTROL], Payload::None).ok()?;
            let mut answered = false;
            while !answered {
                ends.turn(&mut |_, payload| answered = payload.len() == bytes);
                if time::now_ns() > start + PATIENCE_NS {
                    return None;
                }
            }
            if round >= WARM_UP {
                times.push(time::now_ns() - start);
            }
        }
        weft_types::sort_few_by_key(&mut times, |time| *time);
        let at = |share: usize| times.get(share * (times.len() - 1) / 100).map_or(0, |ns| ns / 1000);
        println!(
            "weft bench: request out, {what} back: min {} median {} p99 {} max {} us, {} rounds",
            at(0),
            at(50),
            at(99),
            at(100),
            times.len()
        );
    }
    let stats = ends.links.stats(ends.peer)?;
    println!("weft bench: {stats:?}");
    println!("weft bench: {:?}", nic::wire()?.counters());
    // The last message: whether it arrives is the other node's affair.
    let _taken = ends.links.send(time::now_ns(), ends.peer, Class::Request, b"e", Payload::None);
    ends.turn(&mut |_, _| {});
    Some(())
}
