//! Changes of images taken back: what counts is what booting machines are served.

use crate::common::{Appliance, Made, digests, hex};
use crate::publish::http;

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_makes_no_second_active_image() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let path = |file: &[u8]| format!("/api/v1/images/{}", hex(&digests(file).1));
    let next = Made { generation: 8, payload: b"b monitor ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", next.clone()).await.0, 201);
    client.does("POST", &format!("{}/revoke", path(&file))).await;
    client.does("POST", &format!("{}/activate", path(&next))).await;
    client.undo(client.newest().await).await;
    let undo = client.newest().await;
    assert_eq!(http(appliance.http, "weft.efi").0, 404);
    let third = Made { generation: 9, payload: b"c monitor ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", third.clone()).await.0, 201);
    let (code, words) = client.undo_refused(undo).await;
    assert!(code == "undo-conflict" && words.contains("(generation 9) is active now"), "{words}");
    assert_eq!(http(appliance.http, "weft.efi"), (200, third));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_whose_file_was_not_read_is_repeated() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let next = Made { generation: 8, payload: b"b monitor ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", next.clone()).await.0, 201);
    let kept = appliance.data.join("files").join(hex(&weft_format::sha256(&next)));
    let aside = appliance.data.join("aside");
    std::fs::rename(&kept, &aside).expect("set aside");
    let activate = format!("/api/v1/images/{}/activate", hex(&digests(&next).1));
    assert_eq!(client.post(&activate).await.0, 500);
    assert_eq!(http(appliance.http, "weft.efi"), (200, file));
    std::fs::rename(&aside, &kept).expect("put back");
    client.does("POST", &activate).await;
    assert_eq!(http(appliance.http, "weft.efi"), (200, next));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_companion_for_bios_machines_is_taken_back_and_given_back() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let companion = [&b"\x7fELF loader "[..], &Made::default().payload].concat();
    let path = format!("/api/v1/images/{}/bios", hex(&digests(&file).1));
    assert_eq!(client.send("PUT", &path, companion.clone()).await.0, 200);
    assert_eq!(http(appliance.http, "weft.bios"), (200, companion.clone()));
    let plan = client.undo_plan(client.newest().await).await;
    assert!(
        plan["effects"][0].as_str().is_some_and(|effect| effect.contains("by BIOS find nothing")),
        "{plan}"
    );
    client.undo(client.newest().await).await;
    assert_eq!(http(appliance.http, "weft.bios").0, 404);
    client.undo(client.newest().await).await;
    assert_eq!(http(appliance.http, "weft.bios"), (200, companion));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activation_that_is_undone_serves_the_image_before() {
    let (_folder, appliance, client, file) = Appliance::with_image().await;
    let next = Made { generation: 8, payload: b"b monitor ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", next.clone()).await.0, 201);
    let path = format!("/api/v1/images/{}", hex(&digests(&next).1));
    client.does("POST", &format!("{path}/activate")).await;
    assert_eq!(http(appliance.http, "weft.efi"), (200, next.clone()));
    let activation = client.newest().await;
    let shown = client.get(&format!("/api/v1/transactions/{activation}")).await;
    assert_eq!(shown["changes"].as_array().map(Vec::len), Some(2), "both images: {shown}");
    client.undo(activation).await;
    assert_eq!(http(appliance.http, "weft.efi"), (200, file));
    client.undo(client.newest().await).await;
    assert_eq!(http(appliance.http, "weft.efi"), (200, next));
    // An image below the floor that a later one set is not offered again.
    let high =
        Made { generation: 9, least: 9, payload: b"c monitor ".repeat(2000), ..Made::default() }.file();
    assert_eq!(client.send("POST", "/api/v1/images", high.clone()).await.0, 201);
    client.does("POST", &format!("/api/v1/images/{}/activate", hex(&digests(&high).1))).await;
    let (code, words) = client.undo_refused(client.newest().await).await;
    assert!(code == "undo-conflict" && words.contains("older than the floor 9"), "{words}");
    assert_eq!(http(appliance.http, "weft.efi"), (200, high));
    // What is revoked is not offered again.
    client.does("POST", &format!("/api/v1/images/{}/revoke", hex(&digests(&Made::default().file()).1))).await;
    let (code, words) = client.undo_refused(activation).await;
    assert!(code == "undo-conflict" && words.contains("image revoke"), "{words}");
}
