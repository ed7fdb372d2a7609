//! Answers on standard output: aligned columns for a person, JSON and YAML for programs.
//!
//! Names, reasons and log lines come from nodes and guests: no control character of theirs reaches the terminal.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::args::Format;
use crate::error::CliError;
use crate::yaml::Tree;

/// A column of a list.
pub(crate) struct Column<T> {
    pub(crate) title: &'static str,
    /// Shown by `-o wide` alone.
    pub(crate) wide: bool,
    pub(crate) cell: fn(&T) -> String,
}

/// How one verb's answer is written.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
}

impl Output {
    /// A list: a table, or a bare array.
    pub(crate) fn list<T: Serialize>(
        self,
        items: &[T],
        columns: &[Column<T>],
        empty: &str,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide if items.is_empty() => {
                self.note(empty);
                Ok(())
            }
            Format::Table => print(&table(items, columns, false)),
            Format::Wide => print(&table(items, columns, true)),
            Format::Json => self.json(&items),
            Format::Yaml => self.yaml(&items),
        }
    }

    /// One object.
    pub(crate) fn one<T: Serialize>(self, item: &T) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide => print(&sheet(&tree(item)?)),
            Format::Json => self.json(item),
            Format::Yaml => self.yaml(item),
        }
    }

    /// One object of an endless list, on a line of its own where the form allows.
    pub(crate) fn item<T: Serialize>(self, item: &T, line: &str) -> Result<(), CliError> {
        match self.format {
            Format::Table | Format::Wide => print(&format!("{}\n", clean(line))),
            Format::Json => print(&format!("{}\n", serde_json::to_string(item).map_err(unserialisable)?)),
            Format::Yaml => self.yaml(&[item]),
        }
    }

    fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        print(&format!("{}\n", serde_json::to_string_pretty(value).map_err(unserialisable)?))
    }

    fn yaml<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        print(&tree(value)?.to_yaml())
    }

    /// A remark for a person, on standard error.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{}", clean(text));
        }
    }

    /// Progress: only for a person who watches.
    pub(crate) fn progress(self, text: &str) {
        if io::stderr().is_terminal() {
            self.note(text);
        }
    }
}

fn tree<T: Serialize>(value: &T) -> Result<Tree, CliError> {
    Tree::of(value).map_err(unserialisable)
}

fn unserialisable(error: serde_json::Error) -> CliError {
    CliError::Answer { what: "the request".into(), why: error.to_string() }
}

/// Writes data. A reader that has gone away is no error: `weft … | head` ends quietly.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|source| CliError::Io { what: "standard output".into(), source }),
    }
}

