//! `fuzz`: runs a libFuzzer target of some `fuzz/` folder on its corpus for a while.
//!
//! Those folders are workspaces of their own in the way of cargo-fuzz, which itself wants a nightly toolchain. What it
//! asks the compiler for is only coverage instrumentation; the stable compiler has it behind a switch.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::tasks::Named;
use weft_hw_tests::workspace::{command, output, root, run};

/// How long a target runs when nothing is said, seconds.
const SECONDS: &str = "60";
const TARGET: &str = "x86_64-unknown-linux-gnu";
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";

/// A fuzz target.
struct FuzzTarget {
    name: String,
    /// The folder `fuzz/` that holds it.
    folder: PathBuf,
}

/// `fuzz NAME [libFuzzer options]`, or the list.
pub(crate) fn fuzz(named: &Named) -> anyhow::Result<ExitCode> {
    let targets = targets()?;
    let Some(name) = &named.name else {
        for target in &targets {
            println!("{:16} {}", target.name, target.folder.display());
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(target) = targets.iter().find(|target| target.name == *name) else {
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        bail!("no fuzz target is called {name}; there are: {}", names.join(", "));
    };
    let build_folder = weft_hw_tests::workspace::target().join("fuzz");
    let mut cargo = command(&["cargo", "build", "--release", "--target", TARGET, "--bin", name]);
    cargo.arg("--manifest-path").arg(target.folder.join("Cargo.toml")).arg("--target-dir").arg(&build_folder);
    run(cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS))?;

    // New inputs go to the build folder; the corpus in the repository is only read.
    let (found, artifacts) = (build_folder.join("corpus").join(name), build_folder.join("artifacts"));
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let program = build_folder.join(TARGET).join("release").join(name);
    let mut fuzzer = command(&[&program.to_string_lossy()]);
    fuzzer.arg(format!("-max_total_time={SECONDS}"));
    fuzzer.arg(format!("-artifact_prefix={}/{name}-", artifacts.display()));
    fuzzer.args(&named.rest).arg(found);
    let corpus = target.folder.join("corpus").join(name);
    if corpus.is_dir() {
        fuzzer.arg(corpus);
    }
    run(&mut fuzzer)?;
    Ok(ExitCode::SUCCESS)
}

/// All binaries of all `fuzz/` workspaces that git keeps.
fn targets() -> anyhow::Result<Vec<FuzzTarget>> {
    let manifests = output(&mut command(&["git", "ls-files", "*fuzz/Cargo.toml"]))?;
    let mut found = Vec::new();
    for manifest in manifests.lines() {
        let mut metadata =
            command(&["cargo", "metadata", "--no-deps", "--format-version=1", "--manifest-path", manifest]);
        let text = output(&mut metadata)?;
        let metadata: serde_json::Value = serde_json::from_str(&text)?;
        let folder = root().join(manifest).parent().map(Path::to_path_buf).unwrap_or_default();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            for target in package["targets"].as_array().into_iter().flatten() {
                if target["kind"][0].as_str() == Some("bin") {
                    let name = target["name"].as_str().unwrap_or_default().to_owned();
                    found.push(FuzzTarget { name, folder: folder.clone() });
                }
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
