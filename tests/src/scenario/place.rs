//! Where processes run: services, containers, pods, pid namespaces. A name is of no use to who cannot find its owner.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use super::Watch::FromTheStart;
use super::refuse::VICTIM;
use super::timewait::{Owner, closed_connection};
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::case::{Holder, Refusal};
use crate::portrait::Place;
use crate::wire::Transport::{Tcp4, Udp4};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pid-namespace",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: in_a_pid_namespace,
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "place-docker-against-service",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| client_in(stage, DOCKER),
        refuse: |stage, thief| refused_in(stage, NGINX, thief),
    },
    Scenario {
        name: "place-pod-against-user-service",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| client_in(stage, POD_OF_SYSTEMD),
        refuse: |stage, thief| refused_in(stage, USERS_WEB, thief),
    },
    Scenario {
        name: "place-escaped-unit-against-pod",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| client_in(stage, ESCAPED),
        refuse: |stage, thief| refused_in(stage, POD_OF_CGROUPFS, thief),
    },
    Scenario {
        name: "previous-instance-in-container",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| {
            stage.move_to(DOCKER)?;
            let holder = hold::listener(stage, VICTIM, Tcp4, &[], Tcp4.wildcard(SERVICE_PORT))?;
            Ok(Holder { cause: "previous-instance", ..holder })
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "unit-of-the-dead",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| {
            stage.move_to(NGINX)?;
            // The server outlives its client, and so does their cgroup.
            closed_connection(stage, Owner::Exits)
        },
        refuse: |stage, thief| refused_in(stage, USERS_WEB, thief),
    },
    Scenario {
        name: "unit-of-the-dead-is-gone",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: dead_with_its_unit,
        refuse: |stage, thief| refused_in(stage, USERS_WEB, thief),
    },
];

/// By then portwatch has looked at whoever got a first port.
const ANNOUNCED: Duration = Duration::from_secs(1);

/// What stands below `lineup.slice` looks as it does on hosts that have the manager in question.
const NGINX: Place = Place {
    path: "lineup.slice/system.slice/nginx.service",
    unit: Some("nginx.service"),
    container: None,
    pod: None,
};
const ESCAPED: Place = Place {
    path: r"lineup.slice/system.slice/system-lineup\x2dserver.slice/lineup\x2dserver@a\x2db.service",
    unit: Some(r"lineup\x2dserver@a\x2db.service"),
    container: None,
    pod: None,
};
const USERS_WEB: Place = Place {
    path: "lineup.slice/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
    unit: Some("web.service"),
    container: None,
    pod: None,
};
const DOCKER: Place = Place {
    path: "lineup.slice/system.slice/docker-3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3.scope",
    unit: None,
    container: Some("3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"),
    pod: None,
};
const POD_OF_SYSTEMD: Place = Place {
    path: "lineup.slice/kubepods.slice/kubepods-burstable.slice/\
           kubepods-burstable-pod0b5c1a9e_6d1f_4c0e_9a57_1f2e3d4c5b6a.slice/\
           cri-containerd-a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c33f4ab0c1d2e3f4.scope",
    unit: None,
    container: Some("a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c33f4ab0c1d2e3f4"),
    pod: Some("0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a"),
};
const POD_OF_CGROUPFS: Place = Place {
    path: "lineup.slice/kubepods/besteffort/pod7c1d2e3f-1a2b-4c3d-8e9f-001122334455/\
           c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c33f4ab0c1d2e3f4a5b6",
    unit: None,
    container: Some("c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c33f4ab0c1d2e3f4a5b6"),
    pod: Some("7c1d2e3f-1a2b-4c3d-8e9f-001122334455"),
};

fn client_in(stage: &mut Stage, place: Place) -> Result<Holder> {
    stage.move_to(place)?;
    hold::tcp_client(stage, "thief-placed", Tcp4)
}

fn refused_in(stage: &mut Stage, place: Place, holder: &Holder) -> Result<Refusal> {
    stage.move_to(place)?;
    refuse::bind(stage, Tcp4, holder.local)
}

/// A process 1: what it calls itself is not what the host calls it.
fn in_a_pid_namespace(stage: &mut Stage) -> Result<Holder> {
    let pids = PidNamespace::enter()?;
    let holder = hold::udp_client(stage, "thief-pid-1", Udp4);
    drop(pids);
    let mut holder = holder?;
    if let Some(process) = &mut holder.process {
        ensure!(is_first(process.pid)?, "{process} is in no pid namespace of its own");
        process.portrait.thread = Some(process.pid);
    }
    Ok(holder)
}

/// While it lives, who is started is the first of a pid namespace. Not on a scratch thread: actors end with the thread
/// that started them.
struct PidNamespace(File);

impl PidNamespace {
    fn enter() -> Result<Self> {
        let own = File::open("/proc/self/ns/pid").context("opening /proc/self/ns/pid")?;
        // SAFETY: NEWPID does not touch the descriptor table, which is what makes other flags of unshare() unsafe.
        unsafe { unshare_unsafe(UnshareFlags::NEWPID) }.context("making a pid namespace")?;
        Ok(Self(own))
    }
}

impl Drop for PidNamespace {
    fn drop(&mut self) {
        if let Err(error) = move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::ProcessID)) {
            // Whoever starts next would be in the wrong namespace, and the lineup would end on its own threads.
            eprintln!("lineup: cannot leave the pid namespace: {error}");
            std::process::exit(1);
        }
    }
}

/// Whether a process is number 1 where it is itself.
fn is_first(pid: u32) -> Result<bool> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    Ok(pids.split_ascii_whitespace().count() > 1 && pids.trim_end().ends_with("\t1"))
}

/// The client ends, then the server, and then their service is cleared away.
fn dead_with_its_unit(stage: &mut Stage) -> Result<Holder> {
    stage.move_to(NGINX)?;
    let holder = closed_connection(stage, Owner::Exits)?;
    drop(stage.recall()?);
    // A unit lives longer than a process needs to be announced, on an emulated machine too.
    thread::sleep(ANNOUNCED);
    stage.abandon_place()?;
    Ok(holder)
}
