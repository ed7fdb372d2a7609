//! The lab's helper process. `weft-lab wire CONFIG` runs the wire, `weft-lab host CONFIG` a further host on it;
//! the library starts both.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["wire", config] => run_wire(config),
        ["host", config] => run_host(config),
        _ => Err("usage: weft-lab wire|host CONFIG".to_owned()),
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
    weft_lab::wire::run(&read(path)?).map_err(|error| error.to_string())
}

fn run_host(path: &str) -> Result<(), String> {
    weft_lab::host::run(&read(path)?).map_err(|error| error.to_string())
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))
}
