use super::*;
use alloc::sync::Arc;
use spin::Mutex;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 0xff];
const ALL: [u8; 6] = [0xff; 6];
const OUTSIDE: [u8; 6] = [2, 0, 0, 0, 0, 0xee];
const A: (VsId, [u8; 6]) = (VsId([1; 16]), [2, 0, 0, 0, 0, 1]);
const B: (VsId, [u8; 6]) = (VsId([2; 16]), [2, 0, 0, 0, 0, 2]);

#[derive(Default)]
struct Line {
    arriving: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    full: bool,
}

#[derive(Clone, Default)]
struct FakeNic(Arc<Mutex<Line>>);

impl Nic for FakeNic {
    fn mac(&self) -> [u8; 6] {
        OWN
    }
    fn mtu(&self) -> usize {
        1500
    }
    fn link_up(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        let mut line = self.0.lock();
        if line.full {
            return Err(TxError::Full);
        }
        line.sent.push(frame.to_vec());
        Ok(())
    }
    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let frame = self.0.lock().arriving.pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    }
    fn acknowledge_interrupt(&mut self) {}
}

fn frame(to: [u8; 6], from: [u8; 6], mark: u8) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend([0x88, 0xb6, mark]);
    frame.resize(60, 0);
    frame
}

fn bridge() -> (Bridge, FakeNic) {
    let nic = FakeNic::default();
    let mut bridge = Bridge::new(Box::new(nic.clone()));
    for (vs, mac) in [A, B] {
        bridge.add_port(vs, 0, mac).expect("free");
    }
    (bridge, nic)
}

fn guest(bridge: &mut Bridge, vs: VsId) -> Vec<u8> {
    let mut out = [0; MAX_FRAME];
    let mut marks = Vec::new();
    while bridge.guest_rx(vs, 0, &mut out).is_some() {
        marks.push(out[14]);
    }
    marks
}

fn own(bridge: &mut Bridge) -> Vec<u8> {
    let mut marks = Vec::new();
    while let Some((rx, _)) = bridge.receive(Instant::ZERO) {
        marks.push(rx.consume(|frame| frame[14]));
    }
    marks
}

fn wire(nic: &FakeNic) -> Vec<u8> {
    nic.0.lock().sent.drain(..).map(|frame| frame[14]).collect()
}

#[test]
fn frames_from_the_wire_go_where_their_address_says() {
    let (mut bridge, nic) = bridge();
    let stranger = [2, 0, 0, 0, 0, 0x77];
    for (mark, to) in (1..).zip([OWN, A.1, B.1, ALL, stranger]) {
        nic.0.lock().arriving.push_back(frame(to, OUTSIDE, mark));
    }
    assert_eq!(own(&mut bridge), [1, 4]);
    assert_eq!(guest(&mut bridge, A.0), [2, 4]);
    assert_eq!(guest(&mut bridge, B.0), [3, 4]);
    assert_eq!(wire(&nic), []);
}

#[test]
fn frames_of_guests_go_where_their_address_says() {
    let (mut bridge, nic) = bridge();
    for (mark, to) in (1..).zip([OWN, B.1, ALL, OUTSIDE]) {
        assert_eq!(bridge.guest_tx(A.0, 0, &frame(to, A.1, mark)), Ok(()));
    }
    assert_eq!(own(&mut bridge), [1, 3]);
    assert_eq!(guest(&mut bridge, A.0), []);
    assert_eq!(guest(&mut bridge, B.0), [2, 3]);
    assert_eq!(wire(&nic), [3, 4]);
}

#[test]
fn frames_of_the_node_reach_guests_and_wire() {
    let (mut bridge, nic) = bridge();
    for (mark, to) in (1..).zip([A.1, ALL, OUTSIDE]) {
        let token = bridge.transmit(Instant::ZERO).expect("room");
        token.consume(60, |out| out.copy_from_slice(&frame(to, OWN, mark)));
    }
    assert_eq!(guest(&mut bridge, A.0), [1, 2]);
    assert_eq!(guest(&mut bridge, B.0), [2]);
    assert_eq!(wire(&nic), [2, 3]);
}

#[test]
fn a_guest_cannot_send_as_somebody_else() {
    let (mut bridge, nic) = bridge();
    for liar in [B.1, OWN, OUTSIDE, ALL] {
        assert_eq!(bridge.guest_tx(A.0, 0, &frame(OUTSIDE, liar, 1)), Err(GuestTxError::Spoofed));
    }
    assert_eq!(wire(&nic), []);
    assert_eq!(bridge.dropped().refused, 4);
}

#[test]
fn a_guest_cannot_be_a_dhcp_server() {
    let (mut bridge, nic) = bridge();
    let mut offer = frame(ALL, A.1, 0);
    offer[12..14].copy_from_slice(&[8, 0]);
    offer[14] = 0x45;
    offer[23] = 17;
    offer[34..36].copy_from_slice(&67_u16.to_be_bytes());
    assert_eq!(bridge.guest_tx(A.0, 0, &offer), Err(GuestTxError::Refused));
    // Options in the IP header do not hide it.
    let mut hidden = offer.clone();
    hidden[14] = 0x46;
    hidden[34..36].copy_from_slice(&[0, 0]);
    hidden[38..40].copy_from_slice(&67_u16.to_be_bytes());
    assert_eq!(bridge.guest_tx(A.0, 0, &hidden), Err(GuestTxError::Refused));
    // A client's request passes.
    offer[34..36].copy_from_slice(&68_u16.to_be_bytes());
    assert_eq!(bridge.guest_tx(A.0, 0, &offer), Ok(()));
    assert_eq!(nic.0.lock().sent.len(), 1);
}

