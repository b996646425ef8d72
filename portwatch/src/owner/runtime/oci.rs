//! The description that every engine writes for the OCI runtime: `config.json` in the bundle, with annotations.

use super::{DESCRIPTION, told};
use crate::correlate::ContainerNames;
use crate::owner::cgroup::Runtime;
use crate::owner::rooted::Root;
use serde::Deserialize;
use std::collections::HashMap;

/// Where containerd keeps the bundles of what runs: its own packages, k3s and RKE2, k0s, MicroK8s.
const FOLDERS: [&str; 4] = [
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
];
/// The shims of containerd 1.2 and later.
const TASKS: &str = "io.containerd.runtime.v2.task";
/// Namespaces of containerd that are looked into; few hosts have more than two.
const NAMESPACES: usize = 32;
/// Kubernetes's own, which is asked first.
const KUBERNETES: &str = "k8s.io";

#[derive(Deserialize)]
struct Description {
    annotations: Option<HashMap<String, String>>,
}

/// A container of containerd.
pub(super) fn names(root: &Root, id: &str) -> Option<ContainerNames> {
    FOLDERS.iter().find_map(|folder| {
        let tasks = format!("{folder}/{TASKS}");
        let mut namespaces = root.names(&tasks);
        namespaces.sort_by_key(|name| name != KUBERNETES);
        let bundles = namespaces.iter().take(NAMESPACES).map(|namespace| format!("{tasks}/{namespace}/{id}"));
        bundles.into_iter().find_map(|bundle| bundled(root, &bundle, Runtime::Containerd))
    })
}

/// The container whose bundle is in `folder`.
pub(super) fn bundled(root: &Root, folder: &str, runtime: Runtime) -> Option<ContainerNames> {
    let bytes = root.read(&format!("{folder}/config.json"), DESCRIPTION)?;
    let Description { annotations } = serde_json::from_slice(&bytes).ok()?;
    let annotations = annotations.unwrap_or_default();
    let first = |keys: &[&str]| keys.iter().find_map(|key| told(annotations.get(*key)?));
    // Of containerd, of CRI-O, of nerdctl. A sandbox has no name in its pod, or is called POD.
    let name = first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"]);
    Some(ContainerNames {
        runtime: Some(runtime.as_str().to_owned()),
        name: name.filter(|name| name != "POD"),
        pod: first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        pod_name: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        pod_namespace: first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
    })
}
