//! Tasks that are a few commands each.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use weft_hw_tests::workspace::{build_page, command, run};

/// A task that takes a name, or lists the names.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Which one; left out: list them
    pub(crate) name: Option<String>,
    /// Handed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

/// `setup`.
pub(crate) fn setup() -> anyhow::Result<ExitCode> {
    run(&mut command(&["sh", "hw-tests/setup"]))?;
    Ok(ExitCode::SUCCESS)
}

/// `fmt`.
pub(crate) fn fmt() -> anyhow::Result<ExitCode> {
    run(&mut command(&["cargo", "fmt", "--all"]))?;
    Ok(ExitCode::SUCCESS)
}

/// `lint`: formatting, clippy, the page's types.
pub(crate) fn lint() -> anyhow::Result<ExitCode> {
    build_page()?;
    run(&mut command(&["cargo", "fmt", "--all", "--check"]))?;
    run(&mut command(&[
        "cargo",
        "clippy",
        "--quiet",
        "--all-targets",
        "--",
        "-D",
        "warnings",
        "-W",
        "clippy::too_many_lines",
    ]))?;
    run(command(&["npm", "run", "--silent", "lint"]).current_dir(weft_hw_tests::workspace::web()))?;
    Ok(ExitCode::SUCCESS)
}

/// `image`: builds and signs the node image with this machine's lab keys.
pub(crate) fn image() -> anyhow::Result<ExitCode> {
    let image = weft_hw_tests::stack::image::build()?;
    println!("{}", image.file.display());
    println!("digest {}", image.digest);
    println!("size {} bytes", image.size);
    Ok(ExitCode::SUCCESS)
}

/// `deb`: the Debian package, with an optimised program and the page in it.
pub(crate) fn deb() -> anyhow::Result<ExitCode> {
    weft_hw_tests::workspace::build_page()?;
    run(&mut command(&["cargo", "build", "--quiet", "--release", "--locked", "--package", "weft"]))?;
    let target = weft_hw_tests::workspace::target();
    let file = weft_hw_tests::package::build(&target.join("release/weft"), &target.join("deb"), &[])?;
    println!("{}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Benches of whole nodes; what they measure is emulated, so that they need no optimised build.
const NODE_BENCHES: [&str; 5] = ["boot", "dsm", "exit", "size", "span"];

/// `bench NAME`: one of whole nodes, or an example or bench of some crate that is called `bench-NAME`, built optimised.
pub(crate) fn bench(named: &Named) -> anyhow::Result<ExitCode> {
    if let Some(name) = named.name.as_deref().filter(|name| NODE_BENCHES.contains(name)) {
        let mut cargo = command(&["cargo", "run", "--quiet", "--package", "weft-bench", "--", name]);
        run(cargo.args(&named.rest))?;
        return Ok(ExitCode::SUCCESS);
    }
    if named.name.is_none() {
        for name in NODE_BENCHES {
            println!("{name:12} weft-bench");
        }
    }
    example("bench", named)
}

/// `sim NAME`: the same with `sim-NAME`.
pub(crate) fn sim(named: &Named) -> anyhow::Result<ExitCode> {
    example("sim", named)
}

/// A program of some crate that is called `KIND-NAME`: an example, or a bench where it needs its crate's program.
struct Program {
    name: String,
    package: String,
    is_bench: bool,
}

fn example(kind: &str, named: &Named) -> anyhow::Result<ExitCode> {
    let programs = programs(kind)?;
    let Some(name) = &named.name else {
        for program in &programs {
            println!("{:12} {}", program.name, program.package);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(program) = programs.iter().find(|program| program.name == *name) else {
        let names: Vec<&str> = programs.iter().map(|program| program.name.as_str()).collect();
        bail!("no {kind} is called {name}; there are: {}", names.join(", "));
    };
    let target = format!("{kind}-{name}");
    let mut cargo = if program.is_bench {
        build_page()?;
        command(&["cargo", "bench", "--quiet", "--package", &program.package, "--bench", &target, "--"])
    } else {
        let words = [
            "cargo",
            "run",
            "--quiet",
            "--release",
            "--package",
            &program.package,
            "--example",
            &target,
            "--",
        ];
        command(&words)
    };
    run(cargo.args(&named.rest))?;
    Ok(ExitCode::SUCCESS)
}

fn programs(kind: &str) -> anyhow::Result<Vec<Program>> {
    let text = weft_hw_tests::workspace::output(&mut command(&[
        "cargo",
        "metadata",
        "--no-deps",
        "--format-version=1",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            let name = target["name"].as_str().unwrap_or_default();
            let is_bench = target["kind"][0].as_str() == Some("bench");
            let fits = is_bench || target["kind"][0].as_str() == Some("example");
            if let Some(name) = name.strip_prefix(&format!("{kind}-")).filter(|_| fits) {
                let package = package["name"].as_str().unwrap_or_default().to_owned();
                found.push(Program { name: name.to_owned(), package, is_bench });
            }
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}