#[test]
fn lengths_that_are_no_frame_are_refused() {
    let (mut bridge, _) = bridge();
    let mut long = frame(OUTSIDE, A.1, 1);
    long.resize(MAX_FRAME + 1, 0);
    assert_eq!(bridge.guest_tx(A.0, 0, &long), Err(GuestTxError::Length));
    for len in 0..HEADER {
        assert_eq!(bridge.guest_tx(A.0, 0, &long[..len]), Err(GuestTxError::Length));
    }
    assert_eq!(bridge.guest_tx(A.0, 1, &long[..60]), Err(GuestTxError::NoPort));
}

#[test]
fn a_frame_that_carries_our_own_address_from_outside_is_dropped() {
    let (mut bridge, nic) = bridge();
    nic.0.lock().arriving.push_back(frame(ALL, OWN, 1));
    nic.0.lock().arriving.push_back(frame(B.1, A.1, 2));
    assert_eq!(own(&mut bridge), []);
    assert_eq!(guest(&mut bridge, B.0), []);
    assert_eq!(bridge.dropped().reflected, 2);
}

#[test]
fn a_guest_that_does_not_read_costs_its_queue_only() {
    let (mut bridge, nic) = bridge();
    for _ in 0..GUEST_QUEUE_FRAMES + 50 {
        nic.0.lock().arriving.push_back(frame(ALL, OUTSIDE, 9));
    }
    let mut seen = 0;
    for _ in 0..20 {
        seen += own(&mut bridge).len();
    }
    assert_eq!(seen, GUEST_QUEUE_FRAMES + 50);
    assert_eq!(guest(&mut bridge, A.0).len(), GUEST_QUEUE_FRAMES);
    assert_eq!(bridge.dropped().guest_full, 100);
}

#[test]
fn a_full_nic_holds_a_bounded_backlog_and_keeps_the_order() {
    let (mut bridge, nic) = bridge();
    nic.0.lock().full = true;
    let mut taken = 0_u8;
    while bridge.guest_tx(A.0, 0, &frame(OUTSIDE, A.1, taken)).is_ok() {
        taken += 1;
        assert!(usize::from(taken) <= BACKLOG_FRAMES);
    }
    assert!(bridge.transmit(Instant::ZERO).is_none(), "the node's stack waits too");
    nic.0.lock().full = false;
    assert!(bridge.transmit(Instant::ZERO).is_some());
    let expected: Vec<u8> = (0..taken).collect();
    assert_eq!(wire(&nic), expected);
}

#[test]
fn one_address_serves_one_port() {
    let (mut bridge, _) = bridge();
    for mac in [A.1, OWN, ALL, [0; 6]] {
        assert_eq!(bridge.add_port(VsId([9; 16]), 0, mac), Err(PortError::Mac));
    }
    for index in 2..MAX_PORTS {
        let low = u8::try_from(index).expect("small");
        assert_eq!(bridge.add_port(VsId([9; 16]), u16::from(low), [2, 0, 0, 0, 1, low]), Ok(()));
    }
    assert_eq!(bridge.add_port(VsId([9; 16]), 99, [2, 0, 0, 0, 2, 1]), Err(PortError::TooMany));
    bridge.remove_ports(A.0);
    assert_eq!(bridge.guest_tx(A.0, 0, &frame(ALL, A.1, 1)), Err(GuestTxError::NoPort));
    assert_eq!(bridge.add_port(A.0, 0, A.1), Ok(()));
}

#[test]
fn what_passes_a_guests_interfaces_is_counted_until_they_go() {
    let (mut bridge, nic) = bridge();
    bridge.add_port(A.0, 1, [2, 0, 0, 0, 0, 9]).expect("free");
    bridge.guest_tx(A.0, 0, &frame(OUTSIDE, A.1, 1)).expect("room");
    assert!(bridge.guest_tx(A.0, 1, &frame(OUTSIDE, B.1, 1)).is_err(), "refused, and sent all the same");
    nic.0.lock().arriving.push_back(frame(A.1, OUTSIDE, 2));
    own(&mut bridge);
    // What waits was not handed out yet.
    assert_eq!(bridge.traffic(A.0).frames_in, 0);
    assert_eq!(guest(&mut bridge, A.0), [2]);
    let traffic = Traffic { frames_in: 1, bytes_in: 60, frames_out: 2, bytes_out: 120 };
    assert_eq!((bridge.traffic(A.0), bridge.traffic(B.0)), (traffic, Traffic::default()));
    bridge.remove_ports(A.0);
    assert_eq!(bridge.traffic(A.0), Traffic::default());
}
