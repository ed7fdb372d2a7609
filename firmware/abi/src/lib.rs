//! The Hermit system-call seam: what the microkernel offers and safe wrappers over it
