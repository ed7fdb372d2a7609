//! What a policy looks at in an object, so that objects which do not differ in it are decided once.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, ResourceConstraint};
use serde_json::Value;

use super::judge::Object;

/// What policies look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Which object it is, or anything that is not understood here: objects are decided one by one.
    each: bool,
    name: bool,
    owner: bool,
    labels: BTreeSet<String>,
}

/// What an object shows of that; objects with the same shape are decided alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    id: Option<String>,
    name: Option<String>,
    owner: Option<String>,
    labels: Vec<Option<String>>,
}

impl Reads {
    /// Adds what a policy looks at.
    pub(crate) fn add(&mut self, policy: &Policy) {
        match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
            ResourceConstraint::Eq(_) | ResourceConstraint::In(_) | ResourceConstraint::IsIn(..) => {
                self.each = true;
            }
        }
        if policy.has_non_scope_constraint() {
            match policy.to_json() {
                Ok(json) => self.walk(json.get("conditions").unwrap_or(&Value::Null)),
                Err(_) => self.each = true,
            }
        }
    }

    /// With what others look at.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.each |= other.each;
        self.name |= other.name;
        self.owner |= other.owner;
        self.labels.extend(other.labels.iter().cloned());
    }

    /// Whether each object is decided by itself.
    pub(crate) fn each(&self) -> bool {
        self.each
    }

    /// Whether all objects of a kind are decided alike.
    pub(crate) fn nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What the object shows of what is looked at.
    pub(crate) fn shape(&self, object: &Object<'_>) -> Shape {
        let label = |key: &String| object.labels.and_then(|labels: &BTreeMap<_, _>| labels.get(key)).cloned();
        let every = || object.labels.into_iter().flatten().map(|(key, value)| Some(format!("{key}={value}")));
        Shape {
            id: self.each.then(|| object.id.to_string()),
            name: (self.each || self.name).then(|| object.name.to_string()),
            owner: (self.each || self.owner).then(|| object.owner.to_string()),
            labels: if self.each { every().collect() } else { self.labels.iter().map(label).collect() },
        }
    }

    /// Through an expression of Cedar's JSON form. The object anywhere but in the forms named here means all of it.
    fn walk(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.walk(part)),
            Value::Object(fields) => {
                for (operator, operands) in fields {
                    // A field of a record may have any name, this one too; then there is more than a word in it.
                    if operator == "Var" && operands.is_string() {
                        self.each |= operands == "resource";
                    } else if !self.known(operator, operands) {
                        self.walk(operands);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Notes what a form of its own looks at; `false` for others.
    fn known(&mut self, operator: &str, operands: &Value) -> bool {
        let of_object =
            operands.get("left").is_some_and(|left| left.get("Var").is_some_and(|var| var == "resource"));
        if !of_object {
            return false;
        }
        let text =
            |at: &[&str]| at.iter().try_fold(operands, |value, key| value.get(key)).and_then(Value::as_str);
        match operator {
            // All objects that are decided together are of one kind.
            "is" => operands.get("in").is_none(),
            "." | "has" => match text(&["attr"]) {
                Some("name") => {
                    self.name = true;
                    true
                }
                Some("owner") => {
                    self.owner = true;
                    true
                }
                Some(_) | None => false,
            },
            "hasTag" | "getTag" => {
                let key = text(&["right", "Value"]);
                self.labels.extend(key.map(str::to_string));
                key.is_some()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Reads {
        let mut reads = Reads::default();
        reads.add(&Policy::parse(None, text).expect(text));
        reads
    }

    fn of(labels: &[&str]) -> Reads {
        Reads { labels: labels.iter().map(|key| (*key).to_string()).collect(), ..Reads::default() }
    }

    #[test]
    fn what_a_policy_looks_at_is_found() {
        assert!(reads("permit(principal, action, resource);").nothing());
        assert!(
            reads("permit(principal, action, resource is Vs) when { principal.name == \"x\" };").nothing()
        );
        assert!(reads("permit(principal, action, resource) when { resource is Vs };").nothing());
        assert_eq!(
            reads(
                r#"permit(principal, action, resource is Vs) when
                   { resource.hasTag("env") && resource.getTag("env") == "prod" } unless { resource.hasTag("old") };"#
            ),
            of(&["env", "old"])
        );
        let name = reads(r#"permit(principal, action, resource is Vs) when { resource.name like "web-*" };"#);
        assert!(name.name && !name.each && name.labels.is_empty());
        assert!(
            reads("permit(principal, action, resource is Token) when { resource.owner == principal };").owner
        );
    }

    #[test]
    fn what_is_not_understood_means_the_whole_object() {
        for text in [
            r#"permit(principal, action, resource == Vs::"a");"#,
            r#"permit(principal, action, resource is Vs in Vs::"a");"#,
            r#"permit(principal, action, resource) when { resource == Vs::"a" };"#,
            r#"permit(principal, action, resource) when { resource is Vs in Vs::"a" };"#,
            r#"permit(principal, action, resource) when { resource in [Vs::"a"] };"#,
            r#"permit(principal, action, resource) when { resource.hasTag(principal.name) };"#,
            r#"permit(principal, action, resource) when { (if true then resource else resource).name == "a" };"#,
            r#"permit(principal, action, resource) when { resource.other == 1 };"#,
            r#"permit(principal, action, resource) when { {Var: resource}.Var.name == "x" };"#,
        ] {
            assert!(reads(text).each, "{text}: {:?}", reads(text));
        }
    }
}
