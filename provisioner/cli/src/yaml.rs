//! An ordered tree of JSON values, and its form as YAML.
//!
//! `serde_json::Value` sorts its keys; an operator wants the order in which the interface declares its fields. Every
//! string that could be read as anything but a string is written in JSON's quoting, which YAML 1.2 includes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value whose objects keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Number(value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Map(fields))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor)
    }
}

impl Tree {
    /// Of anything that serialises.
    pub(crate) fn of<T: serde::Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&serde_json::to_string(value)?)
    }

    /// As YAML, one document, newline at the end.
    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::new();
        match self {
            Self::List(items) if !items.is_empty() => items.iter().for_each(|item| item.item(0, &mut out)),
            Self::Map(fields) if !fields.is_empty() => fields_of(fields, 0, &mut out),
            _ => {
                out.push_str(&self.scalar());
                out.push('\n');
            }
        }
        out
    }

    fn item(&self, depth: usize, out: &mut String) {
        let start = out.len();
        match self {
            Self::Map(fields) if !fields.is_empty() => {
                fields_of(fields, depth + 1, out);
                // The first field stands on the line of its dash.
                let indent = (depth + 1) * 2;
                let dash = format!("{}- ", " ".repeat(depth * 2));
                out.replace_range(start..start + indent, &dash);
            }
            Self::List(items) if !items.is_empty() => {
                out.push_str(&format!("{}-\n", " ".repeat(depth * 2)));
                items.iter().for_each(|item| item.item(depth + 1, out));
            }
            _ => out.push_str(&format!("{}- {}\n", " ".repeat(depth * 2), self.scalar())),
        }
    }

    /// On one line; lists and maps only where empty.
    pub(crate) fn scalar(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.clone(),
            Self::Text(value) => quoted(value),
            Self::List(_) => "[]".into(),
            Self::Map(_) => "{}".into(),
        }
    }
}

fn fields_of(fields: &[(String, Tree)], depth: usize, out: &mut String) {
    for (key, value) in fields {
        let indent = " ".repeat(depth * 2);
        match value {
            Tree::List(items) if !items.is_empty() => {
                out.push_str(&format!("{indent}{}:\n", quoted(key)));
                items.iter().for_each(|item| item.item(depth + 1, out));
            }
            Tree::Map(inner) if !inner.is_empty() => {
                out.push_str(&format!("{indent}{}:\n", quoted(key)));
                fields_of(inner, depth + 1, out);
            }
            _ => out.push_str(&format!("{indent}{}: {}\n", quoted(key), value.scalar())),
        }
    }
}

fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_keep_their_order_and_shape() {
        let tree: Tree = serde_json::from_str(
            r#"[{"name":"node-1","state":"ready","stages":[{"stage":"dhcp","ms":0}],"nics":[],"tags":["a","no"],"deep":{"x":{"z":1}}}]"#,
        )
        .expect("JSON");
        assert_eq!(
            tree.to_yaml(),
            "- name: node-1\n  state: ready\n  stages:\n    - stage: dhcp\n      ms: 0\n  nics: []\n  tags:\n    - a\n    - \"no\"\n  deep:\n    x:\n      z: 1\n"
        );
    }

    #[test]
    fn text_that_could_be_misread_is_quoted() {
        for text in [
            "",
            "123",
            "0x10",
            "1e3",
            "~",
            "null",
            "Yes",
            "a: b",
            "- a",
            "#x",
            "a\nb",
            "02:00:00:00:00:01",
            "\u{1b}[2J",
        ] {
            let line = quoted(text);
            assert!(line.starts_with('"') && line.ends_with('"'), "{text:?} as {line}");
            assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), text);
        }
        assert_eq!(quoted("weft-1"), "weft-1");
    }

    #[test]
    fn empty_lists_are_lists() {
        assert_eq!(Tree::List(Vec::new()).to_yaml(), "[]\n");
    }
}
