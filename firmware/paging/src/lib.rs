//! Nested page tables and guest page walks over a frame store
