//! Documents of history, field by field.
//!
//! A document goes through its row's type before it is compared, so that a field which a later version added does not
//! look like a change. Each label is a field of its own, `labels.KEY`, so that two changes of two labels are not in each
//! other's way.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use weft_api::FieldChange;
use weft_store::{
    ContainerRow, ImageRow, LicenceRow, NetRow, NodeRow, PartitionRow, PoolRow, StoreError, TemplateRow,
    VsRow,
};

/// Begins the name of a label's field.
const LABEL: &str = "labels.";

/// Whether a field is a label.
pub(crate) fn is_label(field: &str) -> bool {
    field.starts_with(LABEL)
}

/// Fields of a row by name.
pub(crate) type Document = Map<String, Value>;

/// Whether a field follows from other things: no undo sets it back, and no conflict comes of it.
fn derived(kind: &str, field: &str) -> bool {
    match kind {
        "vs" => matches!(field, "generation" | "instance" | "link_key" | "started"),
        "node" => matches!(field, "boot_counter" | "mac" | "address" | "last_seen" | "report"),
        "partition" => matches!(field, "number" | "record" | "key" | "founder"),
        "pool" | "template" | "datacenter" | "mainframe" | "frame" | "bmc" | "switch" | "port"
        | "gateway" | "vnic" | "vhba" => field == "generation",
        _ => false,
    }
}

/// Whether a field is left out where history is shown: secrets, which history does not keep, and a node's report, which
/// is long and no change of intent.
fn hidden(kind: &str, field: &str) -> bool {
    match kind {
        "vs" => field == "link_key",
        "node" => field == "report",
        "partition" => matches!(field, "record" | "key" | "founder"),
        "user" => field == "hash",
        "token" => field == "token_hash",
        "bmc" => field == "password",
        _ => false,
    }
}

/// A row as its document.
pub(crate) fn document_of<T: Serialize>(row: &T) -> Document {
    match serde_json::to_value(row) {
        Ok(Value::Object(document)) => apart(document),
        Ok(value) => Document::from_iter([("value".to_string(), value)]),
        Err(_) => Document::new(),
    }
}

/// With each label as a field.
fn apart(mut document: Document) -> Document {
    if let Some(Value::Object(labels)) = document.get_mut("labels").map(Value::take) {
        document.remove("labels");
        document.extend(labels.into_iter().map(|(key, value)| (format!("{LABEL}{key}"), value)));
    }
    document
}

/// With all labels in one field, as rows have them.
fn together(document: Document) -> Document {
    let (labels, mut document): (Document, Document) =
        document.into_iter().partition(|(field, _)| is_label(field));
    if !labels.is_empty() {
        let key = |field: String| field.strip_prefix(LABEL).map(str::to_string).unwrap_or_default();
        let labels = labels.into_iter().map(|(field, value)| (key(field), value)).collect();
        document.insert("labels".to_string(), Value::Object(labels));
    }
    document
}

fn typed<T: DeserializeOwned + Serialize>(text: &str) -> Option<Document> {
    serde_json::from_str::<T>(text).ok().map(|row| document_of(&row))
}

/// A document as history keeps it; `None` for an object that was not there.
pub(crate) fn document(kind: &str, text: &str) -> Result<Option<Document>, StoreError> {
    if text == "null" {
        return Ok(None);
    }
    let document = match kind {
        "vs" => typed::<VsRow>(text),
        "node" => typed::<NodeRow>(text),
        "partition" => typed::<PartitionRow>(text),
        "image" => typed::<ImageRow>(text),
        "pool" => typed::<PoolRow>(text),
        "licence" => typed::<LicenceRow>(text),
        "template" => typed::<TemplateRow>(text),
        "datacenter" | "mainframe" | "frame" => typed::<ContainerRow>(text),
        "switch" | "port" | "gateway" | "vnic" | "vhba" => typed::<NetRow>(text),
        _ => typed::<Value>(text),
    };
    let damaged = || StoreError::Damaged { table: "transactions", key: kind.to_string() };
    document.map(Some).ok_or_else(damaged)
}

