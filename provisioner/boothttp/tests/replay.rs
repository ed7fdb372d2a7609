//! The fuzz corpus and a fixed number of seeded changes of it, on every run of the tests.

#[path = "../../fuzzing/mutate.rs"]
mod mutate;
#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn the_corpus_is_read_without_harm() {
    for input in mutate::corpus() {
        targets::run(&input);
    }
}

#[test]
fn changes_of_the_corpus_are_read_without_harm() {
    let corpus = mutate::corpus();
    for run in 0..20_000 {
        targets::run(&mutate::input(&corpus, 1, run));
    }
}
