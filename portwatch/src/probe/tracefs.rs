//! Makes tracefs visible to the one thread that attaches, where the host has not mounted it.

use std::path::Path;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

const TRACEFS: &str = "/sys/kernel/tracing";

/// Runs `work` with tracefs in place: at once where it is mounted, else in a thread with a mount namespace of its own,
/// so that nothing on the host changes. Where even that is refused, `work` runs all the same and says what it misses.
pub(super) fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if Path::new(TRACEFS).join("events").exists() || Path::new("/sys/kernel/debug/tracing/events").exists() {
        return work();
    }
    thread::scope(|scope| {
        let attaching = scope.spawn(|| {
            // A failure shows itself as the missing tracefs that `work` then reports.
            let _ = mount_privately();
            work()
        });
        attaching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_privately() -> rustix::io::Result<()> {
    // SAFETY: only this short-lived thread leaves the namespace; it shares no file descriptor table change.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    // What is mounted below /sys must not show outside. Inside a chroot "/" is often no mount of its own, but /sys is.
    mount_change("/sys", private).or_else(|_| mount_change("/", private))?;
    mount("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None)
}
