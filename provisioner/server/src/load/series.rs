//! Histories as the interface gives them.

use serde::Deserialize;
use weft_api::{Metric, Series};

use super::now::value;
use super::rates::{NODE, NodeRow, VS, VS_SPANNING};
use super::ring::{COARSE_ROWS, COARSE_S, FINE_ROWS, Rings};
use super::{State, spans};
use crate::core::Core;
use crate::error::Error;
use crate::world::World;

/// Longest list of metrics in a question, bytes.
const MAX_METRICS_TEXT: usize = 512;

/// What a caller asks for.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct SeriesQuery {
    /// Names, by commas; left out: all.
    pub(crate) metric: Option<String>,
    /// Only what is later, seconds since 1970.
    pub(crate) since: Option<u64>,
    /// 1 or 60, seconds.
    pub(crate) step: Option<u32>,
}

/// A question that was understood.
struct Wanted {
    step_s: u64,
    /// Number of the last row: its time over the step.
    last: u64,
    rows: usize,
    /// Places in the table.
    metrics: Vec<usize>,
}

impl SeriesQuery {
    /// `table` is what there is; `second` that of the last row.
    fn wanted(&self, table: &[(&str, &str)], second: u64) -> Result<Wanted, Error> {
        let coarse = match self.step {
            None | Some(1) => false,
            Some(60) => true,
            Some(step) => {
                let title = format!("there are no values of each {step} s");
                let next = "step=1 has the last five minutes, step=60 the last six hours";
                return Err(Error::refused(422, "bad-step", title, next));
            }
        };
        let (step_s, kept) = if coarse { (COARSE_S, COARSE_ROWS) } else { (1, FINE_ROWS) };
        // The minute under way has no mean yet.
        let last = if coarse { (second / COARSE_S).saturating_sub(1) } else { second };
        let rows = match self.since {
            // Later than anything: the caller remembers another run of this appliance.
            Some(since) if since / step_s <= last => {
                usize::try_from(last - since / step_s).unwrap_or(kept).min(kept)
            }
            Some(_) | None => kept,
        };
        Ok(Wanted { step_s, last, rows, metrics: self.metrics(table)? })
    }

    fn metrics(&self, table: &[(&str, &str)]) -> Result<Vec<usize>, Error> {
        let Some(text) = &self.metric else { return Ok((0..table.len()).collect()) };
        let known = || table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let refused = |title| Error::refused(422, "bad-metric", title, format!("known here: {}", known()));
        if text.len() > MAX_METRICS_TEXT {
            return Err(refused(format!("the list of metrics is longer than {MAX_METRICS_TEXT} bytes")));
        }
        let place = |name: &str| {
            let found = table.iter().position(|(known, _)| *known == name.trim());
            found.ok_or_else(|| refused(format!("there is no metric {:?}", name.trim())))
        };
        let mut places = text.split(',').map(place).collect::<Result<Vec<_>, _>>()?;
        let mut seen = Vec::new();
        places.retain(|place| {
            !seen.contains(place) && {
                seen.push(*place);
                true
            }
        });
        Ok(places)
    }
}

impl Wanted {
    fn rows<const N: usize>(&self, rings: Option<&Rings<N>>) -> Vec<[f32; N]> {
        match rings {
            None => vec![[f32::NAN; N]; self.rows],
            Some(rings) if self.step_s == 1 => rings.seconds(self.last, self.rows),
            Some(rings) => rings.minutes(self.last, self.rows),
        }
    }

    fn series<const N: usize>(
        &self,
        (kind, name): (&str, &str),
        table: &[(&str, &str)],
        rows: &[[f32; N]],
    ) -> Series {
        let metric = |place: &usize| {
            let (name, unit) = table.get(*place)?;
            let values = rows.iter().map(|row| row.get(*place).copied().and_then(value)).collect();
            Some(Metric { name: (*name).to_string(), unit: (*unit).to_string(), values })
        };
        Series {
            kind: kind.to_string(),
            name: name.to_string(),
            step_s: u32::try_from(self.step_s).unwrap_or(u32::MAX),
            last: self.last.saturating_mul(self.step_s),
            metrics: self.metrics.iter().filter_map(metric).collect(),
        }
    }
}

impl Core {
    /// How a node's load went.
    pub(crate) fn node_load_series(&self, name: &str, query: &SeriesQuery) -> Result<Series, Error> {
        let world = self.world();
        let node = world.node(name).map_err(|lookup| lookup.refusal("node", name))?;
        let state = self.loads.state();
        let wanted = query.wanted(&NODE, state.second)?;
        let rows = wanted.rows(state.nodes.get(&node.row.id));
        Ok(wanted.series(("node", &node.row.name), &NODE, &rows))
    }

    /// How a virtual server's load went.
    pub(crate) fn vs_load_series(&self, name: &str, query: &SeriesQuery) -> Result<Series, Error> {
        let world = self.world();
        let entry = world.server(name).map_err(|lookup| lookup.refusal("virtual server", name))?;
        let state = self.loads.state();
        let table = if spans(entry) { &VS[..] } else { &VS[..VS.len() - VS_SPANNING] };
        let wanted = query.wanted(table, state.second)?;
        let rows = wanted.rows(state.servers.get(&entry.row.id));
        Ok(wanted.series(("vs", &entry.row.name), table, &rows))
    }

    /// How the load of a partition's nodes went, all together; a value only where all of them have one.
    pub(crate) fn partition_load_series(&self, name: &str, query: &SeriesQuery) -> Result<Series, Error> {
        let row = self.find_partition(name)?.row;
        let world = self.world();
        let state = self.loads.state();
        let wanted = query.wanted(&NODE, state.second)?;
        let rows = together(&world, &state, &row.members, &wanted);
        Ok(wanted.series(("partition", &row.name), &NODE, &rows))
    }
}

/// Nodes as one: sums, but for the share of their processors, which is of all of them.
fn together(world: &World, state: &State, members: &[String], wanted: &Wanted) -> Vec<NodeRow> {
    let cpus = |id: &String| {
        let report = world.nodes.get(id).and_then(|node| node.report.as_ref());
        report.map_or(1.0, |report| f32::from(report.inventory.cpus.max(1)))
    };
    let all: f32 = members.iter().map(cpus).sum();
    let mut sums = vec![[0.0; NODE.len()]; wanted.rows];
    for id in members {
        let share = cpus(id) / all;
        for (sum, row) in sums.iter_mut().zip(wanted.rows(state.nodes.get(id))) {
            let [processor, rest @ ..] = row;
            let [busy, others @ ..] = sum;
            *busy += processor * share;
            others.iter_mut().zip(rest).for_each(|(sum, value)| *sum += value);
        }
    }
    sums
}
