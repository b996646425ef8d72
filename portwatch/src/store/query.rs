//! What is asked of the history, and the SQL for it. Values travel as parameters, never in the text.

use super::names::Wanted;
use crate::model::{Cause, Protocol};
use jiff::Timestamp;
use rusqlite::types::Value;
use std::ops::RangeInclusive;

/// Which conflicts; all that is given must hold, and what is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Refused at this time or later.
    pub since: Option<Timestamp>,
    /// Refused at this time or earlier.
    pub until: Option<Timestamp>,
    /// Wanted ports, any of them; 0 is "the kernel was to choose".
    pub ports: Vec<RangeInclusive<u16>>,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The victim's name, executable, unit (`.service` may be left out), container or pod.
    pub victim: Option<String>,
    /// The culprit's, in the same ways.
    pub culprit: Option<String>,
    /// Unit of the victim, of any holder or of who was given the port; `.service` may be left out.
    pub unit: Option<String>,
    /// Process id of one of them.
    pub pid: Option<u32>,
    /// `unit` and `pid` must be the victim's.
    pub only_victim: bool,
    /// Classes, any of them.
    pub cause: Vec<Cause>,
    /// No more than so many, the newest.
    pub limit: Option<u32>,
}

/// By what a summary is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who held the port.
    Culprit,
    /// Who was refused.
    Victim,
    /// The class.
    Cause,
}

impl By {
    /// The column.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Culprit => "culprit",
            Self::Victim => "victim",
            Self::Cause => "cause",
        }
    }
}

/// Conditions and their values, in the same order.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Numbers of programs that a name fits come from `wanted`.
    pub(super) fn of(query: &Query, wanted: &Wanted) -> Self {
        let mut all = Self::default();
        if let Some(since) = query.since {
            all.add("time >= ?", [Value::Integer(nanoseconds(since))]);
        }
        if let Some(until) = query.until {
            all.add("first_time <= ?", [Value::Integer(nanoseconds(until))]);
        }
        all.ports(&query.ports);
        if let Some(protocol) = query.protocol {
            all.add("protocol = ?", [text(protocol.as_str())]);
        }
        if !query.cause.is_empty() {
            let marks = vec!["?"; query.cause.len()].join(", ");
            all.add(&format!("cause IN ({marks})"), query.cause.iter().map(|cause| text(cause.as_str())));
        }
        if let Some(programs) = &wanted.victim {
            all.add(&format!("victim {LISTED}"), [list(programs)]);
        }
        if let Some(programs) = &wanted.culprit {
            all.add(&format!("culprit {LISTED}"), [list(programs)]);
        }
        if let Some(programs) = &wanted.unit {
            all.anybody(["victim", "program"], LISTED, list(programs), query.only_victim);
        }
        if let Some(pid) = query.pid {
            all.anybody(["victim_pid", "pid"], "= ?", Value::Integer(pid.into()), query.only_victim);
        }
        all
    }

    fn add(&mut self, text: &str, values: impl IntoIterator<Item = Value>) {
        self.texts.push(text.to_owned());
        self.values.extend(values);
    }

    fn ports(&mut self, ports: &[RangeInclusive<u16>]) {
        let mut parts = Vec::new();
        for range in ports {
            let (low, high) = (i64::from(*range.start()), i64::from(*range.end()));
            self.values.push(Value::Integer(low));
            if low == high {
                parts.push("port = ?");
            } else {
                parts.push("port BETWEEN ? AND ?");
                self.values.push(Value::Integer(high));
            }
        }
        if !parts.is_empty() {
            self.texts.push(format!("({})", parts.join(" OR ")));
        }
    }

    /// The victim or whoever stands in `holder`: two lookups by index. An OR over both tables would read all of them.
    fn anybody(&mut self, columns: [&str; 2], test: &str, value: Value, only_victim: bool) {
        let [victim, holder] = columns;
        if only_victim {
            return self.add(&format!("{victim} {test}"), [value]);
        }
        let text = format!(
            "number IN (SELECT number FROM conflict WHERE {victim} {test} \
             UNION ALL SELECT conflict FROM holder WHERE {holder} {test})"
        );
        self.add(&text, [value.clone(), value]);
    }

    fn condition(&self) -> String {
        if self.texts.is_empty() { String::new() } else { format!(" WHERE {}", self.texts.join(" AND ")) }
    }

    /// Whole reports, newest first. The numbers are chosen first, from indexes where they suffice; reports are read only
    /// of those that are shown.
    pub(super) fn reports(&self, limit: Option<u32>) -> String {
        let condition = self.condition();
        let limit = limit.map_or(-1, i64::from);
        format!(
            "SELECT detail.json FROM (SELECT number, time FROM conflict{condition} ORDER BY time DESC, number DESC \
             LIMIT {limit}) AS chosen JOIN detail ON detail.conflict = chosen.number \
             ORDER BY chosen.time DESC, chosen.number DESC"
        )
    }

    /// How many there are, and no further than the limit.
    pub(super) fn count(&self, limit: Option<u32>) -> String {
        let (condition, limit) = (self.condition(), limit.map_or(-1, i64::from));
        format!("SELECT count(*) FROM (SELECT 1 FROM conflict{condition} LIMIT {limit})")
    }

    /// One row a group and port; in the order of the index, so that nothing has to be sorted.
    pub(super) fn groups(&self, by: By) -> String {
        let (column, condition) = (by.as_str(), self.condition());
        format!(
            "SELECT {column}, port, count(*), sum(count), min(first_time), max(time) FROM conflict{condition} \
             GROUP BY {column}, port"
        )
    }
}

const LISTED: &str = "IN (SELECT value FROM json_each(?))";

fn list(numbers: &[i64]) -> Value {
    let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    Value::Text(format!("[{}]", numbers.join(",")))
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// As the history keeps times. They fit until the year 2262; what is beyond stays there.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    let wide = time.as_nanosecond();
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

/// Back again.
pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A count; SQLite's numbers have a sign.
pub(super) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}
