//! `weft`: the appliance and its command line in one program.
//!
//! `weft appliance …` runs on the appliance itself; everything else is the command line over its
//! interface ([`weft_cli`]).

mod appliance;

use std::process::ExitCode;

fn main() -> ExitCode {
    // The first word decides, before either command line is parsed.
    if std::env::args_os().nth(1).is_some_and(|word| word == "appliance") {
        return appliance::main();
    }
    weft_cli::main()
}
