//! Records that a node must refuse, each for its own reason.

use crate::common::{
    CLUSTER, NODE, NONCE, cluster_envelope, cluster_payload, cluster_record, delegation, envelope, holder,
    payload, record, sign_record,
};
use proptest::prelude::*;
use weft_format::record::{encode_unsigned, with_signature};
use weft_format::{DalekVerifier, RecordError, RecordGate, key_id, verify_cluster};
use weft_signing::RingVerifier;
use weft_types::{BlobDigest, ClusterId, NodeId, VsId};
use weft_wire::cluster::{CLUSTER_VERSION, ClusterEnvelope};
use weft_wire::record::{
    BlobRef, Desired, Envelope, MAX_RECORD, NodeConfig, Payload, RECORD_DOMAIN, RECORD_VERSION, Standing,
    Verdict, VsSpec,
};

type Answer = Result<(Envelope, Payload), RecordError>;

fn gate() -> RecordGate {
    RecordGate::new(NODE, NONCE)
}

/// What a fresh gate says; both verifiers must say the same.
fn judge(bytes: &[u8]) -> Answer {
    let dalek = gate().accept(bytes, &delegation(), &DalekVerifier);
    let ring = gate().accept(bytes, &delegation(), &RingVerifier);
    assert_eq!(dalek, ring);
    dalek
}

fn refusal(answer: Answer) -> RecordError {
    answer.expect_err("refused")
}

#[test]
fn good_records_in_order_are_accepted() {
    let mut gate = gate();
    assert_eq!(gate.last_record(), (0, 0));
    for (epoch, counter) in [(1, 1), (1, 2), (1, 9), (2, 1)] {
        let bytes = record(&envelope(epoch, counter), &payload());
        let answer = gate.accept(&bytes, &delegation(), &DalekVerifier);
        assert_eq!(answer, Ok((envelope(epoch, counter), payload())));
        assert_eq!(gate.last_record(), (epoch, counter));
    }
    assert_eq!(gate.cluster(), Some(CLUSTER));
}

#[test]
fn a_replayed_record_is_refused_and_so_is_a_stale_one() {
    let mut gate = gate();
    let mut ask = |epoch, counter| {
        let bytes = record(&envelope(epoch, counter), &payload());
        gate.accept(&bytes, &delegation(), &DalekVerifier)
    };
    assert!(ask(2, 5).is_ok());
    for (epoch, counter) in [(2, 5), (2, 4), (1, 99)] {
        assert_eq!(
            refusal(ask(epoch, counter)),
            RecordError::Replayed { epoch, counter, last_epoch: 2, last_counter: 5 }
        );
    }
    assert!(ask(2, 6).is_ok());
}

#[test]
fn another_nodes_record_is_refused() {
    let node = NodeId([7; 16]);
    let bytes = record(&Envelope { node, ..envelope(1, 1) }, &payload());
    assert_eq!(refusal(judge(&bytes)), RecordError::OtherNode(node));
}

#[test]
fn a_record_of_an_earlier_boot_is_refused() {
    let bytes = record(&Envelope { boot_nonce: [9; 16], ..envelope(1, 1) }, &payload());
    assert_eq!(refusal(judge(&bytes)), RecordError::OtherBoot);
}

#[test]
fn a_record_of_another_cluster_is_refused_once_one_is_pinned() {
    let mut gate = gate();
    let first = record(&envelope(1, 1), &payload());
    assert!(gate.accept(&first, &delegation(), &DalekVerifier).is_ok());
    let cluster = ClusterId([2; 16]);
    let bytes = record(&Envelope { cluster, ..envelope(1, 2) }, &payload());
    let answer = gate.accept(&bytes, &delegation(), &DalekVerifier);
    assert_eq!(refusal(answer), RecordError::OtherCluster(cluster));
}

#[test]
fn a_refused_record_leaves_the_gate_as_it_was() {
    let mut gate = gate();
    let foreign = Envelope { node: NodeId([7; 16]), cluster: ClusterId([2; 16]), ..envelope(9, 9) };
    let answer = gate.accept(&record(&foreign, &payload()), &delegation(), &DalekVerifier);
    assert!(answer.is_err());
    assert_eq!((gate.last_record(), gate.cluster()), ((0, 0), None));
}

#[test]
fn a_truncated_record_is_refused_at_every_length() {
    let good = record(&envelope(1, 1), &payload());
    for len in 0..good.len() {
        let error = refusal(judge(&good[..len]));
        if len < 16 + 2 + 64 {
            assert_eq!(error, RecordError::Truncated, "{len}");
        } else {
            let known = [RecordError::Truncated, RecordError::Signature];
            assert!(known.contains(&error), "{len}: {error}");
        }
    }
}

