//! Jobs that are put together on the page, in a real browser, with a node that follows as the script has it follow.

use weft_wire::agent::VsState;

use crate::browser::run_with;
use crate::jobs::{Rack, states};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_put_together_planned_started_and_seen_to_its_end_in_the_browser() {
    let rack = Rack::new(1).await;
    rack.server(0, "a", true).await;
    rack.server(0, "b", false).await;
    rack.forget_wishes();
    rack.machines[0].hands().permits = 0;
    let hand = |words: &[&str]| match words {
        ["permits", count] => rack.machines[0].hands().permits = count.parse().expect("a number"),
        ["fails", name] => drop(rack.machines[0].hands().fails.insert(name.to_string())),
        other => panic!("it asks for {other:?}"),
    };
    let appliance = rack.appliance.as_ref().expect("it runs");
    println!("{}", run_with("e2e/jobs.mjs", appliance, rack.folder.path(), &[], hand).await);
    // The second one failed at its start, which its undo took back.
    assert_eq!(rack.machines[0].wishes(), ["stop a", "start b", "start a", "stop a"]);
    assert_eq!(rack.machines[0].state("b"), Some(VsState::Running));
    assert_eq!(states(&rack.ends(1, "done").await), ["done"; 3]);
    assert_eq!(states(&rack.ends(2, "undone").await), ["undone"; 2]);
}
