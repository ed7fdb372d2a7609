//! Folders of the workspace, and running programs in it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail};

/// The repository's top folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    let target = root().join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(target, |folder| root().join(folder))
}

/// The page's sources.
pub fn web() -> PathBuf {
    root().join("provisioner/web")
}

/// A program of the workspace, built for development.
pub fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// A command in the top folder.
pub fn command(words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().map_or(("true", words), |(first, rest)| (*first, rest));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    // Cargo tells its children about itself; what is started here is not part of that build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_BIN_");
        if of_cargo
            || matches!(&*text, "CARGO" | "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH" | "CARGO_CRATE_NAME")
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command whose failure is an error.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a command.
pub fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    let what = describe(command);
    command.status().with_context(|| format!("cannot run {what}"))
}

/// Runs a command and returns what it printed on standard output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let what = describe(command);
    let output = command.output().with_context(|| format!("cannot run {what}"))?;
    if !output.status.success() {
        bail!("{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A command as a person would write it.
pub fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// Builds the page that the appliance embeds, when its sources are newer than what was built.
pub fn build_page() -> anyhow::Result<()> {
    let web = web();
    let lock = web.join("package-lock.json");
    let installed = web.join("node_modules/.package-lock.json");
    if newest(&lock) > newest(&installed) {
        run(command(&["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&web))?;
    }
    let built = newest(&web.join("dist/index.html"));
    let sources = ["src", "public", "index.html", "package.json", "package-lock.json", "vite.config.ts"];
    if sources.iter().any(|name| newest(&web.join(name)) > built) {
        run(command(&["npm", "run", "--silent", "build"]).current_dir(&web))?;
    }
    Ok(())
}

/// When a file, or the newest file of a folder, was changed; nothing where there is none.
fn newest(path: &Path) -> Option<std::time::SystemTime> {
    let metadata = std::fs::metadata(path).ok()?;
    let own = metadata.modified().ok();
    if !metadata.is_dir() {
        return own;
    }
    let entries = std::fs::read_dir(path).ok()?;
    entries.flatten().map(|entry| newest(&entry.path())).max().flatten().max(own)
}

/// Builds programs of the workspace, quietly.
pub fn build(packages: &[&str]) -> anyhow::Result<()> {
    let mut cargo = command(&["cargo", "build", "--quiet"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(&mut cargo)
}
