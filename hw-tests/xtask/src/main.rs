//! The project's tasks, behind `./just`: `up` and what belongs to it, tests, benches, formatting.
//!
//! - [`suite`]: `test`: every runner, and the sum of what they counted;
//! - [`up`]: the lab as the main job shows it;
//! - [`fuzz`]: fuzz targets, found beside the crates that they attack;
//! - [`tasks`]: the rest, each a few commands.

mod fuzz;
mod suite;
mod tasks;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Weft's tasks.
#[derive(Debug, Parser)]
#[command(name = "just", bin_name = "./just", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Set up, build, sign, start an appliance and nodes, run a guest; the lab stays up
    Up(up::UpArguments),
    /// Take the lab down
    Down,
    /// Show what of the lab runs
    Status,
    /// The command line, against the lab
    #[command(disable_help_flag = true)]
    Weft {
        /// Handed on as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run all tests; the last line is `N passed, N failed`
    Test(suite::TestArguments),
    /// Run one bench, or list them
    Bench(tasks::Named),
    /// Run the long tests
    Soak,
    /// Run one fuzz target, or list them
    Fuzz(tasks::Named),
    /// Run the simulations over more seeds
    Sim(tasks::Named),
    /// Format the sources
    Fmt,
    /// Check formatting and lints
    Lint,
    /// Build and sign the node image
    Image,
    /// Build the Debian package of the appliance and the command line
    Deb,
    /// Install missing host packages and nothing else (the wrapper `./just` has done so by now)
    Setup,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Up(arguments) => up::up(&arguments),
        Task::Down => up::down(),
        Task::Status => up::status(),
        Task::Weft { arguments } => up::weft(&arguments),
        Task::Test(arguments) => suite::test(&arguments),
        Task::Bench(named) => tasks::bench(&named),
        Task::Soak => suite::soak(),
        Task::Fuzz(named) => fuzz::fuzz(&named),
        Task::Sim(named) => tasks::sim(&named),
        Task::Fmt => tasks::fmt(),
        Task::Lint => tasks::lint(),
        Task::Image => tasks::image(),
        Task::Deb => tasks::deb(),
        Task::Setup => tasks::setup(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("just: {error:#}");
            ExitCode::FAILURE
        }
    }
}
