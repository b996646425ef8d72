//! Programs by name: what is kept of a process, what a person calls it, and which programs a name fits.

use super::query::Query;
use crate::model::{Cause, Conflict, Holder, Process};
use crate::owner::cgroup;
use rusqlite::{Connection, OptionalExtension as _, params};

/// A row of `program`, without its number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Program {
    pub(super) name: String,
    exe: String,
    unit: String,
    container: String,
    pod: String,
    /// Why it has no name; the rest is empty then.
    reason: String,
}

impl Program {
    pub(super) fn of(process: &Process) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let pod = process.pod_name.as_ref().map(|name| match &process.pod_namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.clone(),
        });
        Self {
            name: process.comm.clone(),
            exe: text(&process.exe),
            unit: text(&process.unit),
            container: text(&process.container_name),
            pod: text(&pod),
            reason: String::new(),
        }
    }

    pub(super) fn of_holder(holder: &Holder) -> Self {
        let unnamed = || Self::unnamed(holder.unnamed_reason.map_or("unknown", |reason| reason.as_str()));
        holder.process.as_ref().map_or_else(unnamed, Self::of)
    }

    /// Whoever has most of an exhausted range is no culprit.
    pub(super) fn of_culprit(conflict: &Conflict) -> Self {
        match conflict.culprit() {
            _ if conflict.cause == Cause::Exhausted => Self::unnamed("all-taken"),
            Some(holder) => Self::of_holder(holder),
            None => Self::unnamed("unknown"),
        }
    }

    pub(super) fn is_named(&self) -> bool {
        self.reason.is_empty()
    }

    fn unnamed(reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..Self::default() }
    }

    /// What a person calls it: the pod, the container or the service, else the name.
    fn label(&self) -> String {
        let is_service = self.unit.ends_with(".service") && !self.unit.starts_with("user@");
        match self {
            _ if !self.reason.is_empty() => format!("({})", self.reason),
            _ if !self.pod.is_empty() && !self.container.is_empty() => {
                format!("{} {}", self.pod, self.container)
            }
            _ if !self.pod.is_empty() => self.pod.clone(),
            _ if !self.container.is_empty() => self.container.clone(),
            _ if is_service => cgroup::unescape(&self.unit).into_owned(),
            _ => self.name.clone(),
        }
    }

    fn is(&self, wanted: &str) -> bool {
        let name_of = |path: &str| path.rsplit('/').next() == Some(wanted);
        let is = self.name == wanted
            || (self.exe == wanted || name_of(&self.exe))
            || self.is_unit(wanted)
            || self.container == wanted
            || (self.pod == wanted || name_of(&self.pod))
            || (!self.reason.is_empty() && self.label() == wanted);
        is && !wanted.is_empty()
    }

    fn is_unit(&self, wanted: &str) -> bool {
        let is = |unit: &str| unit == wanted || unit.strip_suffix(".service") == Some(wanted);
        is(&self.unit) || is(&cgroup::unescape(&self.unit))
    }

    /// Its number; it is given one if it has none.
    pub(super) fn number(&self, connection: &Connection) -> rusqlite::Result<i64> {
        let Self { name, exe, unit, container, pod, reason } = self;
        let key = params![name, exe, unit, container, pod, reason];
        let mut known = connection.prepare_cached(
            "SELECT number FROM program WHERE name = ? AND exe = ? AND unit = ? AND container = ? AND pod = ? AND reason = ?",
        )?;
        if let Some(number) = known.query_row(key, |row| row.get(0)).optional()? {
            return Ok(number);
        }
        let mut new = connection.prepare_cached(
            "INSERT INTO program (name, exe, unit, container, pod, reason, label) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?;
        new.insert(params![name, exe, unit, container, pod, reason, self.label()])
    }
}

/// Numbers of the programs that fit the names of a query; `None` where no name was given.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) victim: Option<Vec<i64>>,
    pub(super) culprit: Option<Vec<i64>>,
    pub(super) unit: Option<Vec<i64>>,
}

impl Wanted {
    pub(super) fn find(connection: &Connection, query: &Query) -> rusqlite::Result<Self> {
        let start = |name: &Option<String>| name.as_ref().map(|_| Vec::new());
        let mut wanted =
            Self { victim: start(&query.victim), culprit: start(&query.culprit), unit: start(&query.unit) };
        if wanted.victim.is_none() && wanted.culprit.is_none() && wanted.unit.is_none() {
            return Ok(wanted);
        }
        let mut all = connection
            .prepare_cached("SELECT number, name, exe, unit, container, pod, reason FROM program")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            let program = Program {
                name: row.get(1)?,
                exe: row.get(2)?,
                unit: row.get(3)?,
                container: row.get(4)?,
                pod: row.get(5)?,
                reason: row.get(6)?,
            };
            take(&mut wanted.victim, number, query.victim.as_deref().is_some_and(|name| program.is(name)));
            take(&mut wanted.culprit, number, query.culprit.as_deref().is_some_and(|name| program.is(name)));
            take(&mut wanted.unit, number, query.unit.as_deref().is_some_and(|name| program.is_unit(name)));
        }
        Ok(wanted)
    }
}

fn take(list: &mut Option<Vec<i64>>, number: i64, fits: bool) {
    if let Some(list) = list.as_mut().filter(|_| fits) {
        list.push(number);
    }
}
