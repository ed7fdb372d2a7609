//! Versions of objects: who changes one says which version his change is made of, and is told what changed since.
//!
//! A version is the object's generation and a digest of what is wanted of it, labels included; what follows from other
//! things (what a node reports, counters) is no part of it. As an `ETag` it looks like `"7-1f2e3d4c"`.

use ring::digest::{SHA256, digest};
use serde_json::Value;
use weft_api::FieldChange;

use crate::auth::ObjectKind;
use crate::core::Core;
use crate::error::Error;
use crate::transactions::{Document, document, document_now, fields, intent};
use crate::util::hex;

/// Changes of one object that are looked through for the version that somebody saw.
const MAX_LOOKED_AT: u32 = 1_000;
/// Versions that a request may name.
const MAX_TAGS: usize = 16;

/// Which version of which object a change is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) kind: ObjectKind,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tags: Tags,
}

/// The value of `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`: whatever it is, as long as it is there.
    Any,
    These(Vec<String>),
}

impl Tags {
    /// `*`, or `"TAG", "TAG"`. A weak tag is none that a change can be made of (RFC 9110, 13.1.1).
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let tag = |part: &str| {
            let inner = part.trim().strip_prefix('"')?.strip_suffix('"')?;
            (!inner.is_empty() && inner.len() <= 64 && !inner.contains('"')).then(|| inner.to_string())
        };
        let tags: Option<Vec<String>> = text.split(',').map(tag).collect();
        tags.filter(|tags| tags.len() <= MAX_TAGS).map(Self::These).ok_or_else(|| {
            Error::refused(
                400,
                "bad-request",
                "If-Match is no list of versions",
                "nothing was done; give the ETag of the answer that the change is made of, in its quotes",
            )
        })
    }
}

/// Whether objects of a kind have versions: those that a change of one object can be made of.
pub(crate) fn has_versions(kind: ObjectKind) -> bool {
    use ObjectKind::{
        Account, Appliance, AuthPolicy, Blob, Datacenter, Event, Frame, Gateway, History, Image, Job,
        Licence, Mainframe, Node, Operator, Partition, Pool, Port, Session, Switch, Template, Token, Vhba,
        Vnic, Vs,
    };
    match kind {
        Vs | Node | Partition | Datacenter | Mainframe | Frame | Switch | Port | Gateway | Vnic | Vhba
        | Image | Template | Pool | Licence => true,
        Blob | Job | History | Event | Appliance | Operator | Account | Session | Token | AuthPolicy => false,
    }
}

/// The version that a document is.
fn tag(kind: &str, document: &Document) -> String {
    let generation = document.get("generation").and_then(Value::as_u64).unwrap_or(0);
    let wanted = intent(kind, document);
    let text = serde_json::to_string(&wanted).unwrap_or_default();
    let short: String = hex(digest(&SHA256, text.as_bytes()).as_ref()).chars().take(8).collect();
    format!("{generation}-{short}")
}

impl Core {
    /// The version of an object; `None` where it is not there, or not kept.
    pub(crate) fn version(&self, kind: ObjectKind, id: &str) -> Option<String> {
        document_now(&self.world(), kind.word(), id).map(|document| tag(kind.word(), &document))
    }

    /// Refuses where an object is no longer the version that a change was made of.
    pub(crate) async fn check_version(&self, expected: &Expected) -> Result<(), Error> {
        let Expected { kind, id, name, tags } = expected;
        let now = document_now(&self.world(), kind.word(), id);
        let version = now.as_ref().map(|document| tag(kind.word(), document));
        let fits = match (&version, tags) {
            (Some(_), Tags::Any) => true,
            (Some(version), Tags::These(tags)) => tags.contains(version),
            (None, _) => false,
        };
        if fits {
            return Ok(());
        }
        let word = kind.word();
        let look = if *kind == ObjectKind::Image {
            "weft image list".to_string()
        } else {
            format!("weft {word} show {name}")
        };
        let next = format!("look at it again: {look}; what changed: weft tx list --object {name}");
        let Some(now) = now else {
            let title = format!("{} {name} has no version that a change can be made of", kind.words());
            return Err(Error::Changed { title, next, changed: Vec::new() });
        };
        // What somebody may not see he does not learn in this way.
        if let Some(found) = self.found(*kind, id)? {
            self.allow_asked("view", &found.object())?;
        }
        let (changed, by) = self.changed_since(kind.word(), id, tags, &now).await?;
        let title =
            format!("{} {name} was changed since you looked at it{by}; nothing was done", kind.words());
        Err(Error::Changed { title, next, changed })
    }

    /// What changed since one of these versions, and who changed it last. Nothing where none of them is found.
    async fn changed_since(
        &self,
        kind: &str,
        id: &str,
        tags: &Tags,
        now: &Document,
    ) -> Result<(Vec<FieldChange>, String), Error> {
        let Tags::These(tags) = tags else { return Ok((Vec::new(), String::new())) };
        let rows = self.store.changes_after(kind, id, 0, MAX_LOOKED_AT).await?;
        let by = rows
            .first()
            .map(|row| format!(", by {} in transaction {} ({})", row.actor, row.number, row.verb))
            .unwrap_or_default();
        for row in &rows {
            for text in [&row.after, &row.before] {
                let Some(old) = document(kind, text)? else { continue };
                if tags.contains(&tag(kind, &old)) {
                    let mut changed = fields(kind, Some(&old), Some(now));
                    changed.retain(|field| field.changed && !field.derived);
                    return Ok((changed, by));
                }
            }
        }
        Ok((Vec::new(), by))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::document_of;
    use weft_store::VsRow;

    #[test]
    fn a_version_changes_with_what_is_wanted_and_not_with_what_follows() {
        let row = VsRow { name: "web".into(), generation: 3, ..VsRow::default() };
        let of = |row: &VsRow| tag("vs", &document_of(row));
        assert!(of(&row).starts_with("3-"), "{}", of(&row));
        assert_eq!(of(&row), of(&VsRow { instance: 9, link_key: "x".into(), ..row.clone() }));
        let labelled = VsRow { labels: [("a".to_string(), "b".to_string())].into(), ..row.clone() };
        for other in
            [VsRow { memory_mib: 1, ..row.clone() }, labelled, VsRow { generation: 4, ..row.clone() }]
        {
            assert_ne!(of(&row), of(&other));
        }
    }

    #[test]
    fn a_list_of_versions_is_read_and_a_weak_or_broken_one_is_not() {
        assert_eq!(Tags::parse(" * ").ok(), Some(Tags::Any));
        assert_eq!(Tags::parse("\"7-a\", \"8-b\"").ok(), Some(Tags::These(vec!["7-a".into(), "8-b".into()])));
        for broken in ["", "7-a", "W/\"7-a\"", "\"\"", "\"a\",", "\"a\"b\""] {
            assert!(Tags::parse(broken).is_err(), "{broken}");
        }
        let many = vec!["\"a\""; MAX_TAGS + 1].join(",");
        assert!(Tags::parse(&many).is_err());
    }
}
