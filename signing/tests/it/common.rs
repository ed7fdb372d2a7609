//! Fixed keys, documents and images for the tests of this folder.

use weft_format::delegation::{Appliance, Delegation};
use weft_format::{RootSet, pe};
use weft_signing::image::{self, Release};
use weft_signing::{Holder, document};
use weft_types::{BlobDigest, ClusterId, NodeId, PartitionId, VsId};
use weft_wire::cluster::{
    CLUSTER_VERSION, ClusterConfig, ClusterEnvelope, ClusterPayload, LinkKey, Member, PartitionSpec, Place,
    SpanSpec,
};
use weft_wire::record::{
    BlobRef, Desired, Envelope, NodeConfig, Payload, RECORD_VERSION, Standing, Verdict, VsSpec,
};

/// A moment within the validity of everything made here.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn holder(number: u8) -> Holder {
    let name = format!("holder-{number}");
    Holder::from_seed(&name, [number; 32].into()).expect("a key")
}

/// Two of the holders 1, 2, 3.
pub(crate) fn roots() -> RootSet {
    roots_of(1, 2, &[1, 2, 3])
}

pub(crate) fn roots_of(version: u64, k: usize, holders: &[u8]) -> RootSet {
    let keys: Vec<[u8; 32]> = holders.iter().map(|number| *holder(*number).public_key()).collect();
    RootSet::new(version, k, &keys, false).expect("a root set")
}

/// A PE32+ file with the given sections, 512-byte aligned, without a checksum.
pub(crate) fn pe_file(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file[..2].copy_from_slice(b"MZ");
    file[60] = 64;
    file.extend_from_slice(b"PE\0\0");
    file.extend_from_slice(&0x8664u16.to_le_bytes());
    file.extend_from_slice(&u16::try_from(sections.len()).expect("few").to_le_bytes());
    file.extend_from_slice(&[0; 12]);
    file.extend_from_slice(&240u16.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    let optional = file.len();
    file.resize(optional + 240, 0);
    file[optional..optional + 2].copy_from_slice(&0x20bu16.to_le_bytes());
    file[optional + 108] = 16;
    let table_end = file.len() + 40 * sections.len();
    let mut offset = table_end.next_multiple_of(512);
    let mut address = 0x1000u32;
    for (name, content) in sections {
        let mut padded = [0; 8];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        file.extend_from_slice(&padded);
        let file_size = content.len().next_multiple_of(512);
        for number in [content.len(), address as usize, file_size, offset] {
            file.extend_from_slice(&u32::try_from(number).expect("small").to_le_bytes());
        }
        file.extend_from_slice(&[0; 16]);
        offset += file_size;
        address += 0x10000;
    }
    for (_, content) in sections {
        file.resize(file.len().next_multiple_of(512), 0);
        file.extend_from_slice(content);
    }
    file.resize(file.len().next_multiple_of(512), 0);
    file
}

/// An image as the build leaves it: its manifest section is empty.
pub(crate) fn blank_image(payload: &[u8]) -> Vec<u8> {
    blank_image_pinning(&document::root_set(&roots()), payload)
}

pub(crate) fn blank_image_pinning(roots: &[u8], payload: &[u8]) -> Vec<u8> {
    pe_file(&[
        (".text", b"stub"),
        (pe::ROOTS_SECTION, roots),
        (pe::MANIFEST_SECTION, &[0; 4096]),
        (pe::PAYLOAD_SECTION, payload),
    ])
}

pub(crate) fn release() -> Release {
    Release {
        build_id: "test-1".into(),
        generation: 7,
        least_generation: 5,
        not_before: NOW - 1000,
        expiry: NOW + 1000,
    }
}

/// An image that the given holders signed.
pub(crate) fn signed_image(payload: &[u8], holders: &[u8]) -> Vec<u8> {
    let mut file = blank_image(payload);
    image::place_manifest(&mut file, &release(), &roots()).expect("place");
    for number in holders {
        image::sign(&mut file, &holder(*number), &roots()).expect("sign");
    }
    file
}

/// The same file after Authenticode: checksum, certificate entry, certificates.
pub(crate) fn with_certificates(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let optional = 64 + 24;
    let start = u32::try_from(file.len()).expect("small");
    file[optional + 64..optional + 68].copy_from_slice(&0x1234_5678u32.to_le_bytes());
    let entry = optional + 112 + 32;
    file[entry..entry + 4].copy_from_slice(&start.to_le_bytes());
    file[entry + 4..entry + 8].copy_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&[0xcc; 16]);
    file
}

/// The record key of appliance `hall-a` is holder 21's, of `hall-b` holder 22's.
pub(crate) fn delegation() -> Delegation {
    let appliance = |name: &str, number: u8, address| Appliance {
        name: name.into(),
        channel_key: [number; 32],
        record_key: *holder(number).public_key(),
        agent_port: 4470,
        http_port: 80,
        address,
    };
    Delegation {
        version: 4,
        root_version: 1,
        not_before: NOW - 1000,
        expiry: NOW + 1000,
        appliances: vec![appliance("hall-a", 21, Some([10, 0, 0, 1])), appliance("hall-b", 22, None)],
        revoked: Vec::new(),
    }
}

