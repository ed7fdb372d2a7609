//! Operators' certificates and amendments: what is judged, and what an amendment can do to a configuration.

use weft_format::operator::{
    Amended, OperatorError, amend, amended_link_key, amended_number, encode_unsigned_amendment,
    encode_unsigned_certificate, is_amended, is_name, verify_amendment, verify_certificate,
};
use weft_format::{DalekVerifier, KeyId, RecordError};
use weft_types::{ConfigNumber, PartitionId, VsId};
use weft_wire::cluster::{ClusterConfig, ClusterPayload, MAX_CLUSTER_RECORD};
use weft_wire::operator::{Amendment, Certificate, Change, MAX_CHANGES, OPERATOR_VERSION, Role};
use weft_wire::record::Desired;

use crate::common::{CLUSTER, cluster_payload, holder, sign_record};

fn named(name: &str) -> Certificate {
    Certificate {
        version: OPERATOR_VERSION,
        key_id: holder(21).key_id().0,
        cluster: CLUSTER,
        channel_key: [0x11; 32],
        sign_key: *holder(22).public_key(),
        not_before: 100,
        expiry: 200,
        role: Role::Operate,
        name: name.into(),
    }
}

/// By holder 21's key, for holder 22.
pub(crate) fn certificate() -> Vec<u8> {
    sign_record(encode_unsigned_certificate(&named("ann")).expect("within bounds"), 21)
}

fn base() -> ConfigNumber {
    ConfigNumber::of_appliance(1, 7).expect("a number")
}

fn config() -> ClusterConfig {
    match cluster_payload() {
        ClusterPayload::Config(config) => config,
        other => panic!("no configuration: {other:?}"),
    }
}

fn change(generation: u64, instance: u64, running: bool) -> Change {
    Change { vs: config().servers[0].id, generation, instance, running }
}

fn amendment_of(changes: Vec<Change>) -> Amendment {
    Amendment {
        version: OPERATOR_VERSION,
        cluster: CLUSTER,
        partition: PartitionId([0x70; 16]),
        base: (base().epoch, base().counter),
        number: 1,
        changes,
    }
}

/// By holder 22.
pub(crate) fn amendment() -> Vec<u8> {
    let amendment = amendment_of(vec![change(300, 300, true)]);
    sign_record(encode_unsigned_amendment(&amendment).expect("within bounds"), 22)
}

/// A cluster record, amended.
pub(crate) fn amended(base: &[u8]) -> Vec<u8> {
    Amended { certificate: &certificate(), amendment: &amendment(), base }.encode().expect("within bounds")
}

fn judge(bytes: &[u8]) -> Result<Certificate, OperatorError> {
    let known = holder(21);
    let lookup = |id: KeyId| {
        if id == known.key_id() { Ok(*known.public_key()) } else { Err(RecordError::ForeignKey(id)) }
    };
    verify_certificate(bytes, lookup, &DalekVerifier)
}

#[test]
fn a_certificate_is_taken_from_its_signer_alone() {
    assert_eq!(judge(&certificate()).map(|certificate| certificate.name), Ok("ann".to_string()));
    let other = sign_record(encode_unsigned_certificate(&named("ann")).expect("within bounds"), 20);
    assert_eq!(judge(&other), Err(OperatorError::Signature));
    let foreign = Certificate { key_id: holder(20).key_id().0, ..named("ann") };
    let foreign = sign_record(encode_unsigned_certificate(&foreign).expect("within bounds"), 20);
    assert!(matches!(judge(&foreign), Err(OperatorError::Key(RecordError::ForeignKey(_)))));
    // A signature over another kind of document is none over this one.
    assert_eq!(judge(&amendment()), Err(OperatorError::Malformed));
}

#[test]
fn every_bent_or_shortened_document_is_refused() {
    let (certificate, amendment) = (certificate(), amendment());
    for at in 0..certificate.len() {
        let mut bent = certificate.clone();
        bent[at] ^= 1;
        assert!(judge(&bent).is_err() && judge(&certificate[..at]).is_err(), "byte {at}");
    }
    let key = *holder(22).public_key();
    for at in 0..amendment.len() {
        let mut bent = amendment.clone();
        bent[at] ^= 1;
        let judge = |bytes: &[u8]| verify_amendment(bytes, &key, &DalekVerifier);
        assert!(judge(&bent).is_err() && judge(&amendment[..at]).is_err(), "byte {at}");
    }
}

