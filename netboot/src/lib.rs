//! Assembly of the one boot image: PE sections, digest, Authenticode, the BIOS wrapper
