//! Assembly of boot files, and the fuzz targets' checks over their corpus; no emulated machine.

#[path = "../../fuzz/checks.rs"]
mod checks;
mod corpus;
mod stub;
mod uefi;
