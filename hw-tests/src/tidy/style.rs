//! Rules of style over single files.

use super::{Complaint, complain};

/// Longest source file, lines.
pub const MAX_LINES: usize = 600;

/// Where `unsafe` may stand: the hardware layer, the system-call line, and the entry shims.
const UNSAFE_ALLOWED: &[&str] = &[
    "firmware/hal/",
    "firmware/abi/",
    "firmware/dvmm/src/",
    "netboot/entry/",
    "netboot/stub/",
    "netboot/bios/",
    // A bare-metal program that stands in for the monitor in tests of the entries.
    "netboot/tests/monitor/",
];

/// Files that a tool writes and that are read by nobody.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json", "src/api/schema.ts"];

/// Source files: these have a length limit and no unfinished marks.
const SOURCES: &[&str] = &["rs", "ts", "tsx", "mjs", "css", "sh"];

/// Words of an unfinished source. In pieces, so that this file passes its own test.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("TO", "DO"),
    concat!("#[ig", "nore"),
    concat!("test.sk", "ip("),
    concat!("describe.sk", "ip("),
    concat!(".on", "ly("),
];

/// Hosts of package registries: none is named, so that any mirror works.
const REGISTRIES: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
];

/// Home folders of somebody's machine.
const HOMES: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

/// Complaints about one text file; `name` is its path in the repository.
pub fn check(name: &str, text: &str) -> Vec<Complaint> {
    let mut out = Vec::new();
    check_everywhere(name, text, &mut out);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
    if SOURCES.contains(&extension) && !is_generated(name) {
        check_source(name, text, &mut out);
    }
    if extension == "rs" {
        check_rust(name, text, &mut out);
    }
    out
}

fn is_generated(name: &str) -> bool {
    GENERATED.iter().any(|end| name.ends_with(end))
}

fn check_everywhere(name: &str, text: &str, out: &mut Vec<Complaint>) {
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{name}:{number}");
        // Cargo writes the name of its registry into the lock file; there is no way around it.
        if name != "Cargo.lock" {
            for host in REGISTRIES.iter().filter(|host| line.contains(**host)) {
                complain(out, &place, format!("names the registry {host}"));
            }
        }
        if is_generated(name) {
            continue;
        }
        for home in HOMES.iter().filter(|home| names_folder(line, home)) {
            complain(out, &place, format!("names a folder of one machine: {home}…"));
        }
        if line.ends_with([' ', '\t']) {
            complain(out, &place, "blanks at the end of the line");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        complain(out, name, "no newline at the end");
    }
}

/// Whether a line holds an absolute path into `folder`: not as the middle of a longer path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + folder.len()..).and_then(|text| text.chars().next());
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '*');
        !before.is_some_and(word) && after.is_some_and(|c| c.is_ascii_lowercase())
    })
}

fn check_source(name: &str, text: &str, out: &mut Vec<Complaint>) {
    let lines = text.lines().count();
    if lines > MAX_LINES {
        complain(out, name, format!("{lines} lines, {MAX_LINES} at most"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let place = format!("{name}:{number}");
        for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
            complain(out, &place, format!("unfinished: {word}"));
        }
        if line.starts_with('\t') {
            complain(out, &place, "indented by a tab");
        }
    }
}

fn check_rust(name: &str, text: &str, out: &mut Vec<Complaint>) {
    // Tests are part of what they test, and a fuzz target is one call into a documented check.
    let part = name.ends_with("tests.rs") || name.contains("/tests/") || name.contains("/fuzz_targets/");
    if !text.starts_with("//!") && !part {
        complain(out, name, "opens without module documentation (`//!`)");
    }
    if UNSAFE_ALLOWED.iter().any(|folder| name.starts_with(folder)) {
        return;
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or_default();
        let unsafe_word = concat!("uns", "afe");
        let starts = ["{", "fn", "impl", "extern", "trait", "("];
        let found = code.match_indices(unsafe_word).any(|(at, word)| {
            let rest = code.get(at + word.len()..).unwrap_or_default().trim_start();
            starts.iter().any(|start| rest.starts_with(start))
        });
        if found {
            complain(
                out,
                format!("{name}:{number}"),
                "unsafe code outside the hardware layer and the entry shims",
            );
        }
    }
}

/// Whether the root file of a bare-metal crate switches the standard library off.
pub fn check_no_std(name: &str, text: &str) -> Vec<Complaint> {
    let mut out = Vec::new();
    if !["#![no_std]", "#![cfg_attr(not(test), no_std)]"].iter().any(|line| text.lines().any(|l| l == *line))
    {
        complain(&mut out, name, "a bare-metal crate without #![no_std]");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(body: &str) -> usize {
        check("firmware/x/src/lib.rs", &format!("//! Docs.\n{body}\n")).len()
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(rust("fn f() {}"), 0);
    }

    #[test]
    fn each_unfinished_mark_is_found() {
        for word in UNFINISHED {
            assert_eq!(rust(&format!("let x = {word}")), 1, "{word}");
        }
    }

    #[test]
    fn unsafe_code_is_found_where_it_must_not_be() {
        let code = concat!("uns", "afe { x() }");
        assert_eq!(rust(code), 1);
        assert_eq!(rust(&format!("// {code}")), 0);
        assert_eq!(check("firmware/hal/src/x.rs", &format!("//! D.\n{code}\n")), []);
    }

    #[test]
    fn length_blanks_tabs_docs_and_the_last_newline_count() {
        assert_eq!(rust(&"\n".repeat(MAX_LINES)), 1);
        assert_eq!(rust("let x = 1; "), 1);
        assert_eq!(rust("\tlet x = 1;"), 1);
        assert_eq!(check("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(check("a.md", "words").len(), 1);
    }

    #[test]
    fn registries_and_home_folders_are_found_in_every_file() {
        for host in REGISTRIES {
            assert_eq!(check("a.json", &format!("\"https://{host}/x\"\n")).len(), 1, "{host}");
            assert_eq!(check("web/package-lock.json", &format!("\"https://{host}/x\"\n")).len(), 1, "{host}");
        }
        for home in HOMES {
            assert_eq!(check("a.md", &format!("see {home}me/x\n")).len(), 1, "{home}");
            assert_eq!(check("a.md", &format!("see target{home}x\n")).len(), 0, "inside a longer path");
        }
    }

    #[test]
    fn a_bare_metal_crate_says_so() {
        assert_eq!(check_no_std("lib.rs", "//! D.\n#![no_std]\n"), []);
        assert_eq!(check_no_std("lib.rs", "//! D.\n").len(), 1);
    }
}
