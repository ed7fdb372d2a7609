//! The node's IP stack, file fetching and secure channel
