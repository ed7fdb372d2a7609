//! The search of past events and of a node's log on the page, in a real browser, over what simulated nodes told.

use weft_wire::agent::{Level, LogLine, ToServer};

use crate::browser::run;
use crate::common::{Appliance, sim};
use crate::page_map::serve;
use crate::search::say;

#[tokio::test(flavor = "multi_thread")]
async fn events_and_lines_of_a_log_are_searched_in_the_browser() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let mut served = Vec::new();
    for number in [1, 2] {
        let node = sim(number, &file);
        let mut session = appliance.connect(&node).await;
        client.approve(&node).await;
        session.next_config().await.expect("approved");
        if number == 1 {
            for n in 0..120 {
                say(&mut session, "disk.slow", Level::Warn, &format!("Sector {n} is SLOW")).await;
            }
            for n in 1..=30u64 {
                let line = LogLine { uptime_ms: n, level: Level::Info, text: format!("stage {n} of Boot") };
                session.send(&ToServer::Log(line)).await.expect("sent");
            }
        } else {
            for n in 0..5 {
                say(&mut session, "fan.fast", Level::Info, &format!("rpm {n}")).await;
            }
        }
        served.push(tokio::spawn(serve(session)));
    }
    for (kind, count) in [("disk.", 120), ("fan.", 5)] {
        let path = format!("/api/v1/events/search?limit=1000&kind={kind}");
        client
            .until(&path, "all", |page| page["events"].as_array().is_some_and(|all| all.len() == count))
            .await;
    }
    println!("{}", run("e2e/search.mjs", &appliance, folder.path(), &[]).await);
    served.iter().for_each(tokio::task::JoinHandle::abort);
}
