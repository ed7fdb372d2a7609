//! The fuzz corpus and a fixed number of seeded changes of it, on every run of the tests.

#[path = "../../fuzzing/mutate.rs"]
mod mutate;
#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn the_corpus_and_changes_of_it_are_read_without_harm() {
    mutate::replay(targets::run);
}
