//! Key custody and the image signing workflow
