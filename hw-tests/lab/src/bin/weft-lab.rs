//! The lab's helper process. `weft-lab wire CONFIG` runs the wire; it is started by the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["wire", config] => run_wire(config),
        _ => Err("usage: weft-lab wire CONFIG".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_wire(path: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let config = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    weft_lab::wire::run(&config).map_err(|error| error.to_string())
}
