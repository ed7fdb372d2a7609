//! What a policy looks at in an object, so that objects which do not differ in it are decided once.
//!
//! Sound, as an object comes into an evaluation in four ways only, of which each is noted: its labels, its owner, what
//! is asked of its name ([`Names`]), and which object it is. The last one is taken for granted wherever a form of
//! Cedar's JSON is not one of those in [`Reads::form`].

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, ResourceConstraint};
use serde_json::Value;

use super::judge::Object;
use super::names::{Answers, Names};

/// What policies look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// Which object it is, or anything that is not understood here: objects are decided one by one.
    each: bool,
    names: Names,
    owner: bool,
    labels: BTreeSet<String>,
}

/// What an object shows of that; objects with the same shape are decided alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    name: Answers,
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
            let looked = policy.to_json().ok().and_then(|json| self.conditions(json.get("conditions")?));
            self.each |= looked.is_none();
        }
    }

    /// With what others look at.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.each |= other.each;
        self.names.merge(&other.names);
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

    /// What the object shows of what is looked at, where objects are not decided one by one.
    pub(crate) fn shape(&self, object: &Object<'_>) -> Shape {
        let label = |key: &String| object.labels.and_then(|labels: &BTreeMap<_, _>| labels.get(key)).cloned();
        Shape {
            name: self.names.answers(object.name),
            owner: self.owner.then(|| object.owner.to_string()),
            labels: self.labels.iter().map(label).collect(),
        }
    }

    /// Through all conditions of a policy; `None`: something in them is not understood.
    fn conditions(&mut self, conditions: &Value) -> Option<()> {
        let bodies = conditions.as_array()?.iter().map(|condition| condition.get("body"));
        let mut waiting = bodies.collect::<Option<Vec<_>>>()?;
        while let Some(expression) = waiting.pop() {
            self.form(expression, &mut waiting)?;
        }
        Some(())
    }

    /// Notes what one form looks at, and puts in line what stands in it; `None`: it is not understood.
    fn form<'a>(&mut self, expression: &'a Value, waiting: &mut Vec<&'a Value>) -> Option<()> {
        let (operator, operands) = only(expression)?;
        match operator {
            "Value" => {}
            "Var" => given(expression).then_some(())?,
            "!" | "neg" | "isEmpty" => waiting.extend(fields(operands, ["arg"])?),
            "==" | "!=" => {
                let [left, right] = fields(operands, ["left", "right"])?;
                let text = match (is_name(left), is_name(right)) {
                    (true, false) => text(right),
                    (false, true) => text(left),
                    (true, true) | (false, false) => None,
                };
                match text {
                    Some(text) => self.names.is(text),
                    None => waiting.extend([left, right]),
                }
            }
            "like" => {
                let [left, pattern] = fields(operands, ["left", "pattern"])?;
                if is_name(left) { self.names.like(pattern) } else { waiting.push(left) }
            }
            "." | "has" => {
                let [left, attribute] = fields(operands, ["left", "attr"])?;
                match (is_object(left), attribute.as_str()) {
                    (true, Some("name")) => self.names.whole(),
                    (true, Some("owner")) => self.owner = true,
                    (true, _) => return None,
                    (false, _) => self.looked_up(left)?,
                }
            }
            "hasTag" | "getTag" => {
                let [left, key] = fields(operands, ["left", "right"])?;
                if is_object(left) {
                    self.labels.insert(text(key)?.to_string());
                } else {
                    self.looked_up(left)?;
                    waiting.push(key);
                }
            }
            "in" => {
                let [left, right] = fields(operands, ["left", "right"])?;
                self.looked_up(left)?;
                waiting.push(right);
            }
            "is" if operands.get("in").is_some() => {
                let [left, _, right] = fields(operands, ["left", "entity_type", "in"])?;
                self.looked_up(left)?;
                waiting.push(right);
            }
            "is" => {
                let [left, _] = fields(operands, ["left", "entity_type"])?;
                // All objects that are decided together are of one kind.
                waiting.extend((!is_object(left)).then_some(left));
            }
            "<" | "<=" | ">" | ">=" | "&&" | "||" | "+" | "-" | "*" | "contains" | "containsAll"
            | "containsAny" => waiting.extend(fields(operands, ["left", "right"])?),
            "if-then-else" => waiting.extend(fields(operands, ["if", "then", "else"])?),
            "Set" => waiting.extend(operands.as_array()?),
            "Record" => waiting.extend(operands.as_object()?.values()),
            _ => return None,
        }
        Some(())
    }

    /// Notes what comes of looking into an entity. Who asks, and for what, is the same for all objects; an owner is noted.
    /// Any other may be the object itself, by its identity.
    fn looked_up(&mut self, entity: &Value) -> Option<()> {
        if given(entity) {
            return Some(());
        }
        let (operator, operands) = only(entity)?;
        let [left, attribute] = fields(operands, ["left", "attr"])?;
        (operator == "." && is_object(left) && attribute == "owner").then_some(())?;
        self.owner = true;
        Some(())
    }
}

