//! Whole-node tests: power-on, boot, guests, faults
