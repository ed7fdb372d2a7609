//! What a command answers: named values in a fixed order, for people and for programs.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// Forms in which an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Two columns.
    #[default]
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Named values in the order in which they were added. Serialises as a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    fields: Vec<(&'static str, Value)>,
}

impl Report {
    /// An empty answer.
    pub fn new() -> Self {
        Self::default()
    }

    /// With one value more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// With all values of another answer.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        self
    }

    /// The values in order.
    pub fn fields(&self) -> &[(&'static str, Value)] {
        &self.fields
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find_map(|(known, value)| (*known == name).then_some(value))
    }

    /// As text, newline at the end.
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Table => self.lines(),
            // A map of strings and numbers always serialises.
            Form::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
            Form::Yaml => self.yaml(),
        }
    }

    fn lines(&self) -> String {
        let width = self.fields.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        let mut out = String::new();
        for (name, value) in &self.fields {
            let name = name.replace('_', " ");
            match value {
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let name = if index == 0 { name.as_str() } else { "" };
                        out += &format!("{name:width$}  {}\n", plain(item));
                    }
                    if items.is_empty() {
                        out += &format!("{name:width$}  none\n");
                    }
                }
                other => out += &format!("{name:width$}  {}\n", plain(other)),
            }
        }
        out
    }

    /// Keys as they are; values in JSON, which is YAML 1.2 in flow style.
    fn yaml(&self) -> String {
        self.fields
            .iter()
            .map(|(name, value)| match value {
                Value::Array(items) if !items.is_empty() => {
                    items.iter().fold(format!("{name}:\n"), |out, item| out + &format!("  - {item}\n"))
                }
                other => format!("{name}: {other}\n"),
            })
            .collect()
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_keep_the_order() {
        let report =
            Report::new().with("state", "good").with("generation", 7u64).with("signers", vec!["b", "a"]);
        assert_eq!(
            report.render(Form::Table),
            "state       good\ngeneration  7\nsigners     b\n            a\n"
        );
        assert_eq!(
            report.render(Form::Yaml),
            "state: \"good\"\ngeneration: 7\nsigners:\n  - \"b\"\n  - \"a\"\n"
        );
        let json = report.render(Form::Json);
        assert!(json.find("state") < json.find("generation"));
        let parsed: Result<Value, _> = serde_json::from_str(&json);
        assert!(parsed.is_ok_and(|value| value["signers"][1] == "a"));
    }
}
