//! The closed sets of a conflict, each with its one spelling for JSON, flags and tables.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An enum whose variants have one spelling each.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The spelling.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().copied().find(|value| value.as_str() == text);
                found.ok_or_else(|| format!("no such {}: {text:?}", stringify!($name)))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

pub(super) use names;

names! {
    /// The refused call.
    Operation {
        /// bind().
        Bind = "bind",
        /// listen().
        Listen = "listen",
        /// connect().
        Connect = "connect",
        /// sendto() without bind.
        Sendto = "sendto",
        /// A choice the kernel was to make, the call not known.
        Autobind = "autobind",
    }
}

names! {
    /// The transport protocol.
    Protocol {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
        /// UDP-Lite.
        UdpLite = "udplite",
        /// SCTP.
        Sctp = "sctp",
        /// Multipath TCP.
        Mptcp = "mptcp",
    }
}

names! {
    /// The class of a conflict; the order is that of precedence.
    Cause {
        /// Port 0 was asked for and every port of the range is taken.
        Exhausted = "exhausted",
        /// A socket of the kernel itself.
        KernelSocket = "kernel-socket",
        /// A TIME_WAIT socket.
        TimeWait = "time-wait",
        /// An orphan on its way out.
        Closing = "closing",
        /// Another socket of the victim itself.
        OwnSocket = "own-socket",
        /// SO_REUSEPORT on both sides, but another uid.
        ReuseportMismatch = "reuseport-mismatch",
        /// A process that did not get the port itself.
        Inherited = "inherited",
        /// The same service or container, from before.
        PreviousInstance = "previous-instance",
        /// Given by the kernel to a client.
        EphemeralClient = "ephemeral-client",
        /// Given by the kernel through bind(0) or listen() without bind.
        EphemeralBind = "ephemeral-bind",
        /// Bound the number and listens.
        Listener = "listener",
        /// Bound the number and does not listen.
        ExplicitBind = "explicit-bind",
        /// Could not be established.
        Unknown = "unknown",
    }
}

names! {
    /// How a holder was established, best first.
    Evidence {
        /// The kernel's own comparison.
        KernelVerdict = "kernel-verdict",
        /// Met on the port at the refusal, and in conflict by the kernel's rule.
        PortTable = "port-table",
        /// The record kept when the port was let go.
        LastOwner = "last-owner",
        /// Found among the open files after the refusal.
        SocketDump = "socket-dump",
    }
}

names! {
    /// How a socket came to its port.
    AssignedBy {
        /// connect() without bind: the kernel chose.
        Connect = "connect",
        /// bind() to port 0: the kernel chose.
        Bind0 = "bind0",
        /// bind() to a number.
        Bind = "bind",
        /// UDP sent or connected without bind: the kernel chose.
        Autobind = "autobind",
        /// listen() without bind: the kernel chose.
        Listen = "listen",
        /// Accepted by a listener, whose port it shares.
        Accept = "accept",
        /// Had it before portwatch looked.
        Preexisting = "preexisting",
        /// Not known.
        Unknown = "unknown",
    }
}

names! {
    /// Why a holder's process is not named.
    UnnamedReason {
        /// It has none: the socket is the kernel's own.
        KernelSocket = "kernel-socket",
        /// TIME_WAIT or closing, and the port was assigned before portwatch looked.
        NotRecorded = "not-recorded",
        /// A connection that its listener has not accepted yet.
        NotAccepted = "not-accepted",
        /// Nobody has the socket open any more.
        AlreadyGone = "already-gone",
        /// portwatch may not look into every process.
        NoPermission = "no-permission",
        /// portwatch runs in a pid namespace of its own.
        OtherPidNamespace = "other-pid-namespace",
        /// The socket was let go between the refusal and the look at the port.
        ReleasedMeanwhile = "released-meanwhile",
        /// The look at the port stopped at its bound.
        WalkCut = "walk-cut",
        /// The kernel's table of ports could not be read.
        NoWalk = "no-walk",
        /// The record of the holder found the ring buffer full.
        RecordLost = "record-lost",
        /// No process has it among its descriptors: the kernel's own, in flight over a UNIX socket, or io_uring's.
        NoProcess = "no-process",
    }
}

names! {
    /// What a socket does on its port; the order is that of showing.
    Role {
        /// Listens.
        Listener = "listener",
        /// Has the port and is not connected: bound only, or UDP that anybody may send to.
        Bound = "bound",
        /// Not known.
        Unknown = "unknown",
        /// Connected, and not through a listener on the port.
        Client = "client",
        /// Connected through a listener on the port.
        Accepted = "accepted",
        /// A connection that its listener has not accepted yet.
        Unaccepted = "unaccepted",
        /// Closed by its process, and not yet confirmed.
        Closing = "closing",
        /// Closed, kept for late packets.
        TimeWait = "time-wait",
    }
}

names! {
    /// What to do.
    Action {
        /// Keep the kernel from handing the port to clients.
        ReservePort = "reserve-port",
        /// Make the ephemeral range larger.
        WidenRange = "widen-range",
        /// Make the ephemeral range smaller.
        NarrowRange = "narrow-range",
        /// Let the kernel choose reserved ports again.
        UnreservePort = "unreserve-port",
        /// Let connect() take over ports in TIME_WAIT.
        ReuseTimeWait = "reuse-time-wait",
        /// Use connections again instead of new ones.
        KeepConnections = "keep-connections",
        /// More destinations, or more source addresses.
        SpreadConnections = "spread-connections",
        /// Make the present holder let go.
        FreePort = "free-port",
        /// Stop the present holder for good.
        StopHolder = "stop-holder",
        /// Give one of the two another port.
        ChangePort = "change-port",
        /// Wait until the kernel lets go.
        Wait = "wait",
        /// Set a socket option in one of the programs.
        SetOption = "set-option",
        /// Run both as the same user.
        SameUser = "same-user",
        /// Close descriptors on exec.
        CloseOnExec = "close-on-exec",
        /// Let the earlier instance end first.
        StopFirst = "stop-first",
        /// Start the service, or at least have its port taken, before the clients come.
        StartOrder = "start-order",
        /// Look further.
        Inspect = "inspect",
    }
}

names! {
    /// State of a socket, by the kernel's names; UDP has `ESTABLISHED` if connected, else `CLOSE`.
    State {
        /// Connected.
        Established = "ESTABLISHED",
        /// connect() on its way.
        SynSent = "SYN_SENT",
        /// A connection being accepted.
        SynRecv = "SYN_RECV",
        /// Closed here, not yet confirmed.
        FinWait1 = "FIN_WAIT1",
        /// Closed here, the other side still open.
        FinWait2 = "FIN_WAIT2",
        /// Closed, kept for late packets.
        TimeWait = "TIME_WAIT",
        /// Bound only.
        Close = "CLOSE",
        /// Closed by the other side.
        CloseWait = "CLOSE_WAIT",
        /// Closed by both, not yet confirmed.
        LastAck = "LAST_ACK",
        /// Listening.
        Listen = "LISTEN",
        /// Closed by both at once.
        Closing = "CLOSING",
        /// Not known.
        Unknown = "UNKNOWN",
    }
}
