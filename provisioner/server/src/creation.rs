//! New servers: one, a series of them, or a copy of one. All of a request in one transaction, or none.
//!
//! ```text
//! request ─▶ template ─▶ checked, placed beside those before it ─▶ Draft of all ─▶ identifiers drawn, written, told
//! ```

use weft_api::{MAX_GROUP, Plan, Vs, VsCopy, VsCreate, VsSeries};
use weft_store::{NewEvent, VsRow};

use crate::affinity::{check_affinity, normal};
use crate::auth::ObjectKind;
use crate::core::Core;
use crate::error::Error;
use crate::guest_settings::{Address, check_settings};
use crate::pools::{IdKind, Sources};
use crate::servers::{
    Free, PLACEHOLDER_MAC, check, check_size, guest, invalid, name_is_free, place, place_over, show,
};
use crate::templates::of_template;
use crate::transactions::{Change, Draft, Kind};
use crate::util::{hex, random};
use crate::world::World;

/// Stands for a number in names of a series.
const NUMBER: &str = "{n}";

/// The row of a new server, beside those that are made along with it.
pub(crate) fn define(world: &World, wanted: &VsCreate, free: &Free, along: &[VsRow]) -> Result<VsRow, Error> {
    let wanted = of_template(world, wanted)?;
    check(&wanted)?;
    check_settings(&wanted.hostname, &wanted.address, &wanted.gateway)?;
    name_is_free(world, &wanted.name)?;
    if along.iter().any(|row| row.name == wanted.name) {
        return Err(invalid(format!("two servers would be called {}", wanted.name), "let names differ"));
    }
    let mut row = VsRow {
        id: hex(&random::<16>()),
        name: wanted.name.clone(),
        vcpus: wanted.vcpus,
        memory_mib: wanted.memory_mib,
        append: wanted.append.clone(),
        labels: wanted.labels.clone(),
        hostname: wanted.hostname.clone(),
        address: wanted.address.clone(),
        gateway: wanted.gateway.clone(),
        pinned: wanted.pinned,
        affinity: normal(&wanted.affinity)?,
        generation: 1,
        macs: vec![PLACEHOLDER_MAC.to_string()],
        ..VsRow::default()
    };
    guest(world, &wanted, &mut row)?;
    if wanted.pinned && wanted.partition.is_empty() {
        return Err(invalid(
            format!("the processors of {} have nowhere to go: it is on one node", wanted.name),
            "leave pinned out, or name a partition",
        ));
    }
    if wanted.partition.is_empty() {
        row.node = place(world, &wanted, free)?;
        let beside: Vec<&VsRow> = along.iter().filter(|other| other.node == row.node).collect();
        check_size(world, &row, &beside)?;
    } else {
        place_over(world, &wanted, &mut row, along)?;
    }
    check_affinity(world, &row)?;
    Ok(row)
}

/// A name with its number.
fn numbered(pattern: &str, n: u32) -> String {
    if pattern.contains(NUMBER) { pattern.replace(NUMBER, &n.to_string()) } else { format!("{pattern}-{n}") }
}

/// Each server of a series.
fn series(wanted: &VsSeries) -> Result<Vec<VsCreate>, Error> {
    let most = u32::try_from(MAX_GROUP).unwrap_or(u32::MAX);
    if wanted.count == 0 || wanted.count > most {
        return Err(invalid(format!("{} servers", wanted.count), format!("1 to {most} at once")));
    }
    let last = wanted.first.checked_add(wanted.count - 1);
    let last = last.ok_or_else(|| invalid("the numbers become too large", "begin with a lower one"))?;
    let of = &wanted.vs;
    let address = if of.address.is_empty() { None } else { Some(Address::parse(&of.address)?) };
    let each = |n: u32| -> Result<VsCreate, Error> {
        let further = address.map(|first| first.further(n - wanted.first)).transpose()?;
        Ok(VsCreate {
            name: numbered(&of.name, n),
            hostname: if of.hostname.is_empty() { String::new() } else { numbered(&of.hostname, n) },
            address: further.map(Address::text).unwrap_or_default(),
            ..of.clone()
        })
    };
    (wanted.first..=last).map(each).collect()
}

impl Core {
    /// Makes servers, stopped. The caller holds `change`. Gives the plan, and the ids.
    async fn make_servers(
        &self,
        actor: &str,
        kind: Kind,
        wanted: &[VsCreate],
        sources: Sources,
        dry: bool,
    ) -> Result<(Plan, Vec<String>), Error> {
        let mut rows: Vec<VsRow> = Vec::with_capacity(wanted.len());
        {
            let world = self.world();
            let mut free = Free::of(&world);
            for one in wanted {
                let row =
                    define(&world, one, &free, &rows).map_err(|error| named(error, one, wanted.len()))?;
                free.give(&row);
                rows.push(row);
            }
        }
        let mut decided = Vec::with_capacity(rows.len());
        for row in &rows {
            self.check_spanned(row, true)?;
            let told = self.vs_event(actor, row, "vs.created", "created");
            decided.push((Change::Vs { before: None, after: Some(row.clone()) }, told));
        }
        let draft = Draft { sources, ..Draft::of(kind, decided) };
        let plan = self.carry_out(actor, draft, dry).await?;
        Ok((plan, rows.into_iter().map(|row| row.id).collect()))
    }

    /// A new server as it would be in this world; its identifiers are drawn when it is made.
    pub(crate) fn decide_create(
        &self,
        world: &World,
        actor: &str,
        wanted: &VsCreate,
    ) -> Result<(Change, NewEvent), Error> {
        let row = define(world, wanted, &Free::of(world), &[])?;
        self.check_spanned(&row, true)?;
        let told = self.vs_event(actor, &row, "vs.created", "created");
        Ok((Change::Vs { before: None, after: Some(row) }, told))
    }

