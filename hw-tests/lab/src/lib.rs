//! The lab: emulated wire, namespaces, QEMU nodes, serial capture, artifacts
