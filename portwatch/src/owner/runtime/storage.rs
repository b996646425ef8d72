//! The storage that CRI-O and podman share: a bundle a container, and lists with the names that were given.

use super::{oci, told};
use crate::correlate::ContainerNames;
use crate::owner::cgroup::Runtime;
use crate::owner::rooted::Root;
use serde::Deserialize;

/// Where root's containers are: what runs, and what is kept.
const FOLDERS: [&str; 2] = ["/run/containers/storage", "/var/lib/containers/storage"];
/// The folder is called by the driver of the layers.
const DRIVERS: [&str; 3] = ["overlay-containers", "vfs-containers", "btrfs-containers"];
/// Containers that are kept, and those of `podman run --rm`.
const LISTS: [&str; 2] = ["containers.json", "volatile-containers.json"];
/// Some five hundred bytes a container.
const LIST: usize = 8 << 20;

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
}

/// A container of CRI-O, which writes the pod into the bundle.
pub(super) fn of_crio(root: &Root, id: &str) -> Option<ContainerNames> {
    let bundles = folders(&FOLDERS).map(|folder| format!("{folder}/{id}/userdata"));
    bundles
        .filter_map(|bundle| oci::bundled(root, &bundle, Runtime::CriO))
        .find(|names| names.pod_name.is_some())
}

/// A container of root's podman.
pub(super) fn of_podman(root: &Root, id: &str) -> Option<ContainerNames> {
    in_lists(root, &FOLDERS, id)
}

/// A container by the lists of a storage in any of `storages`.
pub(super) fn in_lists(root: &Root, storages: &[&str], id: &str) -> Option<ContainerNames> {
    let mut lists = folders(storages).flat_map(|folder| LISTS.map(|list| format!("{folder}/{list}")));
    let name = lists.find_map(|list| listed(&root.read(&list, LIST)?, id))?;
    let runtime = Some(Runtime::Podman.as_str().to_owned());
    Some(ContainerNames { runtime, name: Some(name), ..ContainerNames::default() })
}

fn folders(storages: &[&str]) -> impl Iterator<Item = String> {
    storages.iter().flat_map(|storage| DRIVERS.map(|driver| format!("{storage}/{driver}")))
}

fn listed(list: &[u8], id: &str) -> Option<String> {
    let list: Vec<Listed> = serde_json::from_slice(list).ok()?;
    told(list.into_iter().find(|listed| listed.id == id)?.names.first()?)
}
