//! The appliance's API, agent endpoint and reconciler
