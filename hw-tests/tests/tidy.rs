//! The repository keeps its own rules of dependency and style.

use std::path::Path;
use std::process::Command;

use weft_hw_tests::tidy::{Complaint, dependencies, documents, files, root, style};

fn none(complaints: &[Complaint]) {
    let list: Vec<String> = complaints.iter().map(|complaint| format!("  {complaint}")).collect();
    assert!(list.is_empty(), "{} complaints:\n{}", list.len(), list.join("\n"));
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}

#[test]
fn crates_depend_only_on_lower_layers() {
    let graph = dependencies::graph(&metadata());
    assert!(graph.len() > 20, "the workspace was read: {} crates", graph.len());
    none(&dependencies::check(&graph));
}

#[test]
fn bare_metal_crates_have_no_standard_library() {
    let metadata = metadata();
    let mut complaints = Vec::new();
    let mut seen = 0;
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        if !dependencies::bare_metal().any(|bare| bare == name) {
            continue;
        }
        seen += 1;
        for target in package["targets"].as_array().expect("targets") {
            let kind = target["kind"][0].as_str().unwrap_or_default();
            let path = target["src_path"].as_str().expect("a path");
            if matches!(kind, "lib" | "bin") {
                let text = std::fs::read_to_string(path).expect("a source file");
                complaints.extend(style::check_no_std(&format!("{name} ({kind})"), &text));
            }
        }
    }
    assert!(seen > 10, "the bare-metal crates were found: {seen}");
    none(&complaints);
}

#[test]
fn files_keep_the_style() {
    let mut complaints = Vec::new();
    let mut seen = 0;
    for name in files().expect("git lists files") {
        // Pictures, corpora and other bytes that are no text.
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
        seen += 1;
        // Licences stand as their owners wrote them; a corpus is bytes, even where they happen to be text.
        if !name.starts_with("LICENSE") && !name.contains("/corpus/") {
            complaints.extend(style::check(&name, &text));
        }
    }
    assert!(seen > 50, "the repository was read: {seen} files");
    none(&complaints);
}

#[test]
fn the_status_page_has_every_requirement() {
    let text = std::fs::read_to_string(root().join("docs/status.md")).expect("docs/status.md");
    none(&documents::check_status(&text));
}

#[test]
fn the_fixed_top_level_is_there() {
    for name in [
        "Cargo.toml",
        "justfile",
        "just",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        ".ci/run",
    ] {
        assert!(Path::new(&root().join(name)).is_file(), "{name} is missing");
    }
    for name in ["firmware", "provisioner", "images", "netboot", "signing", "hw-tests", "docs"] {
        assert!(root().join(name).is_dir(), "{name}/ is missing");
    }
}
