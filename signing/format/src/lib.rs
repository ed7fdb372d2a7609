//! Manifest, delegation and root set: parse and verify, no_std