/// Operator and operands of an expression.
fn only(expression: &Value) -> Option<(&str, &Value)> {
    let fields = expression.as_object().filter(|fields| fields.len() == 1)?;
    fields.iter().next().map(|(operator, operands)| (operator.as_str(), operands))
}

/// Operands by name, where there are these and no others.
fn fields<'a, const N: usize>(operands: &'a Value, names: [&str; N]) -> Option<[&'a Value; N]> {
    let all = operands.as_object().filter(|all| all.len() == N)?;
    let found = names.iter().map(|name| all.get(*name)).collect::<Option<Vec<_>>>()?;
    found.try_into().ok()
}

/// A literal text.
fn text(expression: &Value) -> Option<&str> {
    only(expression).filter(|(operator, _)| *operator == "Value").and_then(|(_, value)| value.as_str())
}

fn variable(expression: &Value) -> Option<&str> {
    only(expression).filter(|(operator, _)| *operator == "Var").and_then(|(_, name)| name.as_str())
}

/// The object.
fn is_object(expression: &Value) -> bool {
    variable(expression) == Some("resource")
}

/// A variable that is the same for all objects.
fn given(expression: &Value) -> bool {
    matches!(variable(expression), Some("principal" | "action" | "context"))
}

/// The object's name.
fn is_name(expression: &Value) -> bool {
    only(expression).filter(|(operator, _)| *operator == ".").is_some_and(|(_, operands)| {
        fields(operands, ["left", "attr"])
            .is_some_and(|[left, attribute]| is_object(left) && attribute == "name")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Reads {
        let mut reads = Reads::default();
        reads.add(&Policy::parse(None, text).expect(text));
        reads
    }

    fn when(condition: &str) -> Reads {
        reads(&format!("permit(principal, action, resource) when {{ {condition} }};"))
    }

    fn of(labels: &[&str]) -> Reads {
        Reads { labels: labels.iter().map(|key| (*key).to_string()).collect(), ..Reads::default() }
    }

    /// Whether two names that no policy names are told apart.
    fn tells_names_apart(reads: &Reads) -> bool {
        reads.names.answers("x") != reads.names.answers("y")
    }

    #[test]
    fn what_a_policy_looks_at_is_found() {
        assert!(reads("permit(principal, action, resource);").nothing());
        assert!(
            reads("permit(principal, action, resource is Vs) when { principal.name == \"x\" };").nothing()
        );
        assert!(when("resource is Vs").nothing());
        assert!(when(r#"principal in Role::"viewer" && principal is Account in Role::"viewer""#).nothing());
        assert!(when(r#"principal has name && action == Action::"view" && context has x"#).nothing());
        assert_eq!(
            reads(
                r#"permit(principal, action, resource is Vs) when
                   { resource.hasTag("env") && resource.getTag("env") == "prod" } unless { resource.hasTag("old") };"#
            ),
            of(&["env", "old"])
        );
        let owner = Reads { owner: true, ..Reads::default() };
        for text in [
            "resource.owner == principal",
            r#"resource.owner.name == "x""#,
            r#"resource.owner in Role::"viewer""#,
            r#"[Account::"a", Account::"b"].contains(resource.owner)"#,
        ] {
            assert_eq!(when(text), owner, "{text}");
        }
    }

    #[test]
    fn a_name_is_asked_for_patterns_and_texts() {
        for text in [
            r#"resource.name like "web-*""#,
            r#"!(resource.name like "web-*") || resource.name == "a""#,
            r#""a" == resource.name"#,
            r#"resource.name != "a""#,
            r#"(resource.name == "a") == (principal.name like "b*")"#,
            r#"resource["name"] like "web-*""#,
            r#"if resource.name like "*" then (resource.name) == "b" else [1].contains(2)"#,
            r#"{"like": resource.name like "a*"} == {"like": true}"#,
        ] {
            let found = when(text);
            assert!(!found.each && !found.nothing() && !tells_names_apart(&found), "{text}: {found:?}");
        }
        let asked = when(r#"resource.name like "web-*" && resource.name == "a""#);
        for (one, other) in [("web-1", "x"), ("a", "x"), ("a", "web-1")] {
            assert_ne!(asked.names.answers(one), asked.names.answers(other));
        }
        assert_eq!(asked.names.answers("web-1"), asked.names.answers("web-2"));
    }

    #[test]
    fn what_else_is_done_with_a_name_tells_all_names_apart() {
        for text in [
            "resource.name == principal.name",
            "principal.name == resource.name",
            "resource.name == resource.name",
            "resource.name == (if true then \"a\" else \"b\")",
            "resource.name == 1",
            "resource.name == [\"a\"]",
            "resource.name < \"b\"",
            "resource.name + \"b\" == \"ab\"",
            "[\"a\", \"b\"].contains(resource.name)",
            "[resource.name].contains(\"a\")",
            "[resource.name, \"a\"].containsAll([\"a\"])",
            "{n: resource.name} == {n: \"a\"}",
            "{name: resource.name} == {name: principal.name}",
            "{\"like\": resource.name} == {\"like\": \"a\"}",
            "(if principal.name == \"x\" then resource.name else \"b\") like \"b*\"",
            "principal.hasTag(resource.name)",
            "resource has name",
            "resource.name like \"a*\" && resource.name == principal.name",
        ] {
            let found = when(text);
            assert!(!found.each && tells_names_apart(&found), "{text}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_understood_means_the_whole_object() {
        for text in [
            r#"permit(principal, action, resource == Vs::"a");"#,
            r#"permit(principal, action, resource is Vs in Vs::"a");"#,
        ] {
            assert!(reads(text).each, "{text}: {:?}", reads(text));
        }
        for text in [
            r#"resource == Vs::"a""#,
            r#"resource is Vs in Vs::"a""#,
            r#"resource in [Vs::"a"]"#,
            "resource == principal",
            "[resource].contains(principal)",
            "resource.hasTag(principal.name)",
            "resource.hasTag(resource.name)",
            r#"(if true then resource else resource).name == "a""#,
            r#"(if true then resource else resource).name like "a*""#,
            "resource.other == 1",
            "resource has name.length",
            "resource has other",
            r#"{Var: resource}.Var.name == "x""#,
            r#"{name: resource.name}.name like "x*""#,
            r#"{left: resource, attr: "name"}.left.name like "x*""#,
            "resource.name.length == 1",
            r#"resource.owner.owner.name == "x""#,
        ] {
            assert!(when(text).each, "{text}: {:?}", when(text));
        }
    }

    #[test]
    fn an_entity_that_is_named_may_be_the_object() {
        for text in [
            r#"Vs::"a" has name"#,
            r#"Vs::"a".name like "x*""#,
            r#"Vs::"a".hasTag("env")"#,
            r#"Vs::"a" in Vs::"b""#,
            r#"Vs::"a" is Vs in Vs::"b""#,
            r#"Account::"a".name == "x""#,
            r#"(if principal.name == "x" then Vs::"a" else Vs::"b") has name"#,
        ] {
            assert!(when(text).each, "{text}: {:?}", when(text));
        }
        assert!(when(r#"Vs::"a" == Vs::"b" || Vs::"a" is Vs || principal in Account::"a""#).nothing());
    }

    #[test]
    fn forms_that_cedar_does_not_have_are_not_understood() {
        use serde_json::json;
        let resource = json!({"Var": "resource"});
        for body in [
            json!(null),
            json!({}),
            json!("resource"),
            json!({"Slot": "?resource"}),
            json!({"ip": [{"Value": "::1"}]}),
            json!({"Value": 1, "Var": "resource"}),
            json!({"Var": {"Var": "principal"}}),
            json!({"!": {"arg": {"Value": true}, "more": resource}}),
            json!({"&&": {"left": {"Value": true}}}),
            json!({"like": {"left": {"Var": "principal"}, "pattern": [], "more": resource}}),
            json!({"is": {"left": resource, "entity_type": "Vs", "more": resource}}),
            json!({"Set": {"0": resource}}),
        ] {
            let conditions = json!([{"kind": "when", "body": body}]);
            assert!(Reads::default().conditions(&conditions).is_none(), "{conditions}");
        }
        for conditions in [json!({}), json!([{"kind": "when"}])] {
            assert!(Reads::default().conditions(&conditions).is_none(), "{conditions}");
        }
        let strange =
            json!({"like": {"left": {".": {"left": resource, "attr": "name"}}, "pattern": ["Any"]}});
        let mut reads = Reads::default();
        assert!(reads.conditions(&json!([{"kind": "when", "body": strange}])).is_some());
        assert!(tells_names_apart(&reads));
    }
}
