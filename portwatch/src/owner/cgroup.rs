//! Path of a cgroup → systemd unit, container, pod. Pure: a cgroup's path outlives its processes, and says it all.

/// What a cgroup path says about its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// systemd unit, its `\xNN` undone; not the scope that only wraps a container.
    pub unit: Option<String>,
    /// Container id: 64 hexadecimal digits.
    pub container: Option<String>,
    /// Pod uid, with dashes.
    pub pod: Option<String>,
}

/// What container engines put before the id, with systemd as cgroup manager.
const ENGINES: [&str; 5] = ["docker-", "cri-containerd-", "crio-", "libpod-", "containerd-"];

/// Reads a cgroup path of either version.
pub fn membership(path: &str) -> Membership {
    let mut found = Membership::default();
    for component in path.split('/') {
        if let Some(id) = container_id(component) {
            // A unit around the container is the engine's, not that of the process.
            found.unit = None;
            found.container = Some(id.to_owned());
        } else if let Some(uid) = pod_uid(component) {
            found.pod = Some(uid);
        } else if component.ends_with(".service") || component.ends_with(".scope") {
            found.unit = Some(unescape(component));
        }
    }
    found
}

/// Whether the processes of two cgroups belong to the same service or container: an instance and its predecessor.
///
/// A login session or a user manager runs unrelated programs and does not count.
pub fn same_service(a: &str, b: &str) -> bool {
    let (one, two) = (membership(a), membership(b));
    match (&one.container, &two.container) {
        (Some(x), Some(y)) if x != y => return false,
        (Some(_), None) | (None, Some(_)) => return false,
        (Some(_), Some(_)) if one.unit.is_none() && two.unit.is_none() => return true,
        _ => {}
    }
    let service = |unit: &str| unit.ends_with(".service") && !unit.starts_with("user@");
    one.unit.as_deref().is_some_and(service) && one.unit == two.unit && unit_root(a) == unit_root(b)
}

/// The path down to the last unit: two users may each have a unit of one name.
fn unit_root(path: &str) -> &str {
    path.rfind(".service").map_or(path, |at| &path[..at])
}

/// The one path of `/proc/PID/cgroup` that says most: that of version 2, or with version 1 systemd's own hierarchy,
/// or else any that leads to a container.
pub fn pick(text: &str) -> Option<&str> {
    let lines = || text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let named = |wanted: &str| lines().find(|(name, _)| *name == wanted).map(|(_, path)| path);
    [named(""), named("name=systemd")]
        .into_iter()
        .flatten()
        .find(|path| *path != "/")
        .or_else(|| lines().map(|(_, path)| path).find(|path| membership(path).container.is_some()))
        .or_else(|| named(""))
        .or_else(|| lines().map(|(_, path)| path).next())
}

fn container_id(component: &str) -> Option<&str> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    let id = ENGINES.iter().find_map(|engine| bare.strip_prefix(engine)).unwrap_or(bare);
    // cri-containerd may write POD:PREFIX:ID.
    let id = id.rsplit(':').next().unwrap_or(id);
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

fn pod_uid(component: &str) -> Option<String> {
    let bare = component.strip_suffix(".slice").unwrap_or(component);
    // pod<uid> with cgroupfs; kubepods[-burstable|-besteffort]-pod<uid> with systemd, dashes as underscores.
    let uid =
        if bare.starts_with("kubepods") { bare.rsplit_once("-pod")?.1 } else { bare.strip_prefix("pod")? };
    let uid = uid.replace('_', "-");
    let plausible = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    plausible.then_some(uid)
}

/// Undoes systemd's `\xNN`.
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = rest
            .strip_prefix(b"\\x")
            .and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok())
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
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
    crate::text::lossy(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";
    const POD: &str = "0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a";

    fn row(path: &str, unit: Option<&str>, container: bool, pod: bool) {
        let path = path.replace("<id>", ID).replace("<pod>", POD).replace("<pod_>", &POD.replace('-', "_"));
        let want = Membership {
            unit: unit.map(str::to_owned),
            container: container.then(|| ID.to_owned()),
            pod: pod.then(|| POD.to_owned()),
        };
        assert_eq!(membership(&path), want, "{path}");
    }

    #[test]
    fn paths_say_unit_container_and_pod() {
        row("/", None, false, false);
        row("/system.slice/nginx.service", Some("nginx.service"), false, false);
        row("/system.slice/nginx.service/sub/group", Some("nginx.service"), false, false);
        row(r"/system.slice/dev\x2dserver.service", Some("dev-server.service"), false, false);
        row(r"/a.slice/odd\xzz\x.service", Some(r"odd\xzz\x.service"), false, false);
        row("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope"), false, false);
        row(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
            Some("web.service"),
            false,
            false,
        );
        row("/system.slice/docker-<id>.scope", None, true, false);
        row("/docker/<id>", None, true, false);
        row("/machine.slice/libpod-<id>.scope/container", None, true, false);
        row("/system.slice/docker-<id>.scope/system.slice/sshd.service", Some("sshd.service"), true, false);
        row(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<pod_>.slice/cri-containerd-<id>.scope",
            None,
            true,
            true,
        );
        row("/kubepods.slice/kubepods-pod<pod_>.slice/crio-<id>.scope", None, true, true);
        row("/kubepods/besteffort/pod<pod>/<id>", None, true, true);
        row("/system.slice/k3s.service/kubepods/pod<pod>/<id>", None, true, true);
        row(
            "/system.slice/containerd.service/kubepods-pod<pod_>.slice:cri-containerd:<id>",
            None,
            true,
            false,
        );
        row("/system.slice/docker-abc.scope", Some("docker-abc.scope"), false, false);
    }

    #[test]
    fn an_instance_knows_its_predecessor() {
        let same = |a: &str, b: &str| same_service(&a.replace("<id>", ID), &b.replace("<id>", ID));
        assert!(same("/system.slice/nginx.service", "/system.slice/nginx.service"));
        assert!(same("/system.slice/nginx.service", "/system.slice/nginx.service/worker"));
        assert!(same("/docker/<id>", "/docker/<id>"));
        assert!(same("/docker/<id>/a.service", "/docker/<id>/a.service"));
        assert!(!same("/docker/<id>/a.service", "/docker/<id>/b.service"));
        assert!(!same("/docker/<id>", "/system.slice/nginx.service"));
        assert!(!same("/system.slice/nginx.service", "/system.slice/apache.service"));
        assert!(!same("/user.slice/session-1.scope", "/user.slice/session-1.scope"));
        assert!(!same("/u/user@1.service", "/u/user@1.service"));
        assert!(!same("/u/user@1.service/a.service", "/u/user@2.service/a.service"));
        assert!(!same("/init.scope", "/init.scope"));
        assert!(!same("/", "/"));
    }

    #[test]
    fn the_telling_line_of_proc_is_picked() {
        assert_eq!(pick("0::/system.slice/a.service\n"), Some("/system.slice/a.service"));
        let hybrid = "5:memory:/\n1:name=systemd:/system.slice/a.service\n0::/\n";
        assert_eq!(pick(hybrid), Some("/system.slice/a.service"));
        let docker = format!("9:name=systemd:/\n4:memory:/docker/{ID}\n0::/\n");
        assert_eq!(pick(&docker), Some(format!("/docker/{ID}").as_str()));
        assert_eq!(pick("4:memory:/x\n0::/\n"), Some("/"));
        assert_eq!(pick("nonsense"), None);
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "\\PC{0,80}", other in "[/\\\\x.a-f0-9service]{0,80}") {
            membership(&path);
            membership(&other);
            same_service(&path, &other);
            pick(&path);
        }
    }
}