#[test]
fn another_layout_is_refused_by_its_number() {
    let mut later = encode_unsigned_certificate(&named("ann")).expect("within bounds");
    later[16] = 2;
    let later = sign_record(later, 21);
    assert_eq!(judge(&later), Err(OperatorError::Version { found: 2, spoken: 1 }));
}

#[test]
fn names_are_short_and_plain() {
    let longest = "x".repeat(63);
    assert!(["a", "ann@night-shift.example_1", longest.as_str()].iter().all(|name| is_name(name)));
    let too_long = "x".repeat(64);
    for bad in ["", "a b", "a\n", "ä", too_long.as_str()] {
        assert_eq!(encode_unsigned_certificate(&named(bad)), Err(OperatorError::Name), "{bad}");
    }
    let longest = sign_record(encode_unsigned_certificate(&named(&longest)).expect("within bounds"), 21);
    assert!(judge(&longest).is_ok(), "the longest name fits a certificate");
}

#[test]
fn an_amendment_holds_as_many_changes_as_a_partition_has_servers() {
    let most = amendment_of(vec![change(u64::MAX, u64::MAX, true); MAX_CHANGES]);
    assert!(encode_unsigned_amendment(&most).is_ok());
    for count in [0, MAX_CHANGES + 1] {
        let wrong = amendment_of(vec![change(300, 300, true); count]);
        assert_eq!(encode_unsigned_amendment(&wrong), Err(OperatorError::Count(count)));
    }
}

#[test]
fn an_amended_record_comes_apart_as_it_was_put_together() {
    let record = amended(b"the appliance's");
    assert!(is_amended(&record) && !is_amended(&certificate()));
    let parts = Amended::parse(&record).expect("sound");
    let expected = Amended { certificate: &certificate(), amendment: &amendment(), base: b"the appliance's" };
    assert_eq!(parts, expected);
    let long = vec![0; MAX_CLUSTER_RECORD + 1];
    let size = long.len();
    let too_long = Amended { base: &long, ..expected };
    assert_eq!(too_long.encode(), Err(OperatorError::TooLong(size)));
}

#[test]
fn an_amendment_starts_and_stops_and_changes_nothing_else() {
    let before = config();
    let (generation, instance) = (before.servers[0].generation + 1, before.servers[0].instance + 1);
    let mut started = before.clone();
    amend(&mut started, &amendment_of(vec![change(generation, instance, true)])).expect("later");
    let (server, span) = (&started.servers[0], started.servers[0].span.as_ref().expect("a span"));
    assert_eq!(
        (server.desired, server.generation, server.instance),
        (Desired::Running, generation, instance)
    );
    let key = amended_link_key(&before.partition.key, server.id, instance);
    assert_eq!((span.epoch, span.key), (instance, key));
    assert_ne!(key, amended_link_key(&before.partition.key, server.id, instance + 1));
    // Put back what may change: the rest is as it was.
    let mut rest = started.clone();
    let old = &before.servers[0];
    rest.servers[0].desired = old.desired;
    (rest.servers[0].generation, rest.servers[0].instance) = (old.generation, old.instance);
    rest.servers[0].span = old.span.clone();
    assert_eq!(rest, before);
    // A stop keeps instance and key.
    let mut stopped = before.clone();
    amend(&mut stopped, &amendment_of(vec![change(generation, old.instance, false)])).expect("later");
    assert_eq!((stopped.servers[0].desired, &stopped.servers[0].span), (Desired::Stopped, &old.span));
}

#[test]
fn changes_of_unknown_servers_and_older_ones_are_refused() {
    let old = config().servers[0].clone();
    let refused = |change| amend(&mut config(), &amendment_of(vec![change])).unwrap_err();
    assert_eq!(refused(change(old.generation, old.instance, true)), OperatorError::Stale(old.id));
    assert_eq!(refused(change(old.generation + 1, old.instance - 1, true)), OperatorError::Stale(old.id));
    let unknown = VsId([0xee; 16]);
    assert_eq!(refused(Change { vs: unknown, ..change(300, 300, true) }), OperatorError::Unknown(unknown));
}

#[test]
fn two_amendments_of_one_base_have_two_numbers() {
    let one = amendment_of(vec![change(300, 300, true)]);
    let number = |signed: &[u8]| amended_number(base(), &one, signed);
    assert_ne!(number(b"one"), number(b"another"));
    assert!(number(b"one").is_some_and(|number| number > base() && number.amendment() == 1));
    let other = ConfigNumber::of_appliance(1, 8).expect("a number");
    assert_eq!(amended_number(other, &one, b"one"), None, "of another base");
}
