//! Rows of the table, and their columns. Many sockets of one kind and one process are one row with their number.

use super::holder;
use crate::model::{HeldSocket, Role};
use crate::text;
use std::net::SocketAddr;

/// So many sockets of one kind and process are shown one by one.
const SHOWN: usize = 3;
/// The least width of an address: an IPv4 address with its port is seldom wider.
const ADDRESS: usize = 21;
const GAP: &str = "  ";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A socket.
    One(Row),
    /// Many; the words stand in place of addresses and holder.
    Sum(Row, String),
}

/// The cells of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    state: String,
    protocol: String,
    local: String,
    remote: String,
    holder: (String, String),
}

impl Row {
    pub(super) fn title() -> Self {
        let [state, protocol, local, remote] = ["STATE", "PROTO", "LOCAL", "REMOTE"].map(str::to_owned);
        Self { state, protocol, local, remote, holder: ("HELD BY".to_owned(), String::new()) }
    }

    fn of(held: &HeldSocket) -> Self {
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        Self {
            state: state(held),
            protocol: held.protocol.to_string(),
            local: address(held.local).unwrap_or_else(|| "?".to_owned()),
            remote: address(held.remote).unwrap_or_else(|| "-".to_owned()),
            holder: holder(held),
        }
    }
}

/// The state by its usual name; that of a bound socket says little.
fn state(held: &HeldSocket) -> String {
    match held.role {
        Role::Bound => "bound".to_owned(),
        Role::Unaccepted => "unaccepted".to_owned(),
        _ => held.state.to_string(),
    }
}

/// The lines of one namespace; `sockets` are sorted, so that those of one kind and process stand together.
pub(super) fn lines(sockets: &[&HeldSocket]) -> Vec<Line> {
    let kind = |held: &HeldSocket| {
        let pid = held.process.as_ref().map(|process| (process.pid, process.start_time));
        (held.role, held.protocol, pid, held.unnamed_reason)
    };
    let mut lines = Vec::new();
    for group in sockets.chunk_by(|a, b| kind(a) == kind(b)) {
        match group {
            [first, .., last] if group.len() > SHOWN => {
                lines.push(Line::Sum(Row::of(first), sum(group.len(), first, last)));
            }
            few => lines.extend(few.iter().map(|held| Line::One(Row::of(held)))),
        }
    }
    lines
}

/// "412 accepted connections of nginx[33]".
fn sum(count: usize, first: &HeldSocket, last: &HeldSocket) -> String {
    let what = counted_role(count, first.role);
    match (&first.process, last.ends_in_ms) {
        (Some(_), _) => {
            let (name, pid) = holder(first);
            format!("{what} of {name}{pid}")
        }
        (None, Some(end)) => format!("{what}; the last ends in {}", seconds(end)),
        (None, None) => format!("{what} {}", holder(first).0),
    }
}

pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

pub(super) fn counted_role(count: usize, role: Role) -> String {
    let (one, many) = match role {
        Role::Listener => ("listener", "listeners"),
        Role::Bound => ("bound socket", "bound sockets"),
        Role::Unknown => ("socket in an unknown state", "sockets in unknown states"),
        Role::Client => ("client", "clients"),
        Role::Accepted => ("accepted connection", "accepted connections"),
        Role::Unaccepted => ("connection not yet accepted", "connections not yet accepted"),
        Role::Closing => ("closing connection", "closing connections"),
        Role::TimeWait => ("in TIME_WAIT", "in TIME_WAIT"),
    };
    counted(count, one, many)
}

/// Rounded up: what ends in half a second has not ended.
pub(super) fn seconds(ms: u32) -> String {
    format!("{} s", ms.div_ceil(1_000))
}

/// Widths of the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    state: usize,
    protocol: usize,
    local: usize,
    remote: usize,
    holder: usize,
}

impl Columns {
    /// As wide as the rows need, and no wider than the terminal; a long address goes first.
    pub(super) fn fit(lines: &[Line], width: usize) -> Self {
        let title = Row::title();
        let all = || {
            lines.iter().map(|line| match line {
                Line::One(row) | Line::Sum(row, _) => row,
            })
        };
        let single = || {
            lines.iter().filter_map(|line| match line {
                Line::One(row) => Some(row),
                Line::Sum(..) => None,
            })
        };
        let widest =
            |cells: &mut dyn Iterator<Item = usize>, least: &str| cells.fold(least.len(), usize::max);
        let mut columns = Self {
            state: widest(&mut all().map(|row| row.state.len()), &title.state),
            protocol: widest(&mut all().map(|row| row.protocol.len()), &title.protocol),
            local: widest(&mut single().map(|row| row.local.len()), &title.local),
            remote: widest(&mut single().map(|row| row.remote.len()), &title.remote),
            holder: widest(
                &mut single().map(|row| text::width(&row.holder.0) + text::width(&row.holder.1)),
                &title.holder.0,
            ),
        };
        let gaps = 4 * GAP.len();
        let over =
            |c: &Self| (c.state + c.protocol + c.local + c.remote + c.holder + gaps).saturating_sub(width);
        for _ in 0..over(&columns) {
            let widest = columns.local.max(columns.remote);
            if widest > ADDRESS && columns.local == widest {
                columns.local -= 1;
            } else if widest > ADDRESS {
                columns.remote -= 1;
            } else {
                columns.holder = columns.holder.saturating_sub(1).max(16);
            }
        }
        for _ in 0..over(&columns) {
            let cell = if columns.local > columns.remote { &mut columns.local } else { &mut columns.remote };
            *cell = cell.saturating_sub(1);
        }
        columns
    }

    /// State and protocol, and the gap behind them.
    pub(super) fn begin(self, row: &Row) -> String {
        let (state, protocol) = (text::pad(&row.state, self.state), text::pad(&row.protocol, self.protocol));
        format!("{state}{GAP}{protocol}{GAP}")
    }

    pub(super) const fn before_local(self) -> usize {
        self.state + self.protocol + 2 * GAP.len()
    }

    pub(super) fn join(self, row: &Row) -> String {
        let local = text::pad(&address(&row.local, self.local), self.local);
        let remote = text::pad(&address(&row.remote, self.remote), self.remote);
        let holder = text::truncate_head(&row.holder.0, &row.holder.1, self.holder);
        format!("{}{local}{GAP}{remote}{GAP}{holder}", self.begin(row))
    }
}

/// A long address is cut, never the port.
fn address(whole: &str, width: usize) -> String {
    match whole.rsplit_once(':') {
        Some((address, port)) => text::truncate_head(address, &format!(":{port}"), width),
        None => whole.to_owned(),
    }
}