/// Text as it is, anything else as JSON; empty where there is none.
fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn names<'a>(before: Option<&'a Document>, after: Option<&'a Document>) -> BTreeSet<&'a String> {
    before.into_iter().chain(after).flat_map(Map::keys).collect()
}

/// All fields that may be shown, before and after.
pub(crate) fn fields(kind: &str, before: Option<&Document>, after: Option<&Document>) -> Vec<FieldChange> {
    let value = |document: Option<&Document>, field: &String| text(document.and_then(|all| all.get(field)));
    let change = |field: &String| {
        let (before, after) = (value(before, field), value(after, field));
        // What is empty on both sides is no change to anybody, also where the object was made or deleted.
        let changed = before != after;
        FieldChange { field: field.clone(), before, after, changed, derived: derived(kind, field) }
    };
    names(before, after).into_iter().filter(|field| !hidden(kind, field)).map(change).collect()
}

/// The fields of a document that somebody wants so: no consequences, and no secrets.
pub(crate) fn intent<'a>(kind: &str, document: &'a Document) -> BTreeMap<&'a String, &'a Value> {
    document.iter().filter(|(field, _)| !derived(kind, field) && !hidden(kind, field)).collect()
}

/// Fields of two states of one thing that differ.
pub(crate) fn compare<T: Serialize>(kind: &str, before: &T, after: &T) -> Vec<FieldChange> {
    let mut fields = fields(kind, Some(&document_of(before)), Some(&document_of(after)));
    fields.retain(|field| field.changed);
    fields
}

/// Fields that differ and are no consequence of others.
pub(crate) fn changed(kind: &str, before: Option<&Document>, after: Option<&Document>) -> BTreeSet<String> {
    names(before, after)
        .into_iter()
        .filter(|field| !derived(kind, field))
        .filter(|field| before.and_then(|all| all.get(*field)) != after.and_then(|all| all.get(*field)))
        .cloned()
        .collect()
}

/// What became of an object, in a word.
pub(crate) fn action(before: bool, after: bool) -> &'static str {
    match (before, after) {
        (false, _) => "created",
        (true, true) => "changed",
        (true, false) => "deleted",
    }
}

/// An object's name in its document; its key where it has none.
pub(crate) fn name(before: Option<&Document>, after: Option<&Document>, key: &str) -> String {
    let named = |document: &Document| document.get("name").and_then(Value::as_str).map(str::to_string);
    after.or(before).and_then(named).filter(|name| !name.is_empty()).unwrap_or_else(|| key.to_string())
}

/// A row with these fields of an earlier document.
pub(crate) fn with_fields<T: Serialize + DeserializeOwned>(
    row: &T,
    earlier: &Document,
    fields: &BTreeSet<String>,
) -> Result<T, StoreError> {
    let mut document = document_of(row);
    for field in fields {
        match earlier.get(field) {
            Some(value) => document.insert(field.clone(), value.clone()),
            None => document.remove(field),
        };
    }
    row_of(document)
}

/// The row that history has of an object; `None` where it was not there.
pub(crate) fn row_of_history<T: DeserializeOwned + Serialize>(
    kind: &str,
    text: &str,
) -> Result<Option<T>, StoreError> {
    document(kind, text)?.map(row_of).transpose()
}

