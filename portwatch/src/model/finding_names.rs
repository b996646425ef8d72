//! The closed sets of an audit, each with its one spelling.

use super::names::names;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

names! {
    /// What an audit finds; the order is that of showing.
    FindingKind {
        /// A listener on a port that the kernel may give to a client.
        ListenerInRange = "listener-in-range",
        /// A port that is configured, not open now, and that the kernel may give to a client.
        ConfiguredInRange = "configured-in-range",
        /// A listener whose port the kernel chose: it will be another one next time, and may be one that somebody wants.
        PortZeroListener = "port-0-listener",
        /// An ephemeral range that begins among the ports of services.
        WideRange = "wide-range",
        /// So many reserved ports in a row that the one after them is chosen far more often.
        ReservedBlock = "reserved-block",
        /// A network namespace whose range or reserved ports are not those of portwatch's own.
        NamespacesDiffer = "namespaces-differ",
    }
}

names! {
    /// Where the time that a restart leaves a port free was taken from.
    DowntimeSource {
        /// It was given on the command line.
        Given = "given",
        /// Measured at the unit's last start, with its delay before a restart.
        Unit = "unit",
        /// Not known: a round number.
        Assumed = "assumed",
    }
}

names! {
    /// Where a port stands that somebody wants.
    ConfiguredBy {
        /// A socket unit of systemd.
        SystemdSocket = "systemd-socket",
        /// A service of /etc/services.
        Services = "services",
        /// The range of a Kubernetes cluster's node ports.
        NodePorts = "node-ports",
        /// The kubelet or kube-proxy.
        Kubelet = "kubelet",
        /// A list of ports in a file.
        File = "file",
        /// The command line.
        CommandLine = "command-line",
        /// The history: somebody was refused the port before.
        PastVictim = "past-victim",
    }
}
