//! Which processors of their nodes the virtual processors of a server are to have: `0=1,1=3`, virtual processor by
//! processor. Those that are not named are placed by their node. It takes effect at once, also while the server runs.

use std::collections::BTreeMap;

use weft_api::{Target, Targets, VsProcessor};
use weft_store::VsRow;
use weft_wire::record::ANY_PROCESSOR;

use crate::accounts::Caller;
use crate::auth::{Object, ObjectKind, Sight};
use crate::core::Core;
use crate::error::Error;
use crate::servers::invalid;
use crate::topology::{again, target};
use crate::view::natural;
use crate::world::World;

/// Longest text: each of 32 virtual processors, and a processor of four digits.
const MAX_TEXT: usize = 32 * 8;
/// Processors of a node that are told as targets.
const MAX_PROCESSORS: u16 = 4096;

fn read(text: &str) -> Result<BTreeMap<u16, u16>, Error> {
    let wrong = |title: String| invalid(title, "name it as VIRTUAL=PROCESSOR, both counted from 0: 0=1,1=3");
    if text.len() > MAX_TEXT {
        return Err(wrong(format!("an affinity has at most {MAX_TEXT} characters")));
    }
    let mut pairs = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let numbers = part.split_once('=').and_then(|(vcpu, processor)| {
            let processor = processor.trim().parse().ok().filter(|processor| *processor != ANY_PROCESSOR)?;
            Some((vcpu.trim().parse::<u16>().ok()?, processor))
        });
        let Some((vcpu, processor)) = numbers else {
            return Err(wrong(format!("{part} is no virtual processor with its processor")));
        };
        if pairs.insert(vcpu, processor).is_some() {
            return Err(wrong(format!("virtual processor {vcpu} is named twice")));
        }
    }
    Ok(pairs)
}

/// The same in the one way of writing it.
pub(crate) fn normal(text: &str) -> Result<String, Error> {
    let pairs: Vec<String> =
        read(text)?.into_iter().map(|(vcpu, processor)| format!("{vcpu}={processor}")).collect();
    Ok(pairs.join(","))
}

/// As nodes are told. A server that runs may have fewer virtual processors than the one that is wanted.
pub(crate) fn numbers(row: &VsRow) -> Vec<u16> {
    let Some(pairs) = read(&row.affinity).ok().filter(|pairs| !pairs.is_empty()) else { return Vec::new() };
    (0..row.vcpus).map(|vcpu| pairs.get(&vcpu).copied().unwrap_or(ANY_PROCESSOR)).collect()
}

/// The node where a virtual processor starts.
fn node_of(row: &VsRow, vcpu: u16) -> Option<&str> {
    if row.partition.is_empty() {
        return Some(&row.node);
    }
    let mut end = 0u16;
    row.places
        .iter()
        .find(|place| {
            end = end.saturating_add(place.vcpus);
            vcpu < end
        })
        .map(|place| place.node.as_str())
}

/// Whether a server has the virtual processors that are named, and their nodes the processors.
pub(crate) fn check_affinity(world: &World, row: &VsRow) -> Result<(), Error> {
    for (vcpu, processor) in read(&row.affinity)? {
        if vcpu >= row.vcpus {
            return Err(invalid(
                format!("{} has {} virtual processors, counted from 0, and no {vcpu}", row.name, row.vcpus),
                "leave it out of the affinity",
            ));
        }
        let node = node_of(row, vcpu).and_then(|id| world.nodes.get(id));
        let Some((node, report)) = node.and_then(|node| Some((node, node.report.as_ref()?))) else {
            continue;
        };
        let has = report.inventory.cpus;
        if processor >= has {
            return Err(Error::refused(
                409,
                "no-such-processor",
                format!("{} has {has} processors, counted from 0, and no {processor}", node.row.name),
                format!("look at it: weft node show {}", node.row.name),
            ));
        }
    }
    Ok(())
}

impl Core {
    /// The virtual processors of a server and the processor that each had when its nodes last reported, by number.
    pub(crate) fn processors_of(&self, id: &str) -> Vec<VsProcessor> {
        let world = self.world();
        let Some(entry) = world.servers.get(id) else { return Vec::new() };
        let mut seen: Vec<VsProcessor> = self
            .loads
            .processors(entry)
            .into_iter()
            .map(|(node, vcpu, processor)| VsProcessor {
                vcpu,
                node: world.nodes.get(&node).map(|node| node.row.name.clone()).unwrap_or_default(),
                processor,
            })
            .collect();
        seen.sort_by_key(|seen| seen.vcpu);
        seen
    }
}

/// The affinity with one virtual processor elsewhere; `None`: wherever its node puts it.
fn with(row: &VsRow, vcpu: u16, processor: Option<u16>) -> VsRow {
    let mut pairs = read(&row.affinity).unwrap_or_default();
    match processor {
        Some(processor) => _ = pairs.insert(vcpu, processor),
        None => _ = pairs.remove(&vcpu),
    }
    let pairs: Vec<String> = pairs.into_iter().map(|(vcpu, one)| format!("{vcpu}={one}")).collect();
    VsRow { affinity: pairs.join(","), ..row.clone() }
}

