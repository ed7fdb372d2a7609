//! The appliance's durable store: leases, nodes, virtual servers, counters, history
