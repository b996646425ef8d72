//! The flags that say which conflicts: the same for what happens now and for a recording.

use super::values;
use crate::exit_code::Refused;
use crate::filter::Filter;
use crate::model::{Cause, Protocol};
use crate::owner::netns;
use clap::Args;
use std::ops::RangeInclusive;
use std::path::Path;

/// Which conflicts are shown and counted.
#[derive(Args, Clone, Debug)]
pub(super) struct FilterArgs {
    /// Only conflicts about these ports
    #[arg(long, value_name = "P[,P-Q]", value_delimiter = ',', value_parser = values::port_range)]
    port: Vec<RangeInclusive<u16>>,

    /// Only where this process is the victim or a holder
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Only where a process of this name is the victim or a holder
    #[arg(long, value_name = "NAME")]
    comm: Vec<String>,

    /// Only where a process of this user id is the victim or a holder
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,

    /// Only where this systemd unit is the victim or a holder
    #[arg(long, value_name = "UNIT")]
    unit: Vec<String>,

    /// Only in this network namespace: all, self (portwatch's own), its number, or a path like /run/netns/NAME or
    /// /proc/PID/ns/net
    #[arg(long, value_name = "all|self|NUMBER|PATH", default_value = "all", hide_default_value = true)]
    netns: String,

    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = by_name(&TRACED, Protocol::as_str))]
    protocol: Vec<Protocol>,

    /// Only conflicts of this class
    #[arg(long, value_name = "CAUSE", value_parser = by_name(Cause::ALL, Cause::as_str))]
    cause: Vec<Cause>,
}

/// Protocols whose refusals are traced.
const TRACED: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::UdpLite, Protocol::Sctp];

impl FilterArgs {
    /// What the flags mean; `own` is the namespace that `self` stands for. Looks only at the file that `--netns` names.
    ///
    /// # Errors
    /// Wrong usage, if that is no network namespace.
    pub(super) fn filter(self, own: u32) -> Result<Filter, Refused> {
        let netns = match (self.netns.as_str(), self.netns.parse()) {
            ("all", _) => None,
            ("self", _) => Some(own),
            (_, Ok(number)) => Some(number),
            (path, Err(_)) => Some(netns::by_path(Path::new(path))?),
        };
        Ok(Filter {
            ports: self.port,
            pids: self.pid,
            comms: self.comm,
            uids: self.uid,
            units: self.unit,
            netns,
            protocols: self.protocol,
            causes: self.cause,
        })
    }
}

/// A parser for values that have a spelling; a wrong one is answered with all of them.
pub(super) fn by_name<T: Copy + Send + Sync + 'static>(
    values: &'static [T],
    spelling: fn(T) -> &'static str,
) -> impl clap::builder::TypedValueParser<Value = T> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(values.iter().map(|&value| spelling(value))).try_map(move |text| {
        values
            .iter()
            .copied()
            .find(|&value| spelling(value) == text)
            .ok_or_else(|| format!("no such value: {text}"))
    })
}