/// The row that a document is.
pub(crate) fn row_of<T: DeserializeOwned>(document: Document) -> Result<T, StoreError> {
    let damaged = |_| StoreError::Damaged { table: "transactions", key: "document".to_string() };
    serde_json::from_value(Value::Object(together(document))).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vs(name: &str, running: bool, generation: u64) -> VsRow {
        VsRow {
            name: name.to_string(),
            running,
            generation,
            macs: vec!["02:57".to_string()],
            ..VsRow::default()
        }
    }

    #[test]
    fn a_diff_names_the_fields_that_differ_and_which_of_them_are_consequences() {
        let (before, after) = (document_of(&vs("web", true, 3)), document_of(&vs("web", false, 4)));
        let all = fields("vs", Some(&before), Some(&after));
        let differ: Vec<(&str, &str, &str, bool)> = all
            .iter()
            .filter(|field| field.changed)
            .map(|field| (field.field.as_str(), field.before.as_str(), field.after.as_str(), field.derived))
            .collect();
        assert_eq!(differ, [("generation", "3", "4", true), ("running", "true", "false", false)]);
        assert_eq!(changed("vs", Some(&before), Some(&after)), BTreeSet::from(["running".to_string()]));
        let same = all.iter().find(|field| field.field == "macs").expect("all fields are listed");
        assert_eq!((same.before.as_str(), same.changed), ("[\"02:57\"]", false));
    }

    #[test]
    fn what_is_made_or_deleted_differs_in_every_field() {
        let document = document_of(&vs("web", false, 1));
        let made = changed("vs", None, Some(&document));
        assert!(made.contains("name") && made.contains("macs") && !made.contains("instance"), "{made:?}");
        assert_eq!(made, changed("vs", Some(&document), None));
        let shown = fields("vs", None, Some(&document));
        let differs = |name: &str| shown.iter().any(|field| field.field == name && field.changed);
        assert!(
            differs("macs") && !differs("append"),
            "what is empty on both sides is not shown as a change"
        );
        assert_eq!(
            (action(false, true), action(true, false), action(true, true)),
            ("created", "deleted", "changed")
        );
    }

    #[test]
    fn a_field_that_a_later_version_added_is_no_change() {
        let now = serde_json::to_string(&vs("web", false, 1)).expect("JSON");
        let mut old: Document = serde_json::from_str(&now).expect("JSON");
        old.remove("places");
        old.remove("labels");
        let old = document("vs", &Value::Object(old).to_string()).expect("read").expect("there");
        let now = document("vs", &now).expect("read").expect("there");
        assert_eq!(changed("vs", Some(&old), Some(&now)), BTreeSet::new());
        assert_eq!(document("vs", "null").expect("read"), None);
        assert!(document("vs", "{\"running\": 7}").is_err());
    }

    #[test]
    fn each_label_is_a_field_and_goes_back_into_its_row() {
        let labelled = |labels: &[(&str, &str)]| VsRow {
            labels: labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            ..vs("web", false, 1)
        };
        let (before, after) = (labelled(&[("env", "test"), ("old", "")]), labelled(&[("env", "prod")]));
        let (old, new) = (document_of(&before), document_of(&after));
        let differ = changed("vs", Some(&old), Some(&new));
        assert_eq!(differ, BTreeSet::from(["labels.env".to_string(), "labels.old".to_string()]));
        assert!(differ.iter().all(|field| is_label(field)));
        let shown = fields("vs", Some(&old), Some(&new));
        let env = shown.iter().find(|field| field.field == "labels.env").expect("shown");
        assert_eq!((env.before.as_str(), env.after.as_str()), ("test", "prod"));
        assert_eq!(row_of::<VsRow>(old.clone()).expect("a row"), before);
        // One that another change added since stays; one that was not there goes.
        let now = labelled(&[("env", "prod"), ("mine", "1")]);
        assert_eq!(
            with_fields(&now, &old, &differ).expect("a row"),
            labelled(&[("env", "test"), ("mine", "1"), ("old", "")])
        );
        let none = document_of(&labelled(&[]));
        let env = BTreeSet::from(["labels.env".to_string()]);
        assert_eq!(with_fields(&now, &none, &env).expect("a row"), labelled(&[("mine", "1")]));
    }

    #[test]
    fn secrets_are_not_shown() {
        let row = VsRow { link_key: "secret".to_string(), ..vs("big", true, 1) };
        let partition =
            PartitionRow { key: "secret".into(), record: "secret".into(), ..PartitionRow::default() };
        for (kind, document) in [("vs", document_of(&row)), ("partition", document_of(&partition))] {
            assert!(
                fields(kind, None, Some(&document)).iter().all(|field| field.after != "secret"),
                "{kind}"
            );
        }
    }

    #[test]
    fn only_the_named_fields_are_set_back() {
        let now = vs("web", true, 9);
        let earlier = document_of(&vs("old", false, 2));
        let row = with_fields(&now, &earlier, &BTreeSet::from(["running".to_string()])).expect("a row");
        assert_eq!(row, vs("web", false, 9));
    }
}
