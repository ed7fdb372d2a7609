//! Images and blobs: what is refused, what is served, what a crash leaves.

use std::io::Read;
use std::net::UdpSocket;
use std::time::Duration;

use serde_json::json;
use weft_server::simnode::Heard;
use weft_wire::record::Verdict;

use crate::common::{Appliance, Made, digests, hex, sim, unix_s};

pub(crate) fn tftp(at: std::net::SocketAddr, name: &str) -> Result<Vec<u8>, u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    socket.send_to(&[&[0, 1], name.as_bytes(), b"\0octet\0"].concat(), at).expect("sent");
    let mut file = Vec::new();
    let mut packet = [0; 600];
    let mut next = 1u16;
    loop {
        let (size, from) = socket.recv_from(&mut packet).expect("a packet");
        match packet[1] {
            3 => {
                // What was acknowledged late is sent once more.
                let new = packet[2..4] == next.to_be_bytes();
                socket.send_to(&[0, 4, packet[2], packet[3]], from).expect("acknowledged");
                if new {
                    file.extend_from_slice(&packet[4..size]);
                    if size < 516 {
                        return Ok(file);
                    }
                    next = next.wrapping_add(1);
                }
            }
            _ => return Err(u16::from_be_bytes([packet[2], packet[3]])),
        }
    }
}

