use super::*;
use weft_platform::SendPage;

const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

#[derive(Default)]
struct Line {
    arriving: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

#[derive(Clone, Default)]
struct FakeNic(Arc<Mutex<Line>>);

impl Nic for FakeNic {
    fn mac(&self) -> [u8; 6] {
        OWN
    }
    fn mtu(&self) -> usize {
        9000
    }
    fn link_up(&mut self) -> bool {
        true
    }
    fn transmit(&mut self, frame: &[u8]) -> Result<(), TxError> {
        self.0.lock().sent.push(frame.to_vec());
        Ok(())
    }
    fn receive(&mut self, out: &mut [u8]) -> Option<usize> {
        let frame = self.0.lock().arriving.pop_front()?;
        out.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    }
    fn acknowledge_interrupt(&mut self) {}
}

fn frame(kind: [u8; 2], mark: u8) -> Vec<u8> {
    let mut frame = [OWN, PEER].concat();
    frame.extend(kind);
    frame.resize(60, mark);
    frame
}

fn port() -> (Arc<Port>, FakeNic) {
    let nic = FakeNic::default();
    let port = Arc::new(Port::new(Box::new(nic.clone())));
    port.want_links(true);
    (port, nic)
}

fn take_links(port: &Port) -> Vec<u8> {
    let mut marks = Vec::new();
    while port.receive_links(&mut |frame| marks.push(frame[0])) {}
    marks
}

#[test]
fn frames_reach_their_side_in_order_whoever_looks_first() {
    let (port, nic) = port();
    let mut shared = SharedNic(port.clone());
    for mark in 1..=3 {
        nic.0.lock().arriving.push_back(frame(LINK_ETHERTYPE, mark));
        nic.0.lock().arriving.push_back(frame([8, 0], mark + 10));
    }
    let mut out = [0; 1518];
    assert_eq!(shared.receive(&mut out), Some(60));
    assert_eq!(out[14], 11);
    assert_eq!(take_links(&port), [1, 2, 3]);
    assert!(port.has_others());
    for mark in [12, 13] {
        assert_eq!(shared.receive(&mut out), Some(60));
        assert_eq!(out[14], mark);
    }
    assert_eq!(shared.receive(&mut out), None);
    assert!(!port.has_others());
    let all = Traffic { frames_in: 6, bytes_in: 360, ..Traffic::default() };
    let counters = PortCounters { links: 3, others: 3, all, ..PortCounters::default() };
    assert_eq!(port.counters(), counters);
}

#[test]
fn a_side_that_does_not_look_costs_its_queue_and_nothing_else() {
    let (port, nic) = port();
    for _ in 0..LINK_QUEUE_FRAMES + 100 {
        nic.0.lock().arriving.push_back(frame(LINK_ETHERTYPE, 1));
    }
    nic.0.lock().arriving.push_back(frame([8, 6], 2));
    while port.inner.lock().pump() {}
    let counters = port.counters();
    assert_eq!((counters.links_dropped, counters.others), (100, 1));
    assert_eq!(take_links(&port).len(), LINK_QUEUE_FRAMES);
}

#[test]
fn a_frame_can_be_sent_while_one_is_taken() {
    let (port, nic) = port();
    nic.0.lock().arriving.push_back(frame(LINK_ETHERTYPE, 1));
    port.receive_links(&mut |_| port.transmit_link(PEER, b"answer", None).expect("room"));
    let mut expected = [PEER, OWN].concat();
    expected.extend(LINK_ETHERTYPE);
    expected.extend(b"answer");
    assert_eq!(nic.0.lock().sent, [expected.clone()]);
    // Both ways are counted, whichever side a frame is of.
    SharedNic(port.clone()).transmit(&[0; 100]).expect("room");
    let bytes_out = expected.len() as u64 + 100;
    assert_eq!(port.counters().all, Traffic { frames_in: 1, bytes_in: 60, frames_out: 2, bytes_out });
}

struct Page;

impl SendPage for Page {
    fn device_address(&self) -> u64 {
        0
    }
    fn size(&self) -> usize {
        4096
    }
    fn read(&self, offset: usize, out: &mut [u8]) {
        (0..).zip(out).for_each(|(i, byte): (usize, _)| *byte = (offset + i) as u8);
    }
}

#[test]
fn a_nic_that_cannot_gather_copies() {
    let (port, nic) = port();
    let piece = Piece { page: Arc::new(Page), offset: 2, length: 3 };
    port.transmit_link(PEER, &[9], Some(&piece)).expect("room");
    assert_eq!(nic.0.lock().sent[0][14..], [9, 2, 3, 4]);
}

#[test]
fn overlong_frames_are_dropped_and_counted() {
    let (port, nic) = port();
    nic.0.lock().arriving.push_back(vec![0; 2000]);
    nic.0.lock().arriving.push_back(frame([8, 0], 5));
    let mut shared = SharedNic(port.clone());
    assert_eq!(shared.receive(&mut [0; 1518]), Some(60));
    assert_eq!(port.counters().others_dropped, 1);
}

#[test]
fn frames_of_the_interconnect_are_dropped_while_nobody_wants_them() {
    let (port, nic) = port();
    port.want_links(false);
    nic.0.lock().arriving.push_back(frame(LINK_ETHERTYPE, 1));
    assert!(!port.waiting());
    assert_eq!(port.counters().links_dropped, 1);
    assert_eq!(take_links(&port), []);
    nic.0.lock().arriving.push_back(frame(LINK_ETHERTYPE, 2));
    assert!(port.waiting());
    assert_eq!(take_links(&port), [2]);
}
