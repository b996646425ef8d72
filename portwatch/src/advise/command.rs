//! The exact commands of an advice: complete, and only those that do what the advice says on this conflict.

use super::Situation;
use crate::model::{Conflict, Holder, Process, Protocol};
use crate::ports::PortList;

const RESERVED: &str = "net.ipv4.ip_local_reserved_ports";
const RANGE: &str = "net.ipv4.ip_local_port_range";

/// Reserves the wanted port: now and, in portwatch's own namespace, for good.
pub(super) fn reserve(conflict: &Conflict, situation: &Situation) -> Vec<String> {
    reserve_port(conflict.port, situation.reserved.as_deref(), &enter(conflict, situation))
}

/// Reserves a port where `inside` leads, beside what is `reserved` already.
pub fn reserve_port(port: u16, reserved: Option<&str>, inside: &str) -> Vec<String> {
    let Some(mut ports) = reserved.and_then(|text| PortList::parse(text).ok()) else {
        // What is reserved already could not be read from here. The shell merges then, where it can.
        let merged = format!("$(sysctl -n {RESERVED} | sed 's/$/,{port}/;s/^,//')");
        let script = format!("sysctl -w {RESERVED}=\"{merged}\"");
        return match inside.is_empty() {
            true => vec![script, persist(port)],
            false => vec![format!("{inside}sh -c '{}'", script.replace('\'', r"'\''"))],
        };
    };
    ports.insert(port, port);
    let mut commands = vec![format!("{inside}sysctl -w {RESERVED}={ports}")];
    if inside.is_empty() {
        commands.push(persist(port));
    }
    commands
}

/// Reserves exactly these ports, until the next boot.
pub(super) fn reserve_list(conflict: &Conflict, situation: &Situation, ports: &PortList) -> String {
    set(conflict, situation, RESERVED, &ports.to_string())
}

/// Gives reserved ports back to the kernel's choice, whoever reserved them.
pub(super) fn unreserve(conflict: &Conflict, situation: &Situation, ports: &str) -> String {
    match door(conflict, situation) {
        None => format!("portwatch unreserve --force {ports}"),
        Some(pid) => format!("portwatch unreserve --force --netns /proc/{pid}/ns/net {ports}"),
    }
}

/// Has it survive a reboot. What others wrote into the files of sysctl stays.
fn persist(port: u16) -> String {
    format!("portwatch reserve --persist {port}")
}

/// Name and value of the setting that reserves a port beside what is `reserved` already.
pub(super) fn setting(port: u16, reserved: Option<&str>) -> Option<(&'static str, PortList)> {
    let mut ports = PortList::parse(reserved?).ok()?;
    ports.insert(port, port);
    Some((RESERVED, ports))
}

/// Sets the ephemeral range of the conflict's namespace.
pub(super) fn widen(conflict: &Conflict, situation: &Situation, low: u16, high: u16) -> String {
    set(conflict, situation, RANGE, &format!("{low} {high}"))
}

/// Sets something in the conflict's namespace.
pub(super) fn set(conflict: &Conflict, situation: &Situation, name: &str, value: &str) -> String {
    let assigned = if value.contains(' ') { format!("{name}='{value}'") } else { format!("{name}={value}") };
    format!("{}sysctl -w {assigned}", enter(conflict, situation))
}

/// Ends the process that holds the port, by its service manager where it has one. Nobody should end process 1.
pub(super) fn stop(process: &Process) -> Option<String> {
    match service(process) {
        Some(unit) => Some(crate::text::command_line(&["systemctl", "stop", unit])),
        None => (process.pid != 1).then(|| format!("kill {}", process.pid)),
    }
}

/// Makes the process let go of the port and come back without it.
pub(super) fn restart(process: &Process) -> Option<String> {
    match service(process) {
        Some(unit) => Some(crate::text::command_line(&["systemctl", "restart", unit])),
        None => (process.pid != 1).then(|| format!("kill {}", process.pid)),
    }
}

/// Ends the one connection that holds the port, unless the kernel is known not to. Not for one in TIME_WAIT, which only new
/// kernels end, nor for one that its process has closed, on which older ones leave a worse thing behind (`tcp_abort`).
pub(super) fn destroy(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Option<String> {
    let (local, remote) = (holder.local?, holder.remote?);
    // Where it is known to be there, only TCP is asked: for other protocols ss complains.
    let kill = match situation.destroys {
        Some(false) => return None,
        Some(true) => "-tK",
        None => "-K",
    };
    (conflict.protocol == Protocol::Tcp)
        .then(|| format!("{}ss {kill} src {local} dst {remote}", enter(conflict, situation)))
}

/// Shows every socket on the port.
pub(super) fn inspect(conflict: &Conflict, situation: &Situation) -> String {
    let kind = if conflict.protocol.is_datagram() { "-uanpe" } else { "-tanpe" };
    match conflict.port {
        0 => format!("{}ss {kind}", enter(conflict, situation)),
        port => format!("{}ss {kind} 'sport = :{port}'", enter(conflict, situation)),
    }
}

/// What comes before a command that must act in the conflict's network namespace; nothing in portwatch's own.
fn enter(conflict: &Conflict, situation: &Situation) -> String {
    door(conflict, situation).map_or_else(String::new, |pid| format!("nsenter --net=/proc/{pid}/ns/net "))
}

/// A process in the conflict's network namespace; none if that is portwatch's own.
fn door(conflict: &Conflict, situation: &Situation) -> Option<u32> {
    // A holder may have moved since, or have the socket from elsewhere: only one that was seen there will do. Failing
    // that the victim, who was there; once it has exited the command fails, and does nothing in another namespace.
    (conflict.netns != situation.own_netns).then(|| situation.door.unwrap_or(conflict.victim.pid))
}

/// The unit, if the system's systemd runs it: not in a container, not under a user's own manager.
pub(super) fn service(process: &Process) -> Option<&str> {
    let unit = process.unit.as_deref()?;
    let path = process.cgroup.as_deref()?;
    let is_own = unit.ends_with(".service") && !path.contains("/user@");
    (is_own && process.container.is_none()).then_some(unit)
}