/// Without control characters, line ends included.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Aligned columns with a heading.
pub(crate) fn table<T>(items: &[T], columns: &[Column<T>], wide: bool) -> String {
    let columns: Vec<&Column<T>> = columns.iter().filter(|column| wide || !column.wide).collect();
    let mut rows = vec![columns.iter().map(|column| column.title.to_owned()).collect::<Vec<_>>()];
    for item in items {
        let cell = |column: &&Column<T>| {
            let text = clean(&(column.cell)(item));
            if text.is_empty() { "-".to_owned() } else { text }
        };
        rows.push(columns.iter().map(cell).collect());
    }
    let mut widths = vec![0; columns.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// One object, a field a line; lists of objects as small tables.
fn sheet(tree: &Tree) -> String {
    let Tree::Map(fields) = tree else { return format!("{}\n", clean(&tree.scalar())) };
    let width = fields.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (key, value) in fields {
        let label = format!("{:<width$}  ", key.replace('_', "-"));
        match value {
            Tree::List(items) if items.iter().any(|item| matches!(item, Tree::Map(_))) => {
                for (index, item) in items.iter().enumerate() {
                    let label = if index == 0 { label.clone() } else { " ".repeat(width + 2) };
                    out.push_str(&format!("{label}{}\n", inline(item)));
                }
            }
            // Keys of labels are as they were given.
            Tree::Map(labels) if key == "labels" && !labels.is_empty() => {
                let value = |value: &Tree| match value {
                    Tree::Text(text) => clean(text),
                    other => other.scalar(),
                };
                let pairs = labels.iter().map(|(key, text)| format!("{}={}", clean(key), value(text)));
                out.push_str(&format!("{label}{}\n", pairs.collect::<Vec<_>>().join(",")));
            }
            value => out.push_str(&format!("{label}{}\n", inline(value))),
        }
    }
    out
}

/// Labels as a selector would choose them.
pub(crate) fn labels(labels: &weft_api::Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

fn inline(tree: &Tree) -> String {
    match tree {
        Tree::Text(text) if text.is_empty() => "-".into(),
        Tree::Text(text) => clean(text),
        Tree::Bool(value) => if *value { "yes" } else { "no" }.into(),
        Tree::List(items) if items.is_empty() => "-".into(),
        Tree::Map(fields) if fields.is_empty() => "-".into(),
        Tree::List(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Tree::Map(fields) => fields
            .iter()
            .map(|(key, value)| format!("{}={}", key.replace('_', "-"), inline(value)))
            .collect::<Vec<_>>()
            .join("  "),
        Tree::Null | Tree::Number(_) => tree.scalar(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: String,
        size_kib: u64,
        parts: Vec<Part>,
    }
    #[derive(Serialize)]
    struct Part {
        id: String,
    }

    fn columns() -> [Column<Thing>; 3] {
        [
            Column { title: "NAME", wide: false, cell: |thing| thing.name.clone() },
            Column { title: "KIB", wide: true, cell: |thing| thing.size_kib.to_string() },
            Column {
                title: "PARTS",
                wide: false,
                cell: |thing| thing.parts.iter().map(|part| part.id.clone()).collect(),
            },
        ]
    }

    #[test]
    fn columns_are_aligned_and_wide_ones_wait_for_wide() {
        let things = [
            Thing { name: "a-long-name".into(), size_kib: 7, parts: Vec::new() },
            Thing { name: "b".into(), size_kib: 70, parts: vec![Part { id: "x".into() }] },
        ];
        assert_eq!(table(&things, &columns(), false), "NAME         PARTS\na-long-name  -\nb            x\n");
        assert_eq!(
            table(&things, &columns(), true),
            "NAME         KIB  PARTS\na-long-name  7    -\nb            70   x\n"
        );
    }

    #[test]
    fn control_characters_of_others_never_reach_the_terminal() {
        let thing = Thing {
            name: "\u{1b}]0;x\u{7}\nroot".into(),
            size_kib: 0,
            parts: vec![Part { id: "\r".into() }],
        };
        let text =
            table(std::slice::from_ref(&thing), &columns(), true) + &sheet(&Tree::of(&thing).expect("JSON"));
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 5);
    }

    #[test]
    fn labels_are_shown_as_they_were_given() {
        #[derive(Serialize)]
        struct Labelled {
            labels: weft_api::Labels,
        }
        let some = [("a_b".to_owned(), "x-1".to_owned()), ("note".to_owned(), String::new())].into();
        assert_eq!(labels(&some), "a_b=x-1,note=");
        assert_eq!(sheet(&Tree::of(&Labelled { labels: some }).expect("JSON")), "labels  a_b=x-1,note=\n");
        let none = Labelled { labels: weft_api::Labels::new() };
        assert_eq!(sheet(&Tree::of(&none).expect("JSON")), "labels  -\n");
    }

    #[test]
    fn a_sheet_has_a_line_for_each_field_and_part() {
        let thing = Thing {
            name: "a".into(),
            size_kib: 1,
            parts: vec![Part { id: "x".into() }, Part { id: "y".into() }],
        };
        assert_eq!(
            sheet(&Tree::of(&thing).expect("JSON")),
            "name      a\nsize-kib  1\nparts     id=x\n          id=y\n"
        );
    }
}
