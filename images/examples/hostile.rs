//! Writes the attacking guest to a file: `cargo run -p weft-images --example hostile -- SEED ROUNDS FATAL FILE`.

use weft_images::hostile::{Attack, kernel};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [seed, rounds, fatal, file] = words.as_slice() else {
        return Err("SEED ROUNDS FATAL(true|false) FILE".into());
    };
    let plan = Attack {
        seed: seed.parse()?,
        slots: 20_000,
        rounds: rounds.parse()?,
        fatal: fatal.parse()?,
        processors: 1,
    };
    Ok(std::fs::write(file, kernel(plan))?)
}
