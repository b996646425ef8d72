//! The processes of Kubernetes on this host.

use super::flags::Flags;
use crate::owner::cgroup;
use crate::owner::process_below;
use crate::owner::rooted::Root;
use std::fs;
use std::path::{Path, PathBuf};

/// No host has more processes.
const PROCESSES: usize = 1 << 22;
/// Names of k3s, which is kubelet, kube-proxy and API server in one process.
const K3S: [&str; 3] = ["k3s", "k3s-server", "k3s-agent"];
/// A cut in the arguments ends with this.
const CUT: char = '…';

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) comm: String,
    pub(super) unit: Option<String>,
    pub(super) flags: Flags,
}

/// The first of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kubelet: Option<Process>,
    pub(super) proxy: Option<Process>,
    pub(super) server: Option<Process>,
}

/// Looks through /proc. Only root's are taken for what they are called: anybody may call a process so. Those of another
/// network namespace are nodes of their own, of a cluster in containers say.
pub(super) fn find(root: &Root, path: &Path, notes: &mut Vec<String>) -> Found {
    let mut found = Found::default();
    let proc = path.join("proc");
    let Ok(entries) = fs::read_dir(&proc) else {
        notes.push("Kubernetes: /proc cannot be read, so that no kubelet could be looked for".to_owned());
        return found;
    };
    let pids =
        entries.take(PROCESSES).filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut pids: Vec<_> = pids.collect();
    pids.sort_unstable();
    let here = namespace(&proc, 1);
    for pid in pids {
        let Ok(comm) = root.load(&format!("proc/{pid}/comm"), 64) else { continue };
        let comm = String::from_utf8_lossy(&comm).trim_end().to_owned();
        if !is_of_kubernetes(&comm) {
            continue;
        }
        let Some(info) = process_below(&proc, pid).filter(|info| info.uid == Some(0)) else { continue };
        if namespace(&proc, pid).zip(here.clone()).is_some_and(|(its, ours)| its != ours) {
            notes.push(format!(
                "{comm}[{pid}] runs in another network namespace; its ports are not looked at"
            ));
            continue;
        }
        if info.arguments.last().is_some_and(|last| last.ends_with(CUT)) {
            notes.push(format!("{comm}[{pid}]: its arguments are too long to be read to the end"));
        }
        let unit = info.cgroup.as_deref().and_then(|path| cgroup::membership(path).unit);
        let flags = Flags::of(&info.arguments);
        found.add(Process { pid, comm, unit, flags });
    }
    found
}

impl Found {
    fn add(&mut self, process: Process) {
        let place = match process.comm.as_str() {
            "kubelet" => &mut self.kubelet,
            "kube-proxy" => &mut self.proxy,
            "kube-apiserver" => &mut self.server,
            _ => return self.add_k3s(process),
        };
        place.get_or_insert(process);
    }

    fn add_k3s(&mut self, process: Process) {
        let part = |by: &str| Process { flags: process.flags.handed_on(by), ..process.clone() };
        // k3s closes its kubelet's port for readers unless told otherwise.
        let usual = Flags::of(&["--read-only-port=0".to_owned()]);
        let kubelet = part("kubelet-arg");
        self.kubelet.get_or_insert(Process { flags: usual.and(kubelet.flags), ..kubelet });
        self.proxy.get_or_insert(part("kube-proxy-arg"));
        if process.comm != "k3s-agent" {
            let flags = process.flags.clone().and(process.flags.handed_on("kube-apiserver-arg"));
            self.server.get_or_insert(Process { flags, ..process });
        }
    }
}

fn is_of_kubernetes(comm: &str) -> bool {
    ["kubelet", "kube-proxy", "kube-apiserver"].contains(&comm) || K3S.contains(&comm)
}

fn namespace(proc: &Path, pid: u32) -> Option<PathBuf> {
    fs::read_link(proc.join(pid.to_string()).join("ns/net")).ok()
}
