//! Benches of whole nodes, side by side with Debian's kernel, KVM and QEMU netbooted as a node:
//! `cargo run -p weft-bench -- boot|size|exit`, or `./just bench NAME`.
//!
//! - [`ours`]: a lab with our appliance and our node;
//! - [`peer`]: the same wire and the same machine with the peer;
//! - [`boot`], [`size`], [`exit`]: the benches;
//! - [`span`], [`dsm`]: one guest over two nodes, beside the same guest on one, and beside bare messages;
//! - [`remote`]: rows of `dsm` that need runs of their own;
//! - [`pair`]: what those two share.
//!
//! The table, and `target/bench/NAME.json`: [`weft_hw_tests::report`].
//!
//! Both sides run one after the other, never at once: two busy nodes are too many for two cores.

mod boot;
mod dsm;
mod exit;
mod ours;
mod pair;
mod peer;
mod remote;
mod size;
mod span;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use weft_hw_tests::{permit, workspace};
use weft_lab::{Firmware, NodeSpec};

#[derive(Debug, Parser)]
#[command(about = "Benches of whole nodes beside Debian with KVM")]
struct Arguments {
    /// Which one
    bench: Bench,
    /// How many times each side
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    runs: u8,
    /// For `span`: words for the command line of the guest over two nodes
    #[arg(long, default_value = "")]
    append: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Bench {
    /// Power-on to the guest's userland
    Boot,
    /// Bytes of the image, memory of an idle node
    Size,
    /// Exits until the guest's userland, and what one costs
    Exit,
    /// One guest over two nodes beside the same guest on one
    Span,
    /// Faults on pages of the other node: messages, bytes, times beside a bare round trip
    Dsm,
}

/// The machine that both sides get: SeaBIOS, iPXE's ROM, virtio, two processors, 1 GiB.
fn machine(index: u8) -> NodeSpec {
    NodeSpec { firmware: Firmware::Bios, ..NodeSpec::new(index) }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    workspace::build_page()?;
    workspace::build(&["weft", "weft-lab"])?;
    let _permit = permit::nodes()?;
    match arguments.bench {
        Bench::Boot => boot::run(arguments.runs),
        Bench::Size => size::run(),
        Bench::Exit => exit::run(arguments.runs),
        Bench::Span => span::run(arguments.runs, &arguments.append),
        Bench::Dsm => dsm::run(arguments.runs),
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
