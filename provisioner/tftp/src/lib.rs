//! TFTP: sans-IO transfers and their engine
