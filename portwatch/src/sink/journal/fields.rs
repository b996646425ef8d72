//! The fields of a record about a conflict. Every name is documented in docs/systemd.md.

use super::{CONFLICT, IDENTIFIER, sentence, units};
use crate::model::{Conflict, Process};
use std::borrow::Cow;
use std::io;

/// syslog's level: something to look at, and nothing of portwatch's own has failed.
pub(super) const WARNING: &str = "4";

/// Name and value.
type Field = (Cow<'static, str>, String);

/// All fields, in their order.
pub(super) fn of(conflict: &Conflict) -> io::Result<Vec<Field>> {
    let mut fields = Fields::default();
    fields.add("MESSAGE", sentence::of(conflict));
    fields.add("MESSAGE_ID", CONFLICT);
    fields.add("PRIORITY", WARNING);
    fields.add("SYSLOG_IDENTIFIER", IDENTIFIER);
    fields.add("ERRNO", conflict.errno.0.to_string());
    about(conflict, &mut fields);
    fields.process("PORTWATCH_VICTIM", &conflict.victim);
    if let Some(culprit) = conflict.culprit() {
        if let Some(process) = &culprit.process {
            fields.process("PORTWATCH_CULPRIT", process);
        }
        fields.some("PORTWATCH_EVIDENCE", culprit.evidence.map(|evidence| evidence.as_str().to_owned()));
        fields.some("PORTWATCH_UNNAMED_REASON", culprit.unnamed_reason.map(|why| why.as_str().to_owned()));
    }
    for advice in &conflict.advice {
        let lines = std::iter::once(&advice.why).chain(&advice.commands);
        fields.add("PORTWATCH_ADVICE", lines.map(String::as_str).collect::<Vec<_>>().join("\n"));
    }
    fields.add("PORTWATCH_JSON", serde_json::to_string(conflict)?);
    objects(conflict, &mut fields);
    Ok(fields.0)
}

fn about(conflict: &Conflict, fields: &mut Fields) {
    fields.add("PORTWATCH_ID", conflict.id.as_str());
    fields.add("PORTWATCH_CAUSE", conflict.cause.as_str());
    fields.add("PORTWATCH_PORT", conflict.port.to_string());
    fields.add("PORTWATCH_PROTOCOL", conflict.protocol.as_str());
    fields.add("PORTWATCH_ADDRESS", conflict.address.to_string());
    fields.add("PORTWATCH_OPERATION", conflict.operation.as_str());
    fields.add("PORTWATCH_ERRNO", conflict.errno.to_string());
    fields.add("PORTWATCH_COUNT", conflict.count.to_string());
    fields.add("PORTWATCH_NETNS", conflict.netns.to_string());
    fields.add("PORTWATCH_BACKEND", conflict.backend.as_str());
}

/// What makes `journalctl -u` and `journalctl OBJECT_PID=` find the record.
///
/// journald adds what it knows of the last OBJECT_PID alone, and of one that has exited it knows nothing, or only who
/// has that number now; so the units are given by us.
fn objects(conflict: &Conflict, fields: &mut Fields) {
    let culprit =
        conflict.culprit().and_then(|holder| holder.process.as_ref().map(|who| (holder.alive, who)));
    let both = [Some(&conflict.victim), culprit.map(|(_, process)| process)];
    for process in both.into_iter().flatten() {
        let units = process.cgroup.as_deref().map(units::of).unwrap_or_default();
        fields.once("OBJECT_SYSTEMD_UNIT", units.system);
        fields.once("OBJECT_SYSTEMD_USER_UNIT", units.user);
    }
    fields.add("OBJECT_PID", conflict.victim.pid.to_string());
    if let Some((true, process)) = culprit {
        fields.add("OBJECT_PID", process.pid.to_string());
    }
}

#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    fn some(&mut self, name: impl Into<Cow<'static, str>>, value: Option<String>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// A field may be there several times, but not with one value twice.
    fn once(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value
            && !self.0.iter().any(|(other, there)| *other == name && there == value)
        {
            self.add(name, value);
        }
    }

    fn process(&mut self, prefix: &str, process: &Process) {
        let pod = process.pod_name.as_ref().map(|pod| match &process.pod_namespace {
            Some(namespace) => format!("{namespace}/{pod}"),
            None => pod.clone(),
        });
        self.add(format!("{prefix}_PID"), process.pid.to_string());
        self.add(format!("{prefix}_COMM"), process.comm.as_str());
        self.some(format!("{prefix}_EXE"), process.exe.clone());
        self.some(format!("{prefix}_CMDLINE"), process.cmdline.clone());
        self.some(format!("{prefix}_UNIT"), process.unit.clone());
        self.some(format!("{prefix}_CONTAINER"), process.container.clone());
        self.some(format!("{prefix}_POD"), pod.or_else(|| process.pod.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;
    use std::collections::BTreeSet;

    fn values(fields: &[Field], name: &str) -> Vec<String> {
        fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.clone()).collect()
    }

    #[test]
    fn a_record_is_found_by_both_units_and_has_all_of_the_conflict() {
        let fields = of(&example::client()).unwrap();
        for (name, wanted) in [
            ("PRIORITY", "4"),
            ("MESSAGE_ID", CONFLICT),
            ("ERRNO", "98"),
            ("PORTWATCH_CAUSE", "ephemeral-client"),
            ("PORTWATCH_PORT", "50010"),
            ("PORTWATCH_ERRNO", "EADDRINUSE"),
            ("PORTWATCH_VICTIM_PID", "4121"),
            ("PORTWATCH_VICTIM_EXE", "/usr/sbin/nginx"),
            ("PORTWATCH_CULPRIT_COMM", "java"),
            ("PORTWATCH_CULPRIT_UNIT", "hdfs.service"),
            ("PORTWATCH_EVIDENCE", "kernel-verdict"),
        ] {
            assert_eq!(values(&fields, name), [wanted], "{name}");
        }
        assert_eq!(values(&fields, "OBJECT_SYSTEMD_UNIT"), ["nginx.service", "hdfs.service"]);
        assert_eq!(values(&fields, "OBJECT_PID"), ["4121", "2210"]);
        assert!(
            values(&fields, "PORTWATCH_ADVICE")[0]
                .ends_with("\nsysctl -w net.ipv4.ip_local_reserved_ports=50010")
        );
        let json: Conflict = serde_json::from_str(&values(&fields, "PORTWATCH_JSON")[0]).unwrap();
        assert_eq!(json, example::client());
    }

    #[test]
    fn the_dead_are_not_described_by_who_has_their_number_now() {
        let mut conflict = example::client();
        conflict.holders[0].alive = false;
        assert_eq!(values(&of(&conflict).unwrap(), "OBJECT_PID"), ["4121"]);
    }

    #[test]
    fn one_unit_is_there_once_and_one_in_a_container_is_not() {
        let mut conflict = example::client();
        let owner = conflict.holders[0].process.as_mut().unwrap();
        owner.cgroup.clone_from(&conflict.victim.cgroup);
        assert_eq!(values(&of(&conflict).unwrap(), "OBJECT_SYSTEMD_UNIT"), ["nginx.service"]);
        conflict.victim.cgroup = Some("/docker/3f4ab0/system.slice/nginx.service".into());
        conflict.holders.clear();
        assert!(values(&of(&conflict).unwrap(), "OBJECT_SYSTEMD_UNIT").is_empty());
    }

    #[test]
    fn every_field_is_documented() {
        let document = include_str!("../../../../docs/systemd.md");
        let mut conflict = example::client();
        let full = &mut conflict.victim;
        (full.container, full.pod) = (Some("3f4a".into()), Some("uid".into()));
        conflict.holders[0].process = Some(full.clone());
        conflict.holders[0].unnamed_reason = Some(crate::model::UnnamedReason::AlreadyGone);
        let names: BTreeSet<_> = of(&conflict).unwrap().into_iter().map(|(name, _)| name).collect();
        for name in names {
            let name =
                name.replace("_VICTIM_", "_{VICTIM,CULPRIT}_").replace("_CULPRIT_", "_{VICTIM,CULPRIT}_");
            assert!(document.contains(&format!("`{name}`")), "{name}");
        }
        assert!(document.contains(CONFLICT) && document.contains(super::super::STORY));
    }
}
