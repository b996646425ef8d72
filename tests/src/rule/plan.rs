//! An arrangement as data: which sockets come to one port, one after the other, and what becomes of each.

use std::fmt;
use std::net::IpAddr;

use portwatch::rule::Table;

/// Sockets on one port. Every one but the first is a binder against those before it, the last one included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) sockets: Vec<Planned>,
    /// What happens once all stand, if the last one was let in: listen() asks the rule again.
    pub(super) recheck: Option<Recheck>,
    /// The kernel may let in whom the rule refuses, since it does not always ask: see `generator`.
    pub(super) is_lenient: bool,
}

/// One socket of an arrangement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) table: Table,
    pub(super) address: IpAddr,
    /// IPV6_V6ONLY.
    pub(super) only: bool,
    /// SO_REUSEADDR and SO_REUSEPORT at the bind().
    pub(super) early: Reuse,
    /// What is switched on when it stands.
    pub(super) late: Reuse,
    /// What is switched off then.
    pub(super) off: Reuse,
    /// Member of a SO_REUSEPORT group before it has a port: a program was attached.
    pub(super) grouped: bool,
    /// The user that makes the socket, and the one that accepts its connection.
    pub(super) uids: [u32; 2],
    pub(super) device: Device,
    /// A device to which it is bound when it stands.
    pub(super) late_device: Option<Device>,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reuse {
    pub(super) address: bool,
    pub(super) port: bool,
}

/// SO_BINDTODEVICE. The kernel takes any interface index (SO_BINDTOIFINDEX) and the rule only compares them, so that no
/// devices have to be made; but only one that exists takes part in traffic or owns IPv6 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    None,
    Loopback,
    /// Indices that no device has.
    Phantom1,
    Phantom2,
}

impl Device {
    pub(super) const fn index(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Loopback => 1,
            Self::Phantom1 => 7001,
            Self::Phantom2 => 7002,
        }
    }

    pub(super) const fn is_real(self) -> bool {
        matches!(self, Self::None | Self::Loopback)
    }
}

/// How a socket comes to the port, and where it ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// bind(), and no more.
    Bound,
    /// TCP: bind() and listen().
    Listening,
    /// TCP: the same, and shutdown(): bound only, once more.
    Shut,
    /// TCP: the same, but only a connection that was accepted is left.
    Accepted,
    /// TCP: listening, with a connection that nobody has accepted yet.
    Queued,
    /// UDP: given the port by its first sendto().
    Sender,
    /// connect().
    Client(Way, End),
}

/// How a client comes to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// bind() before connect().
    Bind,
    /// connect() alone, or with an address and no port before it.
    Connect,
}

/// Where a connection ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Established,
    /// Connected to nothing again: connect() with AF_UNSPEC.
    Disconnected,
    /// Nobody answers.
    SynSent,
    /// The other end has closed.
    CloseWait,
    /// This end was shut down.
    FinWait2,
    /// Closed, the other end not: a whole socket that no process has.
    Orphan,
    /// Closed, the other end not: already a TIME_WAIT socket, since tcp_fin_timeout is not above 60 s.
    FinWait2AsTimeWait,
    /// Closed by both, by this end first.
    TimeWait,
}

impl End {
    /// Whether no descriptor is left.
    pub(super) const fn is_closed(self) -> bool {
        matches!(self, Self::Orphan | Self::FinWait2AsTimeWait | Self::TimeWait)
    }
}

/// The second question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recheck {
    /// Those that are only bound listen before the last one does.
    pub(super) others_first: bool,
    /// SO_REUSEADDR of the last one by then.
    pub(super) reuse: bool,
}

impl Plan {
    pub(super) fn words(&self) -> String {
        let mut words: Vec<_> = self.sockets.iter().map(|socket| format!("  {socket}\n")).collect();
        if let Some(Recheck { others_first, reuse }) = self.recheck {
            let others = if others_first { "those that are bound listen, then " } else { "" };
            let reuse = if reuse { "on" } else { "off" };
            words.push(format!("  {others}the last one listens, SO_REUSEADDR {reuse}, SO_REUSEPORT off\n"));
        }
        words.concat()
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:?} {}{} uid {}",
            self.table,
            self.address,
            option(self.only, " v6only"),
            self.uids[0]
        )?;
        let Reuse { address, port } = self.early;
        write!(out, "{}{}", option(address, " reuseaddr"), option(port, " reuseport"))?;
        write!(out, "{}", option(self.grouped, " grouped"))?;
        if self.device != Device::None {
            write!(out, " device {:?}", self.device)?;
        }
        write!(out, ", {:?}", self.fate)?;
        if self.fate == Fate::Accepted {
            write!(out, " by uid {}", self.uids[1])?;
        }
        let Reuse { address, port } = self.late;
        write!(out, "{}{}", option(address, ", then reuseaddr"), option(port, ", then reuseport"))?;
        let Reuse { address, port } = self.off;
        write!(out, "{}{}", option(address, ", then no reuseaddr"), option(port, ", then no reuseport"))?;
        self.late_device.map_or(Ok(()), |device| write!(out, ", then device {device:?}"))
    }
}

fn option(is_set: bool, word: &str) -> &str {
    if is_set { word } else { "" }
}