pub(crate) fn http(at: std::net::SocketAddr, path: &str) -> (u16, Vec<u8>) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(at).expect("connects");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: weft\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let status = String::from_utf8_lossy(&answer[9..12]).parse().expect("a status");
    (status, answer[end..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_would_refuse_is_refused_and_nothing_is_kept() {
    let (_folder, appliance, client, good) = Appliance::with_image().await;
    let mut flipped = good.clone();
    let at = flipped.windows(10).position(|window| window == b"a monitor ").expect("the payload");
    flipped[at] ^= 1;
    let mut mixed = Made { payload: b"another  ".repeat(2000), ..Made::default() }.file();
    let section = weft_format::pe::find_section(&good, weft_format::pe::MANIFEST_SECTION).expect("a section");
    let range = section.content_range().expect("a range");
    mixed[range.clone()].copy_from_slice(&good[range]);
    let cases = [
        ("one bit changed", flipped, "image-changed"),
        ("image and manifest mixed", mixed, "image-changed"),
        ("unsigned", Made { holders: vec![], ..Made::default() }.file(), "image-unsigned"),
        ("too few signatures", Made { holders: vec![1], ..Made::default() }.file(), "image-unsigned"),
        (
            "expired",
            Made { expiry: unix_s() - 5, payload: b"late".repeat(999), ..Made::default() }.file(),
            "image-expired",
        ),
        ("older than the floor", Made { generation: 4, least: 1, ..Made::default() }.file(), "image-too-old"),
        ("no image at all", b"hello".to_vec(), "image-malformed"),
        ("cut short", good[..good.len() / 2].to_vec(), "image-malformed"),
    ];
    for (what, file, code) in cases {
        let (status, reply) = client.send("POST", "/api/v1/images", file).await;
        assert_eq!((status, reply["code"].as_str()), (422, Some(code)), "{what}: {reply}");
    }
    assert_eq!(client.get("/api/v1/images").await.as_array().map(Vec::len), Some(1));
    assert_eq!(std::fs::read_dir(appliance.data.join("files")).expect("files").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn boot_files_and_blobs_are_served_as_published() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let (manifest, image) = digests(&file);
    assert_eq!(tftp(appliance.tftp, "weft.efi").expect("served"), file);
    assert_eq!(weft_format::sha256(&tftp(appliance.tftp, "manifest.bin").expect("served")), manifest);
    assert_eq!(http(appliance.http, "weft.efi"), (200, file.clone()));
    assert_eq!(http(appliance.http, "delegation.bin").0, 200);
    assert_eq!(tftp(appliance.tftp, "weft.bios"), Err(1));
    for secret in ["keys/record.key", "../data/keys/record.key", "admin-password"] {
        assert!(tftp(appliance.tftp, secret).is_err(), "{secret}");
        assert_ne!(http(appliance.http, secret).0, 200, "{secret}");
    }

    // The companion must hold the same monitor.
    let path = format!("/api/v1/images/{}/bios", hex(&image));
    let (status, reply) = client.send("PUT", &path, b"something else".repeat(100)).await;
    assert_eq!((status, reply["code"].as_str()), (422, Some("bios-differs")));
    let companion = [&b"\x7fELF loader "[..], &Made::default().payload, b"roots"].concat();
    assert_eq!(client.send("PUT", &path, companion.clone()).await.0, 200);
    assert_eq!(http(appliance.http, "weft.bios"), (200, companion));
    let script = String::from_utf8(tftp(appliance.tftp, "boot.ipxe").expect("served")).expect("text");
    assert!(
        script.starts_with("#!ipxe\n") && script.contains("weft.bios") && script.contains("manifest.bin")
    );

    let blob = vec![7u8; 3_000_000];
    let (status, reply) = client.send("PUT", "/api/v1/blobs", blob.clone()).await;
    assert_eq!((status, reply["size"].as_u64()), (200, Some(3_000_000)));
    let digest = hex(&weft_format::sha256(&blob));
    assert_eq!(reply["digest"], digest);
    assert_eq!(http(appliance.http, &format!("blob/{digest}")), (200, blob));
    assert_eq!(http(appliance.http, &format!("blob/{}", "0".repeat(64))).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_image_is_no_longer_offered_and_its_nodes_are_told() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("good so far");
    let digest = hex(&digests(&file).1);
    assert_eq!(client.send("POST", &format!("/api/v1/images/{digest}/revoke"), Vec::new()).await.0, 204);
    loop {
        match session.next().await.expect("a message") {
            Heard::Standing(standing) => {
                assert_eq!(standing.verdict, Verdict::Revoked);
                break;
            }
            Heard::Config(_) => panic!("a configuration for a revoked image"),
            Heard::Message(_) | Heard::Refused(_) => {}
        }
    }
    assert_eq!(tftp(appliance.tftp, "weft.efi"), Err(1));
    assert_eq!(client.send("POST", "/api/v1/images", file).await.0, 409);
    assert_eq!(client.send("POST", &format!("/api/v1/images/{digest}/activate"), Vec::new()).await.0, 409);
    let doctor = client.get("/api/v1/doctor").await;
    let of = |name: &str| doctor.as_array().and_then(|all| all.iter().find(|f| f["name"] == name)).cloned();
    assert_eq!(of("image").expect("found")["state"], "fail");
    assert_eq!(of("node-1").expect("found")["state"], "fail");
}

#[tokio::test(flavor = "multi_thread")]
async fn activating_one_image_retires_the_other_and_never_goes_below_the_floor() {
    let (_folder, appliance, client, first) = Appliance::with_image().await;
    let next =
        Made { generation: 8, least: 8, payload: b"the next one ".repeat(2000), ..Made::default() }.file();
    let (status, image) = client.send("POST", "/api/v1/images", next.clone()).await;
    assert_eq!((status, image["state"].as_str()), (201, Some("published")), "{image}");
    assert_eq!(http(appliance.http, "weft.efi").1, first);
    let digest = image["digest"].as_str().expect("a digest");
    assert_eq!(client.send("POST", &format!("/api/v1/images/{digest}/activate"), Vec::new()).await.0, 204);
    assert_eq!(http(appliance.http, "weft.efi").1, next);
    let back = hex(&digests(&first).1);
    let (status, reply) = client.send("POST", &format!("/api/v1/images/{back}/activate"), Vec::new()).await;
    assert_eq!((status, reply["code"].as_str()), (422, Some("image-too-old")), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_an_image_anew_keeps_its_place_and_the_nodes_that_run_the_older_manifest() {
    let (_folder, appliance, client, first) = Appliance::with_image().await;
    let node = sim(1, &first);
    let mut session = appliance.connect(&node).await;
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    let again = Made { generation: 8, ..Made::default() }.file();
    let (status, image) = client.send("POST", "/api/v1/images", again.clone()).await;
    assert_eq!(
        (status, image["state"].as_str(), image["generation"].as_u64()),
        (201, Some("active"), Some(8))
    );
    assert_eq!(client.get("/api/v1/images").await.as_array().map(Vec::len), Some(1));
    assert_eq!(http(appliance.http, "weft.efi"), (200, again));
    session.next_config().await.expect("the older manifest is still good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_during_publishing_loses_nothing_that_was_acknowledged() {
    let (folder, mut appliance, client, first) = Appliance::with_image().await;
    let mut token = client.token.clone();
    let mut acknowledged = vec![hex(&digests(&first).1)];
    for round in 0..4u8 {
        let mut client = appliance.client();
        client.token.clone_from(&token);
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let publishing = tokio::spawn(async move {
            for n in 0..40u8 {
                let file = Made { payload: vec![round * 40 + n; 200_000], ..Made::default() }.file();
                let request =
                    client.build("POST", "/api/v1/images").body(file.clone().into()).expect("a request");
                match try_send(&client, request).await {
                    Some(201) => said.send(hex(&digests(&file).1)).expect("heard"),
                    Some(other) => panic!("status {other}"),
                    None => break,
                }
            }
        });
        // Some were acknowledged; the next is somewhere on its way.
        for _ in 0..=round {
            acknowledged.push(heard.recv().await.expect("published"));
        }
        tokio::time::sleep(Duration::from_millis(7 * u64::from(round))).await;
        let restarted = appliance.crash_and_restart(&folder);
        publishing.await.expect("publishing ended");
        while let Ok(digest) = heard.try_recv() {
            acknowledged.push(digest);
        }
        appliance = restarted;
        let client = appliance.login().await;
        token.clone_from(&client.token);
        let listed = client.get("/api/v1/images").await;
        let listed: Vec<&str> =
            listed.as_array().expect("a list").iter().filter_map(|i| i["digest"].as_str()).collect();
        for digest in &acknowledged {
            assert!(listed.contains(&digest.as_str()), "{digest} was acknowledged and is gone");
        }
        assert_eq!(http(appliance.http, "weft.efi"), (200, first.clone()));
    }
    assert!(acknowledged.len() > 10);
}

/// A data folder on a disk of its own, 90 MiB large; the store keeps 64 of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_uploads_with_clear_words_and_loses_nothing() {
    let (folder, _, _) = crate::common::prepared();
    let at = |name: &str| folder.path().join(name);
    let script = "mkdir \"$0/small\" && mount -t tmpfs -o size=90m,mode=700 tmpfs \"$0/small\" \
                  && cp -a \"$0/data/.\" \"$0/small/\" \
                  && exec \"$1\" appliance run --interface lo --dhcp off --api-listen 127.0.0.1:0 --tftp-port 0 \
                     --http-port 0 --agent-port 0 --data \"$0/small\" --api-socket \"$0/out.sock\"";
    let mut child = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(folder.path())
        .arg(crate::common::WEFT)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("unshare runs");
    let pid = child.id();
    let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = String::new();
    while !text.ends_with("ready\n") {
        assert!(
            std::io::BufRead::read_line(&mut out, &mut text).expect("read") > 0,
            "it did not start: {text}"
        );
    }
    // The disk is visible through the process alone.
    let inside = std::path::PathBuf::from(format!("/proc/{pid}/root{}", at("small").display()));
    let first = std::fs::read_to_string(inside.join("admin-password")).expect("the password");
    let mut client = crate::common::Client { socket: at("out.sock"), token: String::new() };
    let (_, reply) = client.login("admin", first.trim()).await;
    client.token = reply["token"].as_str().expect("a token").to_string();
    let change = json!({"old": first.trim(), "new": crate::common::PASSWORD});
    assert_eq!(client.json("POST", "/api/v1/password", &change).await.0, 204);

    assert_eq!(client.send("POST", "/api/v1/images", Made::default().file()).await.0, 201);
    let (status, reply) = client.send("PUT", "/api/v1/blobs", vec![1; 40 << 20]).await;
    assert_eq!((status, reply["code"].as_str()), (507, Some("disk-full")), "{reply}");
    assert!(reply["next"].as_str().is_some_and(|next| next.contains("make room")), "{reply}");
    assert_eq!(std::fs::read_dir(inside.join("blobs")).expect("blobs").count(), 0, "a piece was left");
    assert_eq!(client.send("PUT", "/api/v1/blobs", vec![2; 1 << 20]).await.0, 200);
    assert_eq!(client.get("/api/v1/images").await.as_array().map(Vec::len), Some(1));
    child.kill().expect("killed");
    child.wait().expect("ended");
}

async fn try_send(
    client: &crate::common::Client,
    request: hyper::Request<http_body_util::Full<hyper::body::Bytes>>,
) -> Option<u16> {
    let stream = tokio::net::UnixStream::connect(&client.socket).await.ok()?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
    tokio::spawn(connection);
    sender.send_request(request).await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_placed_or_described_is_refused_with_the_reason() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let (_, blob) = client.send("PUT", "/api/v1/blobs", b"a kernel".to_vec()).await;
    let kernel = &blob["digest"];
    let create = async |wanted: serde_json::Value| {
        let (status, reply) = client.json("POST", "/api/v1/vs", &wanted).await;
        (status, reply["code"].as_str().unwrap_or_default().to_string())
    };
    let fits = json!({"name": "a", "vcpus": 1, "memory_mib": 64, "kernel": kernel});
    assert_eq!(create(fits.clone()).await, (409, "no-node".into()));
    let node = sim(1, &file);
    let mut session = appliance.connect(&node).await;
    assert_eq!(
        create(json!({"name": "a", "vcpus": 1, "memory_mib": 64, "kernel": kernel, "node": "node-1"})).await,
        (409, "node-not-approved".into())
    );
    client.approve(&node).await;
    session.next_config().await.expect("approved");
    for (wanted, status, code) in [
        (json!({"name": "", "vcpus": 1, "memory_mib": 64, "kernel": kernel}), 422, "invalid"),
        (json!({"name": "a b", "vcpus": 1, "memory_mib": 64, "kernel": kernel}), 422, "invalid"),
        (json!({"name": "a", "vcpus": 33, "memory_mib": 64, "kernel": kernel}), 422, "invalid"),
        (json!({"name": "a", "vcpus": 1, "memory_mib": 63, "kernel": kernel}), 422, "invalid"),
        (json!({"name": "a", "vcpus": 1, "memory_mib": 64, "kernel": "00"}), 422, "blob-not-found"),
        (json!({"name": "a", "vcpus": 1, "memory_mib": 64}), 422, "no-default-guest"),
        (json!({"name": "a", "vcpus": 1, "memory_mib": 4_000_000, "kernel": kernel}), 409, "no-room"),
        (
            json!({"name": "a", "vcpus": 1, "memory_mib": 64, "kernel": kernel, "node": "nowhere"}),
            404,
            "node-not-found",
        ),
        (json!({"nonsense": 1}), 422, "bad-request"),
    ] {
        assert_eq!(create(wanted.clone()).await, (status, code.to_string()), "{wanted}");
    }
    assert_eq!(create(fits.clone()).await.0, 201);
    assert_eq!(create(fits).await, (409, "taken".into()));
    // Sixteen kilobytes of configuration are a limit.
    let mut last = (0, String::new());
    for n in 0..30 {
        let wanted = json!({"name": format!("v{n}"), "vcpus": 1, "memory_mib": 64, "kernel": kernel, "append": "x".repeat(1024)});
        last = create(wanted).await;
        if last.0 != 201 {
            break;
        }
    }
    assert_eq!(last, (409, "record-too-large".into()));
    let servers = client.get("/api/v1/vs").await;
    let mut macs: Vec<&str> =
        servers.as_array().expect("a list").iter().filter_map(|vs| vs["macs"][0].as_str()).collect();
    let count = macs.len();
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), count, "a MAC was drawn twice");
}
