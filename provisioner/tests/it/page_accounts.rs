//! Accounts, tokens and sessions on the page, in a real browser: what a token may is what the node hears.

use crate::browser::run;
use crate::jobs::Rack;

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_tokens_are_made_changed_and_ended_in_the_browser() {
    let rack = Rack::new(1).await;
    rack.server(0, "web", false).await;
    rack.server(0, "db", false).await;
    rack.forget_wishes();
    let appliance = rack.appliance.as_ref().expect("it runs");
    println!("{}", run("e2e/accounts.mjs", appliance, rack.folder.path(), &[]).await);
    assert_eq!(rack.machines[0].wishes(), ["start web"], "what was refused was not done");
    let accounts = rack.client.get("/api/v1/accounts").await;
    let mut names = accounts.as_array().expect("a list").iter().map(|account| &account["name"]);
    assert!(!names.any(|name| name == "robot"), "{accounts}");
    assert_eq!(rack.client.get("/api/v1/tokens").await, serde_json::json!([]));
}