#[test]
fn a_truncated_payload_is_refused_even_when_signed() {
    let whole = encode_unsigned(&envelope(1, 1), &payload()).expect("encode");
    let cut = whole[..whole.len() - 1].to_vec();
    assert_eq!(refusal(judge(&sign_record(cut, 21))), RecordError::Payload);
}

#[test]
fn trailing_bytes_are_refused_signed_or_not() {
    let mut appended = record(&envelope(1, 1), &payload());
    appended.push(0);
    assert_eq!(refusal(judge(&appended)), RecordError::Signature);
    let mut unsigned = encode_unsigned(&envelope(1, 1), &payload()).expect("encode");
    unsigned.push(0);
    assert_eq!(refusal(judge(&sign_record(unsigned, 21))), RecordError::Trailing);
}

#[test]
fn trailing_bytes_within_the_envelope_are_refused() {
    let mut head = postcard::to_allocvec(&envelope(1, 1)).expect("encode");
    head.push(0);
    assert_eq!(refusal(judge(&assemble(&head))), RecordError::Trailing);
}

#[test]
fn a_non_canonical_envelope_is_refused() {
    // The version as a number of two bytes; postcard itself accepts it.
    let head = postcard::to_allocvec(&envelope(1, 1)).expect("encode");
    let mut long = vec![head[0] | 0x80, 0x00];
    long.extend_from_slice(&head[1..]);
    let read: Envelope = postcard::from_bytes(&long).expect("postcard accepts it");
    assert_eq!(read, envelope(1, 1));
    assert_eq!(refusal(judge(&assemble(&long))), RecordError::NotCanonical);
}

#[test]
fn a_non_canonical_payload_is_refused() {
    let mut unsigned = encode_unsigned(&envelope(1, 1), &payload()).expect("encode");
    // The payload ends in the number of servers, 0, here as a number of two bytes.
    assert_eq!(unsigned.pop(), Some(0));
    unsigned.extend_from_slice(&[0x80, 0x00]);
    assert_eq!(refusal(judge(&sign_record(unsigned, 21))), RecordError::NotCanonical);
}

/// A record by holder 21 with an envelope of any bytes.
fn assemble(head: &[u8]) -> Vec<u8> {
    let mut unsigned = RECORD_DOMAIN.to_vec();
    unsigned.extend_from_slice(&u16::try_from(head.len()).expect("short").to_le_bytes());
    unsigned.extend_from_slice(head);
    unsigned.extend(postcard::to_allocvec(&payload()).expect("encode"));
    sign_record(unsigned, 21)
}

#[test]
fn a_foreign_key_is_refused() {
    let envelope = Envelope { key_id: holder(9).key_id().0, ..envelope(1, 1) };
    let unsigned = encode_unsigned(&envelope, &payload()).expect("encode");
    let bytes = sign_record(unsigned, 9);
    assert_eq!(refusal(judge(&bytes)), RecordError::ForeignKey(holder(9).key_id()));
}

#[test]
fn a_foreign_key_under_a_delegated_name_is_refused() {
    let unsigned = encode_unsigned(&envelope(1, 1), &payload()).expect("encode");
    assert_eq!(refusal(judge(&sign_record(unsigned, 9))), RecordError::Signature);
}

#[test]
fn a_revoked_key_is_refused() {
    let mut delegation = delegation();
    let id = key_id(holder(21).public_key());
    delegation.revoked.push(id);
    let bytes = record(&envelope(1, 1), &payload());
    let answer = gate().accept(&bytes, &delegation, &DalekVerifier);
    assert_eq!(refusal(answer), RecordError::RevokedKey(id));
}

#[test]
fn another_layout_is_refused_by_its_number() {
    for found in [0, RECORD_VERSION - 1, RECORD_VERSION + 1, u16::MAX] {
        let bytes = record(&Envelope { version: found, ..envelope(1, 1) }, &payload());
        assert_eq!(refusal(judge(&bytes)), RecordError::Version { found, spoken: RECORD_VERSION });
    }
    // Whatever stands behind the number, even where this layout could not be read.
    let refused = refusal(judge(&assemble(&[RECORD_VERSION as u8 + 1])));
    assert_eq!(refused.to_string(), "the record has layout 4, and layout 3 is spoken here");
}

