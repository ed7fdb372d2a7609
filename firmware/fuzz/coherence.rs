//! What an authenticated peer can send to the coherence engine: control messages and what stands beside them. Fuzz
//! target and corpus test share the check.

use weft_coherence::codec::{self, CONTROL_BYTES};
use weft_coherence::content::{self, PAGE_BYTES};
use weft_coherence::{
    Access, Arrived, Config, Effect, Engine, Limits, Member, Page, Range, Waiter, Want, Wanted,
};
use weft_types::Epoch;

/// Messages looked at in one input.
const MOST: usize = 64;
const EPOCH: Epoch = Epoch { counter: 7, proposer: weft_types::NodeId([0; 16]) };

/// Pieces that each open with their length, u16 big-endian; a torn one is the rest.
fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut list = Vec::new();
    while let Some((head, rest)) = data.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head)).min(rest.len());
        let (piece, after) = rest.split_at(len);
        list.push(piece);
        data = after;
    }
    list
}

/// Member 0 of 3, which locates pages 0–15 of 48.
fn engine() -> Engine {
    let range =
        |locator: u8| Range { first: Page(u64::from(locator) * 16), pages: 16, locator: Member(locator) };
    let limits = Limits { frames: 12, bases: 2, twins: 2, ..Limits::default() };
    let ranges = (0..3).map(range).collect();
    Engine::new(Config { me: Member(0), members: 3, epoch: EPOCH, ranges, limits }).expect("sound")
}

/// Carries out what has an answer: flushes end at once. Everything sent must decode.
fn answer(engine: &mut Engine, now: u64, effects: &mut Vec<Effect>) {
    while let Some(effect) = effects.pop() {
        match effect {
            Effect::Send { control, class, .. } => {
                let (_, message) = codec::decode(&control.0).expect("what is sent decodes");
                assert_eq!(message.class(), class);
            }
            Effect::UnmapGuest { ticket, .. } | Effect::ProtectGuest { ticket, .. } => {
                engine.flushed(now, ticket, effects);
            }
            Effect::MapGuest { .. }
            | Effect::Install { .. }
            | Effect::DropFrame { .. }
            | Effect::MakeTwin { .. }
            | Effect::DropTwin { .. }
            | Effect::Unpark { .. }
            | Effect::Ready
            | Effect::Hot { .. }
            | Effect::Stop { .. } => {}
        }
    }
}

/// Each piece is a sender, a control message and a payload. The epoch is put right unless the sender's top bit is
/// set, so that the input gets past it. Good: every message was one that the engine could use.
pub(crate) fn coherence(data: &[u8]) -> bool {
    let mut engine = engine();
    let mut effects = Vec::new();
    for (waiter, page, access) in [(0, 1, Access::Write), (1, 17, Access::Read), (2, 33, Access::Write)] {
        let want = Want { waiter: Waiter(waiter), page: Page(page), access, walk: false };
        assert_ne!(engine.want(0, want, &mut effects), Wanted::Outside);
        answer(&mut engine, 0, &mut effects);
    }
    let mut now = 0;
    for piece in pieces(data).into_iter().take(MOST) {
        now += 400_000;
        let Some((from, rest)) = piece.split_first() else { continue };
        let (control, payload) = rest.split_at(rest.len().min(CONTROL_BYTES));
        let mut control = control.to_vec();
        if let (true, Some(epoch)) = (from & 0x80 == 0, control.get_mut(9..25)) {
            epoch[..8].copy_from_slice(&EPOCH.counter.to_le_bytes());
            epoch[8..].fill(0);
        }
        if let Ok((header, message)) = codec::decode(&control) {
            assert_eq!(codec::encode(&header, &message).0[..], control[..]);
        }
        let arrived = content::arrived(payload);
        let mut page = [0xa5; PAGE_BYTES];
        let applied = content::apply(payload, &mut page).is_ok();
        assert_eq!(applied, !matches!(arrived, Arrived::Nothing | Arrived::Malformed));
        engine.message(now, Member(from & 0x7f), &control, arrived, &mut effects);
        answer(&mut engine, now, &mut effects);
        engine.tick(now, &mut effects);
        answer(&mut engine, now, &mut effects);
        assert!(engine.frames_used() <= 12 + 1, "{} frames", engine.frames_used());
    }
    let c = engine.counters();
    c.received > 0 && c.impossible + c.malformed + c.other_epoch + c.again == 0 && engine.stopped().is_none()
}
