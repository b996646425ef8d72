//! Under which units of this host's service manager a process runs, as journald itself would read it off the cgroup.

/// What journald calls `_SYSTEMD_UNIT` and `_SYSTEMD_USER_UNIT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Units<'a> {
    /// Of the system's manager.
    pub(super) system: Option<&'a str>,
    /// Of a user's.
    pub(super) user: Option<&'a str>,
}

/// Reads a cgroup path. Only slices may stand above a unit: what somebody inside a container, or below a service that
/// manages its own cgroup, calls like a unit of the host is none.
pub(super) fn of(cgroup: &str) -> Units<'_> {
    let mut parts = cgroup.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let system = next(&mut parts);
    let is_manager = system.is_some_and(|unit| unit.starts_with("user@") && unit.ends_with(".service"));
    let user = if is_manager { next(&mut parts) } else { None };
    Units { system, user }
}

fn next<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let part = parts.find(|part| !part.ends_with(".slice"))?;
    // systemd puts `_` before a name that the kernel keeps for itself.
    let plain = part.strip_prefix('_').unwrap_or(part);
    KINDS.iter().any(|kind| plain.ends_with(kind)).then_some(plain)
}

/// Units that have processes.
const KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

#[cfg(test)]
mod tests {
    use super::*;

    fn both(cgroup: &str) -> (Option<&str>, Option<&str>) {
        let units = of(cgroup);
        (units.system, units.user)
    }

    #[test]
    fn units_of_the_host() {
        assert_eq!(both("/system.slice/nginx.service"), (Some("nginx.service"), None));
        assert_eq!(both("/nginx.service/worker"), (Some("nginx.service"), None));
        assert_eq!(
            both("/system.slice/system-getty.slice/getty@tty1.service"),
            (Some("getty@tty1.service"), None)
        );
        assert_eq!(
            both("/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service"),
            (Some("user@1000.service"), Some("syncthing.service"))
        );
        assert_eq!(both("/user.slice/user-0.slice/session-3.scope"), (Some("session-3.scope"), None));
        assert_eq!(both("/system.slice/_cgroup.service"), (Some("cgroup.service"), None));
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        assert_eq!(both("/docker/3f4ab0/system.slice/nginx.service"), (None, None));
        assert_eq!(
            both("/machine.slice/machine-a.scope/payload/system.slice/nginx.service"),
            (Some("machine-a.scope"), None)
        );
        assert_eq!(both("/system.slice/ci.service/sshd.service"), (Some("ci.service"), None));
        assert_eq!(both("/system.slice"), (None, None));
        assert_eq!(both("/"), (None, None));
    }
}
