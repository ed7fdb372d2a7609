//! See [`weft_storm::bench`].

fn main() -> std::process::ExitCode {
    weft_storm::bench::main(weft_storm::bench::Bench::Storm)
}
