//! The rollouts of the page in a real browser, with simulated nodes that restart as the script has them restart.

use crate::browser::run_with;
use crate::hands::Restarts;
use crate::rollout::{Rack, image};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_is_started_stopped_by_a_failure_resumed_paused_taken_back_and_aborted_in_the_browser() {
    let rack = Rack::new(3).await;
    rack.publish(&image(8, 5)).await;
    let appliance = rack.appliance.as_ref().expect("it runs");
    let hand = |words: &[&str]| {
        let [node, how] = words else { panic!("it asks for {words:?}") };
        let at: usize = node.trim_start_matches("node-").parse().expect("a node");
        rack.machines[at - 1].hands().restarts = match *how {
            "offered" => Restarts::Offered,
            "same" => Restarts::Same,
            "never" => Restarts::Never,
            other => panic!("a node restarts {other}"),
        };
    };
    println!("{}", run_with("e2e/rollouts.mjs", appliance, rack.folder.path(), &[], hand).await);
    // The canary failed once, then each got the new image and went back; the last one was aborted with its canary away.
    let boots = rack.boots();
    assert_eq!(boots[0][..3], [7, 8, 7], "{boots:?}");
    assert_eq!(boots[1..], [vec![8, 7], vec![8, 7]], "{boots:?}");
}
