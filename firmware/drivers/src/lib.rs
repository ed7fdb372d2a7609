//! Network drivers of the node over register and DMA traits
