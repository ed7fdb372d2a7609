//! Fuzzes on a stable toolchain: the corpus and seeded changes of it, for so many seconds (60, or the first argument).

use std::time::{Duration, Instant};

#[path = "../../fuzzing/mutate.rs"]
mod mutate;
#[path = "../fuzz/targets.rs"]
mod targets;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let corpus = mutate::corpus();
    let end = Instant::now() + Duration::from_secs(seconds);
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |t| t.as_secs());
    let mut runs = 0u64;
    while Instant::now() < end {
        let input = mutate::input(&corpus, seed, runs);
        if std::panic::catch_unwind(|| targets::run(&input)).is_err() {
            let file = std::env::temp_dir().join(format!("weft-fuzz-boothttp-{seed}-{runs}"));
            std::fs::write(&file, &input).expect("write the input");
            eprintln!("input kept in {}", file.display());
            std::process::exit(1);
        }
        runs += 1;
    }
    println!("{runs} runs, seed {seed}, nothing found");
}
