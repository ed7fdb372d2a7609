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

/// Targets whose memory may grow: each input builds a node's IP stack anew, which keeps one buffer for ever, as a node
/// does that has only one.
const GROWING: &[&str] = &["bridge"];

/// A fuzz target.
struct FuzzTarget {
    /// The binary.
    binary: String,
    /// The same, or with the folder before it where two folders have a target of one name.
    name: String,
    /// The folder `fuzz/` that holds it.
    folder: PathBuf,
}

impl FuzzTarget {
    /// `provisioner/tftp/tftp` for the target of `provisioner/tftp/fuzz`.
    fn long_name(&self) -> String {
        let beside = self.folder.parent().and_then(|folder| folder.strip_prefix(root()).ok());
        format!("{}/{}", beside.unwrap_or(Path::new("")).display(), self.binary)
    }
}

/// `fuzz NAME [libFuzzer options]`, `fuzz all`, or the list.
pub(crate) fn fuzz(named: &Named) -> anyhow::Result<ExitCode> {
    let targets = targets()?;
    match named.name.as_deref() {
        None => {
            for target in &targets {
                println!("{:24} {}", target.name, target.folder.display());
            }
        }
        Some("all") => {
            for target in &targets {
                println!("── {}", target.name);
                fuzz_one(target, &named.rest).with_context(|| target.name.clone())?;
            }
        }
        Some(name) => {
            let Some(target) = targets.iter().find(|target| target.name == name) else {
                let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
                bail!("no fuzz target is called {name}; there are: all, {}", names.join(", "));
            };
            fuzz_one(target, &named.rest)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn fuzz_one(target: &FuzzTarget, options: &[String]) -> anyhow::Result<()> {
    let build_folder = weft_hw_tests::workspace::target().join("fuzz");
    let mut cargo =
        command(&["cargo", "build", "--quiet", "--release", "--target", TARGET, "--bin", &target.binary]);
    cargo.arg("--manifest-path").arg(target.folder.join("Cargo.toml")).arg("--target-dir").arg(&build_folder);
    run(cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS))?;

    // New inputs go to the build folder; the corpus in the repository is only read.
    let (found, artifacts) = (build_folder.join("corpus").join(&target.name), build_folder.join("artifacts"));
    for folder in [&found, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    }
    let program = build_folder.join(TARGET).join("release").join(&target.binary);
    let mut fuzzer = command(&[&program.to_string_lossy()]);
    fuzzer.arg(format!("-max_total_time={SECONDS}"));
    if GROWING.contains(&target.binary.as_str()) {
        fuzzer.arg("-rss_limit_mb=8192");
    }
    let flat = target.name.replace('/', "-");
    fuzzer.arg(format!("-artifact_prefix={}/{flat}-", artifacts.display()));
    fuzzer.args(options).arg(found);
    // A folder for each target, or one for the only target.
    let all = target.folder.join("corpus");
    let own = all.join(&target.binary);
    if let Some(corpus) = [own, all].into_iter().find(|folder| folder.is_dir()) {
        fuzzer.arg(corpus);
    }
    run(&mut fuzzer)
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
                    let binary = target["name"].as_str().unwrap_or_default().to_owned();
                    found.push(FuzzTarget { name: binary.clone(), binary, folder: folder.clone() });
                }
            }
        }
    }
    tell_apart(&mut found);
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Gives targets of one name their long names.
fn tell_apart(targets: &mut [FuzzTarget]) {
    let binaries: Vec<String> = targets.iter().map(|target| target.binary.clone()).collect();
    for target in targets {
        if binaries.iter().filter(|binary| **binary == target.binary).count() > 1 {
            target.name = target.long_name();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_one_name_are_told_apart_by_their_folders() {
        let target = |binary: &str, folder: &str| FuzzTarget {
            binary: binary.to_owned(),
            name: binary.to_owned(),
            folder: root().join(folder),
        };
        let mut targets = [
            target("dhcp", "firmware/fuzz"),
            target("dhcp", "provisioner/dhcp/fuzz"),
            target("pe", "signing/fuzz"),
        ];
        tell_apart(&mut targets);
        let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["firmware/dhcp", "provisioner/dhcp/dhcp", "pe"]);
    }
}
