//! The command line `weft`: noun, then verb, over the appliance's HTTP interface.
//!
//! Data goes to standard output and nothing else does; progress, prompts and errors go to standard error. There is
//! no prompt without a terminal. Exit codes are listed in [`error`] and are stable.
//!
//! ```text
//! args ──▶ settings (flags > environment > profile) ──▶ client ──▶ commands ──▶ output
//!                                                       tls         console      yaml
//!             └──▶ operator: a node in the appliance's place
//! ```
//!
//! Neighbours: `weft_api` holds the shapes that travel, `weft_signing::cli` the verbs that work without an appliance.

mod args;
mod client;
mod commands;
mod complete;
mod connect;
mod console;
mod error;
mod events;
mod operator;
mod output;
mod prompt;
mod settings;
mod tls;
mod when;
mod yaml;

use std::process::ExitCode;

use clap::FromArgMatches;

pub use args::Cli;
pub use error::CliError;

/// Runs the command line with the program's own arguments.
#[must_use]
pub fn main() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(Cli::tree).bin("weft").complete();
    let matches = match Cli::tree().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version are answers, not errors: clap prints them to standard output.
            let code = if error.use_stderr() { error::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(error::USAGE);
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::Io { what: "starting".into(), source })?;
    let result = runtime.block_on(commands::run(cli));
    // A thread may still sit in a read of standard input; it must not hold up the end of the program.
    runtime.shutdown_background();
    result
}
