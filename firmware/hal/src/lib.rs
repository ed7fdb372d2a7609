//! The hardware layer: the one crate of the node with unsafe code