#[test]
fn a_record_from_before_servers_could_span_nodes_is_refused_by_its_layout() {
    let bytes = include_bytes!("../../fuzz/corpus/record/bad-layout-1");
    assert_eq!(refusal(judge(bytes)), RecordError::Version { found: 1, spoken: RECORD_VERSION });
    // Its number is what refuses it in words; under another, the same bytes are nonsense at best.
    let (unsigned, _) = bytes.split_last_chunk::<64>().expect("a signature");
    let mut renumbered = unsigned.to_vec();
    assert_eq!(renumbered[18], 1);
    renumbered[18] = RECORD_VERSION as u8;
    assert_eq!(refusal(judge(&sign_record(renumbered, 21))), RecordError::Payload);
}

#[test]
fn a_cluster_record_of_another_layout_is_refused_by_its_number() {
    let key = *holder(21).public_key();
    let judge = |bytes: &[u8]| verify_cluster(bytes, |_| Ok(key), &DalekVerifier);
    let good = cluster_record(&cluster_envelope(1), &cluster_payload());
    assert_eq!(judge(&good), Ok((cluster_envelope(1), cluster_payload())));
    for found in [CLUSTER_VERSION - 1, CLUSTER_VERSION + 1] {
        let bytes =
            cluster_record(&ClusterEnvelope { version: found, ..cluster_envelope(1) }, &cluster_payload());
        assert_eq!(judge(&bytes), Err(RecordError::Version { found, spoken: CLUSTER_VERSION }));
    }
}

#[test]
fn another_kind_of_document_is_refused() {
    let mut unsigned = encode_unsigned(&envelope(1, 1), &payload()).expect("encode");
    unsigned[0] = b'W';
    assert_eq!(refusal(judge(&sign_record(unsigned, 21))), RecordError::Tag);
}

#[test]
fn an_oversized_record_is_refused_by_both_sides() {
    let fits = |name_len: usize| {
        let config = NodeConfig { name: "x".repeat(name_len), servers: Vec::new() };
        encode_unsigned(&envelope(1, 1), &Payload::Config(config))
    };
    let spare = MAX_RECORD - (fits(1000).expect("fits").len() + 64);
    let largest = fits(1000 + spare).expect("fits");
    let bytes = sign_record(largest, 21);
    assert_eq!(bytes.len(), MAX_RECORD);
    assert!(judge(&bytes).is_ok());
    assert_eq!(fits(1001 + spare), Err(RecordError::TooLong(MAX_RECORD + 1)));
    let long = with_signature(vec![0; MAX_RECORD], &[0; 64]);
    assert_eq!(refusal(judge(&long)), RecordError::TooLong(MAX_RECORD + 64));
}

fn any_payload() -> impl Strategy<Value = Payload> {
    let server = (any::<[u8; 16]>(), "[a-z]{0,20}", any::<u64>(), any::<u16>(), any::<u32>(), any::<bool>())
        .prop_map(|(id, name, generation, vcpus, memory_mib, on)| VsSpec {
            id: VsId(id),
            append: name.clone(),
            name,
            generation,
            instance: generation / 2,
            desired: if on { Desired::Running } else { Desired::Stopped },
            vcpus,
            memory_mib,
            kernel: BlobRef { digest: BlobDigest([1; 32]), size: generation },
            initrd: on.then_some(BlobRef { digest: BlobDigest([2; 32]), size: 5 }),
            macs: vec![[2, 0, 0, 0, 0, 1]],
            affinity: Vec::new(),
            span: None,
        });
    let config = ("[ -~]{0,40}", proptest::collection::vec(server, 0..4))
        .prop_map(|(name, servers)| Payload::Config(NodeConfig { name, servers }));
    let standing = (any::<u64>(), any::<[u8; 32]>()).prop_map(|(number, digest)| {
        Payload::Standing(Standing {
            unix_time_s: number,
            manifest_digest: BlobDigest(digest),
            delegation_version: number,
            verdict: Verdict::Good,
        })
    });
    prop_oneof![config, standing]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_record_comes_back_as_it_was(payload in any_payload(), epoch: u64, counter: u64) {
        let bytes = record(&envelope(epoch, counter), &payload);
        prop_assert_eq!(judge(&bytes), Ok((envelope(epoch, counter), payload)));
    }

    #[test]
    fn no_bit_of_a_record_can_change(payload in any_payload(), at: prop::sample::Index) {
        let mut bytes = record(&envelope(1, 1), &payload);
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(judge(&bytes).is_err());
    }
}
