//! A node that speaks the real agent protocol.
