//! Embeds the built page, `provisioner/web/dist`, or a page that says how to build it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Weft</title>\
<h1>The page is not built</h1><p>This appliance runs, and its interface and command line work. \
Build the page in <code>provisioner/web</code> with <code>npm ci</code> and <code>npm run build</code>, \
then build the appliance again.</p></html>";

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let web = root.join("../web");
    let dist = web.join("dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut found = Vec::new();
    collect(&dist, &mut found);
    found.sort();
    let mut code = String::from("static FILES: &[File] = &[\n");
    for path in &found {
        let name = path.strip_prefix(&dist).expect("below dist").to_string_lossy().replace('\\', "/");
        let from = path.canonicalize().expect("a file that was just listed");
        let _ = writeln!(
            code,
            "    File {{ path: {name:?}, kind: {:?}, bytes: include_bytes!({:?}) }},",
            kind(&name),
            from.display().to_string()
        );
    }
    if !found.iter().any(|path| path.ends_with("index.html")) {
        let _ = writeln!(
            code,
            "    File {{ path: \"index.html\", kind: \"text/html; charset=utf-8\", bytes: {MISSING:?}.as_bytes() }},"
        );
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it")).join("page.rs");
    fs::write(out, code).expect("the build folder can be written");
}
