//! Containers of an ordinary user (rootless podman and Docker), whose files are the user's own: what they say is
//! believed of that user's containers only, and they are read with no more rights than the user has.

use super::{docker, storage};
use crate::correlate::ContainerNames;
use crate::owner::cgroup::Runtime;
use crate::owner::rooted::Root;
use crate::owner::users;

/// Where they are below the home, unless told otherwise.
const STORAGE: &str = ".local/share/containers/storage";
const DOCKER: &str = ".local/share/docker";

pub(super) fn names(root: &Root, uid: u32, id: &str, runtime: Option<Runtime>) -> Option<ContainerNames> {
    let user = users::entry(root, uid)?;
    let home = root.of_user(&user.home, uid)?;
    let _rights = Rights::of(uid, user.gid)?;
    match runtime {
        Some(Runtime::Docker) => docker::below(&home, DOCKER, id, false),
        Some(Runtime::Podman) | None => storage::in_lists(&home, &[STORAGE], id),
        Some(_) => None,
    }
}

/// The calling thread's rights to files are those of a user, until this is dropped.
///
/// The kernel keeps them by thread, and takes the capabilities that override permissions away with them.
struct Rights {
    before: (libc::c_int, libc::c_int),
}

impl Rights {
    fn of(uid: u32, gid: u32) -> Option<Self> {
        // SAFETY: plain system calls on numbers; they act on the calling thread alone.
        let before = unsafe { (libc::setfsgid(gid), libc::setfsuid(uid)) };
        let rights = Self { before };
        // Both calls fail silently and return what was before; an invalid id changes nothing.
        // SAFETY: as above.
        let now = unsafe { (libc::setfsgid(libc::gid_t::MAX), libc::setfsuid(libc::uid_t::MAX)) };
        (now == (gid.cast_signed(), uid.cast_signed())).then_some(rights)
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let (gid, uid) = self.before;
        // SAFETY: as above.
        unsafe {
            libc::setfsuid(uid.cast_unsigned());
            libc::setfsgid(gid.cast_unsigned());
        }
    }
}
