//! Figures of benches: the table, and the file behind it.

use serde::Serialize;

use crate::workspace::root;

/// One figure. Where less is better, a ratio below one is a success.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    name: String,
    unit: &'static str,
    ours: f64,
    peer: f64,
    peer_name: String,
    /// Ours divided by the peer's.
    ratio: f64,
    n: usize,
    min: f64,
    median: f64,
    max: f64,
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// A figure from what was measured on both sides.
pub fn figure(name: &str, unit: &'static str, ours: &[f64], peer_name: &str, peer: &[f64]) -> Figure {
    let (mut us, mut them) = (ours.to_vec(), peer.to_vec());
    us.sort_by(f64::total_cmp);
    them.sort_by(f64::total_cmp);
    let (our, their) = (median(&us), median(&them));
    Figure {
        name: name.to_owned(),
        unit,
        ours: our,
        peer: their,
        peer_name: peer_name.to_owned(),
        ratio: if their == 0.0 { 0.0 } else { our / their },
        n: us.len(),
        min: us.first().copied().unwrap_or(0.0),
        median: our,
        max: us.last().copied().unwrap_or(0.0),
    }
}

/// Prints the figures and keeps them in `target/bench/NAME.json`.
pub fn publish(name: &str, figures: &[Figure]) -> anyhow::Result<()> {
    println!(
        "{:34} {:>12} {:>12} {:>6} {:>3} {:>12} {:>12}  unit, peer",
        "figure", "ours", "peer", "ratio", "n", "min", "max"
    );
    for f in figures {
        println!(
            "{:34} {:>12.1} {:>12.1} {:>6.2} {:>3} {:>12.1} {:>12.1}  {}, {}",
            f.name, f.ours, f.peer, f.ratio, f.n, f.min, f.max, f.unit, f.peer_name
        );
    }
    let folder = root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(figures)?)?;
    println!("{}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_compares_medians() {
        let f = figure("x", "s", &[3.0, 1.0, 2.0], "peer", &[8.0, 4.0, 2.0]);
        assert_eq!((f.ours, f.peer, f.ratio, f.n, f.min, f.max), (2.0, 4.0, 0.5, 3, 1.0, 3.0));
    }

    #[test]
    fn a_peer_that_has_none_gives_no_ratio() {
        assert_eq!(figure("x", "s", &[3.0], "peer", &[0.0]).ratio, 0.0);
    }
}
