//! What a container and its pod are called, from what those who run them leave on the node's disk. No daemon is asked:
//! the files are still there when the daemon hangs, and reading them needs no client and no socket.

mod docker;
mod kubernetes;
mod oci;
mod storage;
#[cfg(test)]
mod tests;
mod user;

use super::cgroup::{Membership, Place, Runtime, is_id};
use super::rooted::Root;
use crate::correlate::ContainerNames;

/// A file that describes one container has some ten thousand bytes; an environment may make it longer.
const DESCRIPTION: usize = 2 << 20;
/// A name is cut nowhere, but what is longer is none: Docker, Kubernetes and podman allow 253 at most.
const NAME: usize = 256;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// The container, and who would have its files.
    container: Option<(String, Option<Runtime>, Place)>,
    /// The host's pod.
    pod: Option<String>,
}

impl Question {
    /// `None` if no file of the host can tell more than the path does: then nobody of a made-up cgroup is believed.
    pub(super) fn about(membership: &Membership) -> Option<Self> {
        let Membership { container, runtime, place, pod, pod_place, .. } = membership;
        let container = container.as_ref().filter(|id| is_id(id) && *place != Place::Inside);
        let container = container.map(|id| (id.clone(), *runtime, *place));
        // That of podman has 64 digits, and no file that says its name.
        let pod = pod.as_ref().filter(|uid| *pod_place == Place::Host && !is_id(uid)).cloned();
        (container.is_some() || pod.is_some()).then_some(Self { container, pod })
    }
}

/// The answer, as far as there is one.
pub(super) fn names(root: &Root, question: &Question) -> Option<ContainerNames> {
    let Question { container, pod } = question;
    let found = container.as_ref().and_then(|(id, runtime, place)| match place {
        Place::Host => of_host(root, id, *runtime, pod.is_some()),
        Place::User(uid) => user::names(root, *uid, id, *runtime),
        Place::Inside => None,
    });
    // Files that speak of another pod than the kernel does are not this container's.
    let contradicts = |names: &ContainerNames| pod.is_some() && names.pod.is_some() && names.pod != *pod;
    let mut names = found.filter(|names| !contradicts(names)).unwrap_or_default();
    if names.pod_name.is_none()
        && let Some((namespace, name)) = pod.as_ref().and_then(|uid| kubernetes::pod(root, uid))
    {
        (names.pod_namespace, names.pod_name) = (Some(namespace), Some(name));
    }
    if names.name.is_none()
        && let Some((id, _, Place::Host)) = container
    {
        names.name =
            kubernetes::container(root, id, names.pod_namespace.as_deref(), names.pod_name.as_deref());
    }
    (names != ContainerNames::default()).then_some(names)
}

/// The files of the engine that the path tells, or of whichever has the container.
fn of_host(root: &Root, id: &str, runtime: Option<Runtime>, in_pod: bool) -> Option<ContainerNames> {
    match runtime {
        Some(Runtime::Docker) => docker::names(root, id, in_pod),
        Some(Runtime::Containerd) => oci::names(root, id),
        Some(Runtime::CriO) => storage::of_crio(root, id),
        Some(Runtime::Podman) => storage::of_podman(root, id),
        Some(Runtime::Lxc | Runtime::Nspawn | Runtime::Nomad | Runtime::BuildKit) => None,
        None => docker::names(root, id, in_pod)
            .or_else(|| oci::names(root, id))
            .or_else(|| storage::of_crio(root, id))
            .or_else(|| storage::of_podman(root, id)),
    }
}

/// A name worth telling.
fn told(name: &str) -> Option<String> {
    (!name.is_empty() && name.len() <= NAME).then(|| name.to_owned())
}
