//! The table, and the file behind it.

use serde::Serialize;

use super::lab::target;

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) peer: f64,
    pub(crate) peer_name: String,
    /// Ours against the peer, such that more is better.
    pub(crate) ratio: f64,
    pub(crate) n: usize,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// Samples of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// A figure from samples of both sides.
pub(crate) fn figure(
    name: String,
    unit: &'static str,
    ours: &Samples,
    (peer_name, peer): (&str, &Samples),
    better: Better,
) -> Figure {
    let (us, them) = (ours.median(), peer.median());
    let ratio = match better {
        Better::More => us / them,
        Better::Less => them / us,
    };
    Figure {
        name,
        unit,
        ours: us,
        peer: them,
        peer_name: peer_name.to_owned(),
        ratio: if ratio.is_finite() { ratio } else { 0.0 },
        n: ours.0.len(),
        min: ours.0.first().copied().unwrap_or(0.0),
        median: us,
        max: ours.0.last().copied().unwrap_or(0.0),
    }
}

/// Prints the figures and keeps them in `target/bench/NAME.json`.
pub(crate) fn publish(name: &str, figures: &[Figure]) -> anyhow::Result<()> {
    println!(
        "{:36} {:>10} {:>10}  {:12} {:>7} {:>4} {:>10} {:>10}  unit",
        "figure", "ours", "peer", "", "ratio", "n", "min", "max"
    );
    for f in figures {
        println!(
            "{:36} {:>10.1} {:>10.1}  {:12} {:>7.2} {:>4} {:>10.1} {:>10.1}  {}",
            f.name, f.ours, f.peer, f.peer_name, f.ratio, f.n, f.min, f.max, f.unit
        );
    }
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.json"));
    std::fs::write(&file, serde_json::to_string_pretty(figures)?)?;
    println!("{}", file.display());
    Ok(())
}
