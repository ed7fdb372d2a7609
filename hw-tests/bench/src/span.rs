//! `span`: what a guest that starts with a processor on each of two nodes, once free to leave them and once pinned there, does in the time in which the same guest with both
//! processors on one node does the same. Two emulators on two cores beside one with two threads.

use crate::pair::{self, number};
use weft_hw_tests::report::{Figure, figure, publish};

const ONE_NODE: &str = "one node, 2 vCPUs";
/// Programs of the guest, and what each prints.
const RUN: &str = "weft.run=loops:5,pingpong:3";
const ROWS: &[(&str, &str, &str)] = &[
    ("compute, all vCPUs", "rounds/s", "loops: compute:"),
    ("system calls, all vCPUs", "calls/s", "loops: system calls:"),
    ("pipe ping-pong across nodes", "round trips in 3 s", "pingpong: pipe:"),
    ("word handed on across nodes", "round trips in 3 s", "pingpong: shared word:"),
];

/// What one side printed, run by run.
#[derive(Debug, Default)]
struct Side {
    rows: Vec<Vec<f64>>,
    boot_ms: Vec<f64>,
}

impl Side {
    fn add(&mut self, programs: &str, boot: &str) -> anyhow::Result<()> {
        let row = ROWS.iter().map(|(_, _, what)| number(programs, what)).collect::<Result<_, _>>()?;
        self.rows.push(row);
        self.boot_ms.push(number(boot, "weft guest: PowerOff after")?);
        Ok(())
    }

    fn row(&self, index: usize) -> Vec<f64> {
        self.rows.iter().filter_map(|row| row.get(index).copied()).collect()
    }
}

/// `append`: words for the command line of the guest over two nodes.
pub(crate) fn run(runs: u8, append: &str) -> anyhow::Result<()> {
    let stress = pair::guest()?;
    let small = weft_images::guest::build(&weft_hw_tests::workspace::root().join("target/guest"))?;
    let (mut two, mut pinned, mut one) = (Side::default(), Side::default(), Side::default());
    for run in 0..runs {
        let folder = tempfile::tempdir()?;
        let programs = pair::on_one(&stress, &["quiet", RUN], folder.path())?;
        let boot = pair::on_one(&small, &["quiet", "weft.poweroff"], tempfile::tempdir()?.path())?;
        one.add(&programs, &boot)?;
        for (side, stay) in [(&mut two, false), (&mut pinned, true)] {
            let programs = pair::over_two(&stress, stay, &["quiet", RUN, append])?.first;
            let boot = pair::over_two(&small, stay, &["quiet", "weft.poweroff", append])?.first;
            side.add(&programs, &boot)?;
        }
        eprintln!("run {run}: two nodes {two:?}, pinned {pinned:?}, one node {one:?}");
    }
    let mut figures: Vec<Figure> = Vec::new();
    for (side, kind) in [(&two, ""), (&pinned, ", pinned")] {
        let boot = format!("boot and power-off{kind}");
        figures.push(figure(&boot, "ms", &side.boot_ms, ONE_NODE, &one.boot_ms));
        for (index, (name, unit, _)) in ROWS.iter().enumerate() {
            figures.push(figure(&format!("{name}{kind}"), unit, &side.row(index), ONE_NODE, &one.row(index)));
        }
    }
    publish("span", &figures)
}
