//! Keeps paths and times out of the linked file.

fn main() {
    for argument in ["/DEBUG:NONE", "/TIMESTAMP:0"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
