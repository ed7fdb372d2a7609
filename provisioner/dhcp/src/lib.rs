//! DHCP: full server, proxyDHCP, relay; sans-IO sessions and their engine