    /// Whether who asks may see the template and the pools that a request names.
    pub(crate) fn allow_sources(&self, template: &str, pools: [&str; 2]) -> Result<(), Error> {
        self.allow_named_by("view", ObjectKind::Template, template)?;
        pools.into_iter().try_for_each(|pool| self.allow_named_by("view", ObjectKind::Pool, pool))
    }

    fn shown(&self, ids: &[String]) -> Option<Vs> {
        let world = self.world();
        ids.first().and_then(|id| world.servers.get(id)).map(|vs| show(&world, vs))
    }

    /// Creates a virtual server, stopped: the plan, and the server where it is made.
    pub(crate) async fn vs_create(
        &self,
        actor: &str,
        wanted: VsCreate,
        dry: bool,
    ) -> Result<(Plan, Option<Vs>), Error> {
        let _change = self.change.lock().await;
        self.allow_sources(&wanted.template, [&wanted.mac_pool, &wanted.wwnn_pool])?;
        let sources = self.world().sources(&wanted.mac_pool, &wanted.wwnn_pool)?;
        let (plan, ids) = self.make_servers(actor, Kind::VsCreate, &[wanted], sources, dry).await?;
        Ok((plan, self.shown(&ids)))
    }

    /// Creates several virtual servers, stopped: all of them in one transaction, or none.
    pub(crate) async fn vs_series(&self, actor: &str, wanted: &VsSeries, dry: bool) -> Result<Plan, Error> {
        let all = series(wanted)?;
        let _change = self.change.lock().await;
        self.allow_sources(&wanted.vs.template, [&wanted.vs.mac_pool, &wanted.vs.wwnn_pool])?;
        let sources = self.world().sources(&wanted.vs.mac_pool, &wanted.vs.wwnn_pool)?;
        let (plan, _) = self.make_servers(actor, Kind::VsCreate, &all, sources, dry).await?;
        Ok(plan)
    }

    /// Copies a virtual server, running or not: its definition, with identifiers of its own.
    pub(crate) async fn vs_copy(
        &self,
        actor: &str,
        source: &str,
        wanted: &VsCopy,
        dry: bool,
    ) -> Result<(Plan, Option<Vs>), Error> {
        let _change = self.change.lock().await;
        self.allow_named_by("copy", ObjectKind::Vs, source)?;
        self.allow_sources("", [&wanted.mac_pool, &wanted.wwnn_pool])?;
        let of = self.find_vs(source)?.row;
        let sources = {
            let world = self.world();
            let own = |kind: IdKind, text: Option<&String>, named: &str| match text {
                Some(text) if named.is_empty() => {
                    world.identifiers.pool_of(kind, text).map(|pool| pool.id.clone()).unwrap_or_default()
                }
                _ => named.to_string(),
            };
            let mac = own(IdKind::Mac, of.macs.first(), &wanted.mac_pool);
            let wwnn = own(IdKind::Wwnn, Some(&of.wwnn), &wanted.wwnn_pool);
            world.sources(&mac, &wwnn)?
        };
        // Two guests of one name or one address would be in each other's way.
        let hostname = match (wanted.hostname.as_str(), of.hostname.as_str()) {
            ("", "") => String::new(),
            ("", _) => wanted.name.clone(),
            (given, _) => given.to_string(),
        };
        let copy = VsCreate {
            name: wanted.name.clone(),
            node: wanted.node.clone(),
            vcpus: of.vcpus,
            memory_mib: of.memory_mib,
            kernel: of.kernel,
            initrd: of.initrd,
            append: of.append,
            partition: if wanted.node.is_empty() { of.partition } else { String::new() },
            labels: of.labels,
            hostname,
            address: wanted.address.clone(),
            gateway: wanted.gateway.clone(),
            pinned: of.pinned && wanted.node.is_empty(),
            ..VsCreate::default()
        };
        let (plan, ids) = self.make_servers(actor, Kind::VsCopy, &[copy], sources, dry).await?;
        Ok((plan, self.shown(&ids)))
    }
}

/// A refusal with the name of the one of several that it is about.
fn named(error: Error, one: &VsCreate, of: usize) -> Error {
    match error {
        Error::Refused { code, status, title, next } if of > 1 && !title.contains(&one.name) => {
            let title = format!("{}: {title}; none was made", one.name);
            Error::Refused { code, status, title, next }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(
        name: &str,
        hostname: &str,
        address: &str,
        count: u32,
        first: u32,
    ) -> Result<Vec<[String; 3]>, Error> {
        let vs = VsCreate {
            name: name.to_string(),
            hostname: hostname.to_string(),
            address: address.to_string(),
            ..VsCreate::default()
        };
        let all = series(&VsSeries { count, first, vs })?;
        Ok(all.into_iter().map(|vs| [vs.name, vs.hostname, vs.address]).collect())
    }

    #[test]
    fn names_host_names_and_addresses_of_a_series_follow_one_another() {
        assert_eq!(
            of("web", "h{n}.x", "10.0.0.9/24", 2, 9).expect("two"),
            [["web-9", "h9.x", "10.0.0.9/24"], ["web-10", "h10.x", "10.0.0.10/24"]]
        );
        assert_eq!(of("a{n}b", "", "", 1, 1).expect("one"), [["a1b", "", ""]]);
        assert_eq!(of("web", "host", "", 1, 3).expect("one"), [["web-3", "host-3", ""]]);
        for (count, first, address) in [(0, 1, ""), (1001, 1, ""), (2, u32::MAX, ""), (2, 1, "10.0.0.254/24")]
        {
            assert!(of("web", "", address, count, first).is_err(), "{count} {first} {address}");
        }
    }
}
