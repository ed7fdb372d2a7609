//! `./just bench api`: the appliance beside SQLite alone, in one run.
//!
//! - [`transactions`]: durable changes by 16 clients, beside the same rows in transactions of a plain database;
//! - [`list`]: servers that a viewer may see, beside reading and serialising the same rows;
//! - [`start`]: from the program's start to `ready`, beside opening the same database and reading every row.
//!
//! Both sides run one after the other, round by round, on the same disk.

#[path = "api/list.rs"]
mod list;
#[path = "api/rows.rs"]
mod rows;
#[path = "api/start.rs"]
mod start;
mod support;
#[path = "api/transactions.rs"]
mod transactions;

use weft_hw_tests::report::publish;

use rows::Filled;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let asked = support::arguments();
    let filled = Filled::make().await;
    let mut figures = start::run(&filled, asked).await;
    let appliance = filled.appliance();
    let admin = appliance.first_login().await;
    figures.extend(list::run(&filled, &admin, asked).await);
    figures.extend(transactions::run(&filled, &appliance, &admin, asked).await);
    publish("api", &figures).expect("target/bench/api.json");
}
