//! The log folders of the kubelet, which every container runtime has to fill: names of pods by uid, names of containers
//! by id. They stay for a while after the end of what they are called after.

use super::told;
use crate::owner::rooted::Root;

/// A folder NAMESPACE_POD_UID for each pod of the node.
const PODS: &str = "/var/log/pods";
/// A link POD_NAMESPACE_CONTAINER-ID.log for each container.
const CONTAINERS: &str = "/var/log/containers";

/// Namespace and name of a pod. Neither can have an underscore in it.
pub(super) fn pod(root: &Root, uid: &str) -> Option<(String, String)> {
    root.names(PODS).iter().find_map(|folder| {
        let [namespace, name, other] = folder.split('_').collect::<Vec<_>>()[..] else { return None };
        (other == uid).then(|| Some((told(namespace)?, told(name)?)))?
    })
}

/// Name of a container within its pod, if the link is of that pod, where that is known.
pub(super) fn container(root: &Root, id: &str, namespace: Option<&str>, pod: Option<&str>) -> Option<String> {
    root.names(CONTAINERS).iter().find_map(|link| {
        let names = link.strip_suffix(".log")?.strip_suffix(id)?.strip_suffix('-')?;
        let [of_pod, in_namespace, name] = names.split('_').collect::<Vec<_>>()[..] else { return None };
        let fits = |known: Option<&str>, told| known.is_none_or(|known| known == told);
        (fits(pod, of_pod) && fits(namespace, in_namespace)).then(|| told(name))?
    })
}
