//! The node's memory across boots: floor, key, boot counter.
//!
//! They are non-volatile variables with boot-services access only, so that nothing that runs after
//! the stub reads or changes them (UEFI specification 2.10, section 8.2). A variable of ours with
//! other attributes or another length was made by somebody else and is refused.

use uefi::runtime::{self, VariableAttributes, VariableVendor};
use uefi::{CStr16, Status, cstr16, guid};
use weft_loader::refuse::Refusal;

/// Weft's own vendor GUID.
const VENDOR: VariableVendor = VariableVendor(guid!("5f3c1b0e-7d52-4a86-9c1d-3ae2f04b86d7"));
/// Least generation that this node starts.
pub(crate) const FLOOR: &CStr16 = cstr16!("WeftFloor");
/// X25519 secret key.
pub(crate) const NODE_KEY: &CStr16 = cstr16!("WeftNodeKey");
/// Boots so far.
pub(crate) const BOOT_COUNTER: &CStr16 = cstr16!("WeftBootCounter");

fn attributes() -> VariableAttributes {
    VariableAttributes::NON_VOLATILE | VariableAttributes::BOOTSERVICE_ACCESS
}

/// The value of a variable, or `None` where there is none yet.
pub(crate) fn read<const N: usize>(name: &CStr16) -> Result<Option<[u8; N]>, Refusal> {
    let mut buffer = [0; N];
    match runtime::get_variable(name, &VENDOR, &mut buffer) {
        Ok((value, found)) if value.len() == N && found == attributes() => Ok(Some(buffer)),
        Ok(_) => Err(Refusal::VariableForm),
        Err(error) if error.status() == Status::NOT_FOUND => Ok(None),
        Err(error) if error.status() == Status::BUFFER_TOO_SMALL => Err(Refusal::VariableForm),
        Err(_) => Err(Refusal::VariableRead),
    }
}

/// Writes a variable and reads it back.
pub(crate) fn write<const N: usize>(name: &CStr16, value: &[u8; N]) -> Result<(), Refusal> {
    runtime::set_variable(name, &VENDOR, attributes(), value).map_err(|_| Refusal::VariableWrite)?;
    match read::<N>(name) {
        Ok(Some(kept)) if kept == *value => Ok(()),
        Ok(_) | Err(_) => Err(Refusal::VariableWrite),
    }
}
