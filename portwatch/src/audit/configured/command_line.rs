//! Ports of the command line.

use super::Configured;
use crate::model::{ConfiguredBy, Protocol};
use crate::who::Query;

/// Without a protocol TCP is meant, as elsewhere where people write ports.
pub(super) fn ports(queries: &[Query]) -> Vec<Configured> {
    let port = |query: &Query| {
        let protocol = query.protocol.unwrap_or(Protocol::Tcp);
        Configured::new(query.port..=query.port, protocol, ConfiguredBy::CommandLine, query.to_string())
    };
    queries.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_tcp_port_unless_told_otherwise() {
        let query = |port, protocol| Query { port, protocol };
        let found = ports(&[query(50_051, None), query(53, Some(Protocol::Udp))]);
        let shown: Vec<_> =
            found.iter().map(|one| (one.ports.clone(), one.protocol, one.name.as_str())).collect();
        assert_eq!(shown, [(50_051..=50_051, Protocol::Tcp, "50051"), (53..=53, Protocol::Udp, "53/udp")]);
    }
}
