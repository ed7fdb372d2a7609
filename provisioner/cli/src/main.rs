//! The command line without the appliance.

fn main() -> std::process::ExitCode {
    weft_cli::main()
}
