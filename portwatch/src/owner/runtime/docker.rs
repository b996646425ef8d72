//! Docker's own description of a container: `containers/ID/config.v2.json` below its data folder.

use super::{DESCRIPTION, told};
use crate::correlate::ContainerNames;
use crate::owner::cgroup::Runtime;
use crate::owner::rooted::Root;
use serde::Deserialize;
use std::collections::HashMap;

/// Where Docker keeps its data unless told otherwise: its own packages, and the one of snap.
const FOLDERS: [&str; 2] = ["/var/lib/docker", "/var/snap/docker/common/var-lib-docker"];
const SETTINGS: &str = "/etc/docker/daemon.json";

#[derive(Deserialize)]
struct Description {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Config")]
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "data-root")]
    data_root: Option<String>,
}

pub(super) fn names(root: &Root, id: &str, in_pod: bool) -> Option<ContainerNames> {
    let set =
        root.read(SETTINGS, DESCRIPTION).and_then(|bytes| serde_json::from_slice::<Settings>(&bytes).ok());
    let set = set.and_then(|settings| settings.data_root);
    set.iter().map(String::as_str).chain(FOLDERS).find_map(|folder| below(root, folder, id, in_pod))
}

/// The container of a Docker whose data is in `folder`. Labels are anybody's: what they say of a pod counts for a
/// container that is in one.
pub(super) fn below(root: &Root, folder: &str, id: &str, in_pod: bool) -> Option<ContainerNames> {
    let bytes = root.read(&format!("{folder}/containers/{id}/config.v2.json"), DESCRIPTION)?;
    let Description { name, config } = serde_json::from_slice(&bytes).ok()?;
    let labels = config.and_then(|config| config.labels).unwrap_or_default();
    let label = |key: &str| labels.get(key).filter(|_| in_pod).and_then(|value| told(value));
    // Docker writes a slash before it. Under Kubernetes it is made up from all the names, which the labels tell apart.
    let own = name.as_deref().and_then(|name| told(name.strip_prefix('/').unwrap_or(name)));
    let within = label("io.kubernetes.container.name").filter(|name| name != "POD");
    Some(ContainerNames {
        runtime: Some(Runtime::Docker.as_str().to_owned()),
        name: if in_pod { within } else { own },
        pod: label("io.kubernetes.pod.uid"),
        pod_name: label("io.kubernetes.pod.name"),
        pod_namespace: label("io.kubernetes.pod.namespace"),
    })
}
