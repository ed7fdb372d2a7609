//! The parts of a storm as processes: `serve`, `swarm`, `fetch`. Benches and tests start them.

fn main() -> std::process::ExitCode {
    weft_storm::command::main()
}
