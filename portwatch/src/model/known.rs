//! What a person calls a process.

use super::Process;

impl Process {
    /// The pod, the container or the service; nothing for a program of a login. Text of others: not fit for a terminal.
    pub fn known_as(&self) -> Option<String> {
        let container_name = self.container_name.as_deref();
        let pod = self.pod_name.as_deref().map(|pod| {
            let namespace = self.pod_namespace.as_deref().map_or_else(String::new, |name| format!("{name}/"));
            let container = container_name.map_or_else(String::new, |name| format!(" {name}"));
            format!("{namespace}{pod}{container}")
        });
        let service = self.unit.as_deref().filter(|unit| unit.ends_with(".service"));
        let service = service.filter(|unit| !unit.starts_with("user@"));
        let container = container_name.map(|name| match service {
            Some(unit) => format!("{name} {unit}"),
            None => name.to_owned(),
        });
        let id = self.container.as_deref().map(|id| format!("container {}", short_id(id)));
        pod.or(container).or(id).or_else(|| service.map(str::to_owned))
    }
}

/// An id as far as the engines' own lists show it.
pub(crate) fn short_id(id: &str) -> &str {
    if id.len() == 64 && id.is_ascii() { &id[..12] } else { id }
}
