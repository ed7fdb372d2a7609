//! The management agent of a node, written against the Hermit ABI
