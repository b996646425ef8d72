//! One component of a cgroup path → what it is: unit, slice, container, pod. The shapes that systemd, the container
//! engines and the orchestrators are known to write; whatever has none of them is nothing.

use super::Runtime;
use std::borrow::Cow;

/// What one component says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Container(Container<'a>),
    /// A podman pod.
    Pod(&'a str),
    /// A unit of systemd.
    Unit,
    Slice,
    Other,
}

/// A container, as far as its component tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Container<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) runtime: Option<Runtime>,
    /// Its name, where the path has it.
    pub(super) name: Option<Cow<'a, str>>,
    /// The unit around it is that of this very container, not of its engine.
    pub(super) in_own_unit: bool,
}

/// What engines put before the id, in a scope of systemd or in a plain folder.
const PREFIXES: [(&str, Option<Runtime>); 9] = [
    ("docker-", Some(Runtime::Docker)),
    ("cri-containerd-", Some(Runtime::Containerd)),
    ("containerd-", Some(Runtime::Containerd)),
    ("nerdctl-", Some(Runtime::Containerd)),
    ("crio-", Some(Runtime::CriO)),
    ("libpod-payload-", Some(Runtime::Podman)),
    ("libpod-", Some(Runtime::Podman)),
    ("buildkit-", Some(Runtime::BuildKit)),
    ("kata_", None),
];
/// A container in the cgroup of the unit that started it: `podman run --cgroups=split`, which Quadlet does.
const SPLIT: &str = "libpod-payload-";

/// Reads one component; `above` are those before it, `below` is the one after it.
pub(super) fn read<'a>(component: &'a str, above: &[&str], below: Option<&str>) -> Part<'a> {
    if let Some(container) = container(component, above, below) {
        return Part::Container(container);
    }
    if let Some(id) = podman_pod(component, above) {
        return Part::Pod(id);
    }
    let name = plain(component);
    if name.ends_with(".service") || name.ends_with(".scope") {
        Part::Unit
    } else if name.ends_with(".slice") {
        Part::Slice
    } else {
        Part::Other
    }
}

/// A unit's own name: systemd puts `_` before one that the kernel could take for a file of the cgroup.
pub(super) fn plain(component: &str) -> &str {
    component.strip_prefix('_').unwrap_or(component)
}

fn container<'a>(component: &'a str, above: &[&str], below: Option<&str>) -> Option<Container<'a>> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    let simple = |id: &'a str, runtime| Container { id: id.into(), runtime, name: None, in_own_unit: false };
    let prefixed = PREFIXES.iter().find_map(|(prefix, runtime)| Some((bare.strip_prefix(prefix)?, *runtime)));
    if let Some((id, runtime)) = prefixed.filter(|(id, _)| is_id(id)) {
        return Some(Container { in_own_unit: component.starts_with(SPLIT), ..simple(id, runtime) });
    }
    // BuildKit in Docker: its build steps have ids of their own, in scopes called as Docker's are.
    let step = bare.strip_prefix("docker-").or((above.last() == Some(&"buildkit")).then_some(bare));
    if let Some(id) = step.filter(|id| is_build_id(id)) {
        return Some(simple(id, Some(Runtime::BuildKit)));
    }
    // A systemd cgroup path (SLICE:PREFIX:ID) taken literally by an engine without systemd.
    if let [_, prefix, id] = bare.split(':').collect::<Vec<_>>()[..]
        && is_id(id)
    {
        let runtime = PREFIXES.iter().find(|(known, _)| known.trim_end_matches(['-', '_']) == prefix);
        return Some(simple(id, runtime.and_then(|(_, runtime)| *runtime)));
    }
    if is_id(bare) && above.last() != Some(&"libpod_parent") {
        let is_dockers = above.last() == Some(&"docker") || above.contains(&"ecs");
        return Some(simple(bare, is_dockers.then_some(Runtime::Docker)));
    }
    if above.contains(&"ecs") && is_fargate(bare) {
        return Some(simple(bare, None));
    }
    named(component, above, below)
}

/// Containers that the path calls by their name.
fn named<'a>(component: &'a str, above: &[&str], below: Option<&str>) -> Option<Container<'a>> {
    let whole =
        |id: Cow<'a, str>, runtime| Container { name: Some(id.clone()), id, runtime, in_own_unit: false };
    let lxc =
        component
            .strip_prefix("lxc.payload.")
            .or(matches!(above.last(), Some(&("lxc" | "lxc.payload"))).then_some(component));
    if let Some(name) = lxc.filter(|name| !name.is_empty()) {
        return Some(whole(name.into(), Some(Runtime::Lxc)));
    }
    if above.first().is_some_and(|first| first.starts_with("nomad"))
        && let Some((allocation, task)) =
            component.strip_suffix(".scope").unwrap_or(component).split_once('.')
        && is_uuid(allocation)
        && !task.is_empty()
    {
        let id = component.strip_suffix(".scope").unwrap_or(component);
        return Some(Container { name: Some(task.into()), ..whole(id.into(), Some(Runtime::Nomad)) });
    }
    machine(component, below).map(|(name, runtime)| whole(name, runtime))
}

/// A machine of systemd-machined. What runs beside the payload is the host's: nspawn itself, or the emulator.
fn machine<'a>(component: &'a str, below: Option<&str>) -> Option<(Cow<'a, str>, Option<Runtime>)> {
    let payload = below == Some("payload");
    if let Some(name) =
        component.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"))
    {
        return payload.then(|| (unescape(name), Some(Runtime::Nspawn)));
    }
    let name = component.strip_prefix("machine-")?.strip_suffix(".scope")?;
    let is_host = matches!(below, Some("supervisor" | "libvirt" | "emulator")) || name.starts_with("qemu");
    (!is_host && !name.is_empty()).then(|| (unescape(name), payload.then_some(Runtime::Nspawn)))
}

/// A pod of podman, in systemd's manner or as a plain folder.
fn podman_pod<'a>(component: &'a str, above: &[&str]) -> Option<&'a str> {
    let bare = component.strip_suffix(".slice").unwrap_or(component);
    let id = bare.rsplit_once("libpod_pod_").map(|(_, id)| id);
    let id = id.or((above.last() == Some(&"libpod_parent")).then_some(bare))?;
    is_id(id).then_some(id)
}

/// The uid of a Kubernetes pod, with dashes.
pub(super) fn pod_uid(component: &str) -> Option<String> {
    let bare = component.split(':').next().unwrap_or(component);
    let bare = bare.strip_suffix(".slice").unwrap_or(bare);
    // pod<uid> with cgroupfs; [kubelet-]kubepods[-burstable|-besteffort]-pod<uid> with systemd, dashes as underscores.
    let uid = match bare.rsplit_once("-pod") {
        Some((above, uid)) if above.split('-').any(|part| part == "kubepods") => uid,
        _ => bare.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    // That of a static pod is a hash, without dashes.
    let plausible = is_uuid(&uid) || (uid.len() == 32 && is_hex(&uid));
    plausible.then_some(uid)
}

/// The id that most engines give: 64 hexadecimal digits. What is not, never becomes part of a file's path.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

fn is_build_id(text: &str) -> bool {
    text.len() == 25 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// TASK-NUMBER, as Fargate calls its containers.
fn is_fargate(text: &str) -> bool {
    text.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32 && is_hex(task) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(|group| if is_hex(group) { group.len() } else { 0 });
    groups.eq([8, 4, 4, 4, 12])
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Undoes systemd's `\xNN`.
pub fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("\\x") {
        return Cow::Borrowed(name);
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .filter(|hex| is_hex(hex))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(crate::text::lossy(&bytes))
}
