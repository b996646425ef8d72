//! Path of a cgroup → systemd unit and slice, container, pod. Pure: a path outlives its processes, and says most of it.

mod component;
#[cfg(test)]
mod tests;

use component::{Part, pod_uid};

pub(super) use component::is_id;
pub use component::unescape;

/// What runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Runtime {
    /// Docker Engine.
    Docker,
    /// containerd, for Kubernetes or nerdctl.
    Containerd,
    /// CRI-O.
    CriO,
    /// Podman.
    Podman,
    /// LXC, Incus or LXD.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
    /// A task of Nomad.
    Nomad,
    /// A build step of BuildKit.
    BuildKit,
}

impl Runtime {
    /// As the report says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
            Self::Lxc => "lxc",
            Self::Nspawn => "systemd-nspawn",
            Self::Nomad => "nomad",
            Self::BuildKit => "buildkit",
        }
    }
}

/// Who made a cgroup, and so whose files may tell more of it.
///
/// Below a user's own manager, and inside a container, anybody may call a cgroup as another's container is called:
/// the host's files are not asked about such a one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Place {
    /// The host's own services.
    #[default]
    Host,
    /// The service manager of this user.
    User(u32),
    /// Somebody inside a container.
    Inside,
}

/// What a cgroup path says about its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// systemd unit, exactly as systemctl takes it; not one that only wraps a container.
    pub unit: Option<String>,
    /// Slice around the unit or the container.
    pub slice: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// What runs it.
    pub runtime: Option<Runtime>,
    /// Its name, where the path has it.
    pub name: Option<String>,
    /// Who made the container's cgroup.
    pub place: Place,
    /// Uid of a Kubernetes pod, with dashes, or id of a podman pod.
    pub pod: Option<String>,
    /// Who made the pod's.
    pub pod_place: Place,
    /// `unit` is around the container, not in it.
    pub in_own_unit: bool,
}

impl Membership {
    /// The container is a whole system with unrelated programs in it.
    fn is_machine(&self) -> bool {
        self.name.is_some() && self.runtime != Some(Runtime::Nomad)
    }

    /// Whether a login name of the host means anything for a process of this uid. A container has its own names, but
    /// for those of the user who started it.
    pub fn has_host_user(&self, uid: u32) -> bool {
        self.container.is_none() || uid == 0 || matches!(self.place, Place::User(_))
    }
}

/// Reads a cgroup path of either version.
pub fn membership(path: &str) -> Membership {
    // Seen from inside a cgroup namespace, what lies above it is `..`.
    let path: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect();
    let mut found = Membership::default();
    let mut place = Place::Host;
    let mut slice = None;
    for (at, part) in path.iter().enumerate() {
        if let Some(uid) = pod_uid(part) {
            (found.pod, found.pod_place) = (Some(uid), place);
        }
        match component::read(part, &path[..at], path.get(at + 1).copied()) {
            Part::Container(container) => {
                if !container.in_own_unit {
                    // A unit around the container is the engine's, not that of the process.
                    found.unit = None;
                }
                found.in_own_unit = container.in_own_unit && found.unit.is_some();
                found.container = Some(container.id.into_owned());
                found.runtime = container.runtime;
                found.name = container.name.map(std::borrow::Cow::into_owned);
                found.place = place;
                found.slice = slice.take();
                place = Place::Inside;
            }
            Part::Pod(id) => {
                (found.pod, found.pod_place) = (Some(id.to_owned()), place);
                slice = part.ends_with(".slice").then(|| (*part).to_owned()).or(slice);
            }
            Part::Unit => {
                found.unit = Some(component::plain(part).to_owned());
                found.in_own_unit = false;
                found.slice.clone_from(&slice);
                if let (Some(uid), Place::Host) = (user_manager(part), place) {
                    place = Place::User(uid);
                    slice = None;
                }
            }
            Part::Slice => {
                slice = Some(component::plain(part).to_owned());
                found.slice.clone_from(&slice);
            }
            Part::Other => {}
        }
    }
    found
}

fn user_manager(component: &str) -> Option<u32> {
    component.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok()
}

/// Whether the processes of two cgroups belong to the same service or container: an instance and its predecessor.
///
/// A login session, a user manager or a whole system in a container runs unrelated programs and does not count.
pub fn same_service(a: &str, b: &str) -> bool {
    let (one, two) = (membership(a), membership(b));
    // A service that is a container has a new one every time.
    let in_own_units = one.in_own_unit && two.in_own_unit;
    match (&one.container, &two.container) {
        (Some(x), Some(y)) if x != y && !in_own_units => return false,
        (Some(_), None) | (None, Some(_)) => return false,
        (Some(_), Some(_)) if one.unit.is_none() && two.unit.is_none() => return !one.is_machine(),
        _ => {}
    }
    let service = |unit: &str| unit.ends_with(".service") && !unit.starts_with("user@");
    one.unit.as_deref().is_some_and(service) && one.unit == two.unit && unit_root(a) == unit_root(b)
}

/// The path down to the last unit: two users may each have a unit of one name.
fn unit_root(path: &str) -> &str {
    path.rfind(".service").map_or(path, |at| &path[..at])
}

/// The one path of `/proc/PID/cgroup` that says most. One that leads to a container goes first, because an engine may
/// leave the other hierarchies where its own service is; then that of version 2, then systemd's own of version 1.
pub fn pick(text: &str) -> Option<&str> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let ordered = |rank: u8| lines().filter(move |(name, _)| order(name) == rank).map(|(_, path)| path);
    let paths = || (0..3).flat_map(ordered).map(|path| path.strip_suffix(" (deleted)").unwrap_or(path));
    paths()
        .find(|path| membership(path).container.is_some())
        .or_else(|| paths().find(|path| membership(path).unit.is_some()))
        .or_else(|| ordered(0).chain(ordered(1)).find(|path| *path != "/"))
        .or_else(|| paths().next())
}

/// Which hierarchy is asked first.
fn order(hierarchy: &str) -> u8 {
    match hierarchy {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    }
}
