//! The kernel side's numbers → the names of a conflict. Total: an unknown number has a value too.

use super::{AssignedBy, Operation, Protocol, State};
use portwatch_common::record::{how, operation};

impl Operation {
    /// By the number of the kernel side.
    pub const fn from_wire(number: u8) -> Self {
        match number {
            operation::BIND => Self::Bind,
            operation::LISTEN => Self::Listen,
            operation::CONNECT => Self::Connect,
            _ => Self::Autobind,
        }
    }
}

impl Protocol {
    /// By the kernel's number.
    pub fn from_wire(number: u16) -> Option<Self> {
        match i32::from(number) {
            libc::IPPROTO_TCP => Some(Self::Tcp),
            libc::IPPROTO_UDP => Some(Self::Udp),
            libc::IPPROTO_UDPLITE => Some(Self::UdpLite),
            libc::IPPROTO_SCTP => Some(Self::Sctp),
            libc::IPPROTO_MPTCP => Some(Self::Mptcp),
            _ => None,
        }
    }

    /// The kernel's number.
    pub const fn number(self) -> u16 {
        let number = match self {
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Udp => libc::IPPROTO_UDP,
            Self::UdpLite => libc::IPPROTO_UDPLITE,
            Self::Sctp => libc::IPPROTO_SCTP,
            Self::Mptcp => libc::IPPROTO_MPTCP,
        };
        number as u16
    }

    /// Whether ports are handed out by the rules of UDP.
    pub const fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UdpLite)
    }
}

impl AssignedBy {
    /// By the number of the kernel side.
    pub const fn from_wire(number: u8) -> Self {
        match number {
            how::CONNECT => Self::Connect,
            how::BIND0 => Self::Bind0,
            how::BIND => Self::Bind,
            how::AUTOBIND => Self::Autobind,
            how::LISTEN => Self::Listen,
            how::ACCEPT => Self::Accept,
            how::PREEXISTING | how::PREEXISTING_CHOSEN => Self::Preexisting,
            _ => Self::Unknown,
        }
    }
}

impl State {
    /// By the kernel's number.
    pub const fn from_wire(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynRecv,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => Self::Unknown,
        }
    }

    /// The kernel's number, where it has one for the state.
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRecv => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Close => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
        }
    }

    /// Closed by its process and kept by the kernel only.
    pub const fn is_on_its_way_out(self) -> bool {
        matches!(self, Self::FinWait1 | Self::FinWait2 | Self::LastAck | Self::Closing)
    }
}
