//! Controllers of others, and controllers that behave badly.

mod bad;
mod ipmi;
mod redfish;