/// Where a virtual processor could be: each processor of its node, whichever one of them, and why on no other node.
fn targets(world: &World, sight: &mut Sight, row: &VsRow, vcpu: u16, may: &Result<(), Error>) -> Vec<Target> {
    let Some(home) = node_of(row, vcpu).and_then(|id| world.nodes.get(id)) else { return Vec::new() };
    let now = read(&row.affinity).unwrap_or_default().get(&vcpu).copied();
    let allowed = || may.as_ref().copied().map_err(again);
    let mut all = Vec::new();
    let processors = home.report.as_ref().map_or(0, |report| report.inventory.cpus).min(MAX_PROCESSORS);
    for processor in 0..processors {
        let checked = allowed().and_then(|()| check_affinity(world, &with(row, vcpu, Some(processor))));
        let (name, id) = (format!("{}/{processor}", home.row.name), format!("{}/{processor}", home.row.id));
        all.push(target("processor", (&name, &id), now == Some(processor), checked));
    }
    all.push(target("any", ("any", ""), now.is_none(), allowed()));
    let next = if row.partition.is_empty() {
        format!("move the server first: weft vs move {} --node NODE", row.name)
    } else {
        "which nodes it spans is chosen when it is made".to_string()
    };
    let mut others: Vec<Target> = world
        .nodes
        .values()
        .filter(|node| node.row.id != home.row.id && sight.node(&node.row))
        .map(|node| {
            let why = format!("virtual processor {vcpu} of {} lies on {}", row.name, home.row.name);
            let refused = Err(Error::refused(409, "another-node", why, next.clone()));
            target("node", (&node.row.name, &node.row.id), false, refused)
        })
        .collect();
    others.sort_by_key(|target| natural(&target.name));
    all.extend(others);
    all
}

impl Core {
    /// Where a virtual processor could be: `SERVER/NUMBER`.
    pub(crate) fn processor_targets(&self, caller: &Caller, name: &str) -> Result<Targets, Error> {
        let wrong = || invalid(format!("{name} is no virtual processor"), "name it as SERVER/NUMBER: web/0");
        let (server, number) = name.rsplit_once('/').ok_or_else(wrong)?;
        let vcpu: u16 = number.parse().map_err(|_| wrong())?;
        self.allow_named(caller, "view", ObjectKind::Vs, server)?;
        let vs = self.find_vs(server)?;
        if vcpu >= vs.row.vcpus {
            let has = format!("{} has {} virtual processors, counted from 0", vs.row.name, vs.row.vcpus);
            return Err(Error::refused(404, "no-such-processor", has, "weft vs show NAME"));
        }
        let object =
            Object { labels: Some(&vs.row.labels), ..Object::new(ObjectKind::Vs, &vs.row.id, &vs.row.name) };
        let may = self.allow(caller, "edit", &object);
        let mut sight = Sight::of(self, caller);
        let targets = targets(&self.world(), &mut sight, &vs.row, vcpu, &may);
        Ok(Targets {
            kind: "vcpu".to_string(),
            name: format!("{}/{vcpu}", vs.row.name),
            id: format!("{}/{vcpu}", vs.row.id),
            targets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_store::PlaceRow;

    fn row(affinity: &str) -> VsRow {
        VsRow {
            name: "web".into(),
            vcpus: 3,
            node: "a".into(),
            affinity: affinity.into(),
            ..VsRow::default()
        }
    }

    #[test]
    fn it_is_written_in_one_way_and_nonsense_is_refused() {
        assert_eq!(normal(" 2=0, 0 = 13,").ok().as_deref(), Some("0=13,2=0"));
        assert_eq!(normal("").ok().as_deref(), Some(""));
        let long = "0=1,".repeat(70);
        for broken in
            ["0", "0=", "=1", "a=1", "0=-1", "0=65535", "0=1,0=2", "70000=1", "0=1=2", long.as_str()]
        {
            assert!(normal(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn nodes_are_told_of_each_virtual_processor_that_runs() {
        assert_eq!(numbers(&row("")), Vec::<u16>::new());
        assert_eq!(numbers(&row("1=7")), [ANY_PROCESSOR, 7, ANY_PROCESSOR]);
        assert_eq!(numbers(&VsRow { vcpus: 1, ..row("1=7") }), [ANY_PROCESSOR]);
        assert!(check_affinity(&World::default(), &row("3=0")).is_err());
    }

    #[test]
    fn a_virtual_processor_of_a_server_that_spans_nodes_counts_at_its_place() {
        let place = |node: &str, vcpus| PlaceRow { node: node.into(), vcpus, memory_mib: 64 };
        let places = vec![place("a", 1), place("b", 0), place("c", 2)];
        let spans = VsRow { partition: "p".into(), places, ..row("") };
        assert_eq!([0, 1, 2, 3].map(|vcpu| node_of(&spans, vcpu)), [Some("a"), Some("c"), Some("c"), None]);
    }
}
