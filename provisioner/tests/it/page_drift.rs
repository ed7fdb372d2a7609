//! Drift on the page, in a real browser: what it lists, and what the node hears of each answer.

use weft_wire::agent::VsState;

use crate::browser::run;
use crate::drift::{Rack, backup, restored};

async fn browse(rack: &Rack, variable: &str, value: &str) {
    let appliance = rack.appliance.as_ref().expect("it runs");
    println!("{}", run("e2e/drift.mjs", appliance, rack.folder.path(), &[(variable, value)]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_ended_by_themselves_are_accepted_and_enforced_in_the_browser() {
    let mut rack = Rack::new().await;
    rack.server(&rack.machine, "web", true).await;
    rack.server(&rack.machine, "db", true).await;
    rack.kill();
    for name in ["web", "db"] {
        rack.machine.hands().held.get_mut(name).expect("there").state = VsState::Off;
    }
    rack.start();
    for name in ["web.state", "db.state"] {
        rack.drift(name, "open").await;
    }
    rack.machine.hands().wishes.clear();
    browse(&rack, "WEFT_ENDED", "web,db").await;
    rack.machine.until("db runs", |hands| hands.held["db"].state == VsState::Running).await;
    // Accepted, `web` is to be stopped, which it is; enforced, `db` starts anew.
    assert_eq!(rack.machine.wishes(), ["stop web", "start db"]);
    assert_eq!(rack.machine.state("web"), Some(VsState::Off));
    assert_eq!(rack.machine.hands().held["db"].instance, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_an_older_store_never_had_is_held_and_given_up_in_the_browser() {
    let mut rack = Rack::new().await;
    rack.server(&rack.machine, "same", true).await;
    let file = backup(&rack);
    rack.server(&rack.machine, "new", true).await;
    let id = rack.client.get("/api/v1/vs/new").await["id"].as_str().expect("an id").to_string();
    restored(&mut rack, &file).await;
    let name = format!("node-1.{}.unknown", &id[..8]);
    rack.drift(&name, "held").await;
    rack.machine.hands().wishes.clear();
    browse(&rack, "WEFT_UNKNOWN", &name).await;
    rack.machine.until("the new one ends", |hands| !hands.held.contains_key("new")).await;
    assert_eq!(rack.machine.state("same"), Some(VsState::Running));
    assert_eq!(rack.machine.hands().held["same"].instance, 1, "no other guest was touched");
}