pub(crate) fn signed_delegation(delegation: &Delegation, holders: &[u8]) -> Vec<u8> {
    let blank = document::delegation(delegation).expect("encode");
    holders
        .iter()
        .fold(blank, |bytes, number| document::sign(&bytes, &holder(*number), &roots()).expect("sign"))
}

pub(crate) const NODE: NodeId = NodeId([0x0d; 16]);
pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);
pub(crate) const NONCE: [u8; 16] = [0x40; 16];

/// An envelope by holder 21's key for [`NODE`] in this boot.
pub(crate) fn envelope(epoch: u64, counter: u64) -> Envelope {
    Envelope {
        version: RECORD_VERSION,
        key_id: holder(21).key_id().0,
        node: NODE,
        cluster: CLUSTER,
        epoch,
        counter,
        boot_nonce: NONCE,
    }
}

pub(crate) fn payload() -> Payload {
    Payload::Config(NodeConfig { name: "node-1".into(), servers: Vec::new() })
}

pub(crate) fn standing() -> Payload {
    Payload::Standing(Standing {
        unix_time_s: NOW,
        manifest_digest: BlobDigest([3; 32]),
        delegation_version: 4,
        verdict: Verdict::Good,
    })
}

fn server(number: u8, initrd: Option<BlobRef>) -> VsSpec {
    VsSpec {
        id: VsId([number; 16]),
        name: format!("vs-{number}"),
        generation: 300,
        instance: 2,
        desired: Desired::Running,
        vcpus: 2,
        memory_mib: 512,
        kernel: BlobRef { digest: BlobDigest([number; 32]), size: 8_000_000 },
        initrd,
        append: "quiet".into(),
        macs: vec![[2, 0, 0, 0, 0, number]],
        affinity: Vec::new(),
        span: None,
    }
}

pub(crate) fn two_servers() -> Payload {
    let initrd = BlobRef { digest: BlobDigest([9; 32]), size: 1 };
    Payload::Config(NodeConfig {
        name: "node-2".into(),
        servers: vec![server(1, None), server(2, Some(initrd))],
    })
}

/// The two ends of a span: node and address on the interconnect.
const ENDS: [(NodeId, [u8; 6]); 2] = [(NODE, [2, 0, 0, 0, 0, 1]), (NodeId([0x0e; 16]), [2, 0, 0, 0, 0, 2])];

/// A server that lies over two nodes.
fn span_server() -> VsSpec {
    let place = |(node, mac)| Place { node, mac, address: [10, 0, 0, 100], vcpus: 1, memory_mib: 256 };
    let span = SpanSpec {
        partition: PartitionId([0x70; 16]),
        epoch: 7,
        key: LinkKey([8; 32]),
        pinned: false,
        places: ENDS.map(place).to_vec(),
    };
    VsSpec { span: Some(span), ..server(3, None) }
}

/// What a node is told that holds a part of a server.
pub(crate) fn spanning() -> Payload {
    Payload::Config(NodeConfig { name: "node-2".into(), servers: vec![span_server()] })
}

/// A partition of two nodes and a server that lies over both.
pub(crate) fn cluster_payload() -> ClusterPayload {
    let member = |(node, mac)| Member { node, mac, address: [10, 0, 0, 100], cpus: 2, memory_mib: 2048 };
    let partition = PartitionSpec {
        id: PartitionId([0x70; 16]),
        name: "p1".into(),
        members: ENDS.map(member).to_vec(),
        key: LinkKey([9; 32]),
    };
    ClusterPayload::Config(ClusterConfig { partition, servers: vec![span_server()] })
}

/// A cluster envelope by holder 21's key.
pub(crate) fn cluster_envelope(counter: u64) -> ClusterEnvelope {
    ClusterEnvelope {
        version: CLUSTER_VERSION,
        key_id: holder(21).key_id().0,
        cluster: CLUSTER,
        partition: PartitionId([0x70; 16]),
        epoch: 1,
        counter,
    }
}

pub(crate) fn cluster_record(envelope: &ClusterEnvelope, payload: &ClusterPayload) -> Vec<u8> {
    let unsigned = weft_format::cluster::encode_unsigned_cluster(envelope, payload).expect("encode");
    sign_record(unsigned, 21)
}

/// Any bytes, signed as a record by a holder.
pub(crate) fn sign_record(unsigned: Vec<u8>, number: u8) -> Vec<u8> {
    let signature = holder(number).sign(&unsigned).signature;
    weft_format::record::with_signature(unsigned, &signature)
}

pub(crate) fn record(envelope: &Envelope, payload: &Payload) -> Vec<u8> {
    let unsigned = weft_format::record::encode_unsigned(envelope, payload).expect("encode");
    sign_record(unsigned, 21)
}
