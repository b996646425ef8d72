//! Uid → login name and home: by /etc/passwd, and by systemd for the users that it makes up for a service.
//!
//! Users of LDAP or SSSD have no name here: asking them means running the C library's plug-ins, which a static binary
//! cannot, and waiting for a network.

use super::rooted::Root;
use std::collections::HashMap;

const PASSWD: &str = "/etc/passwd";
/// A passwd file of more is not read.
const MOST: usize = 16 << 20;
/// Names remembered.
const CAPACITY: usize = 1_024;

/// Answers, as long as the file stays as it is.
#[derive(Debug, Default)]
pub(super) struct Users {
    known: HashMap<u32, Option<String>>,
    stamp: Option<(i64, i64, u64)>,
}

impl Users {
    pub(super) fn name(&mut self, root: &Root, uid: u32) -> Option<String> {
        let stamp = root.stamp(PASSWD);
        if stamp != self.stamp || self.known.len() >= CAPACITY {
            self.known.clear();
            self.stamp = stamp;
        }
        let known = self.known.entry(uid).or_insert_with(|| entry(root, uid).map(|entry| entry.name));
        // A user of a service comes and goes with it.
        known.clone().or_else(|| dynamic(root, uid))
    }
}

/// A line of /etc/passwd.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) gid: u32,
    pub(super) home: String,
}

pub(super) fn entry(root: &Root, uid: u32) -> Option<Entry> {
    find(&root.read(PASSWD, MOST)?, uid)
}

fn find(passwd: &[u8], uid: u32) -> Option<Entry> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        // A + or - line of NIS names nobody.
        let [name, _, number, gid, _, home, ..] = line.split(':').collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_it = number.parse() == Ok(uid) && !name.is_empty() && !name.starts_with(['+', '-']);
        is_it.then(|| Some(Entry { name: name.to_owned(), gid: gid.parse().ok()?, home: home.to_owned() }))?
    })
}

/// The range of DynamicUser=, and where systemd writes the names (`direct:UID` is a link to one).
fn dynamic(root: &Root, uid: u32) -> Option<String> {
    if !(61_184..=65_519).contains(&uid) {
        return None;
    }
    let name = root.read(&format!("/run/systemd/dynamic-uid/{uid}"), 256)?;
    let name = String::from_utf8(name).ok()?.trim_end_matches(['\n', '\0']).to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;

    #[test]
    fn the_name_is_that_of_the_first_line_with_the_uid() {
        let passwd = b"root:x:0:0:root:/r:/bin/sh\n+::0:::\n\xff:x:5:5::/:/bin/sh\nbroken:5\nalice:x:1000:100:A,B:/u/alice:/bin/sh\ntoor:x:0:0::/:\n";
        assert_eq!(find(passwd, 0).map(|entry| entry.name).as_deref(), Some("root"));
        let alice = Entry { name: "alice".into(), gid: 100, home: "/u/alice".into() };
        assert_eq!(find(passwd, 1000), Some(alice));
        assert_eq!((find(passwd, 5), find(passwd, 7)), (None, None));
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_service_has_its_own_user() {
        let scratch = Scratch::new("users");
        scratch.write("etc/passwd", "a:x:7:7::/:\n");
        let root = Root::open(scratch.path()).expect("a folder");
        let mut users = Users::default();
        assert_eq!((users.name(&root, 7).as_deref(), users.name(&root, 8)), (Some("a"), None));
        scratch.write("etc/passwd", "a:x:7:7::/:\nlonger:x:8:8::/:\n");
        assert_eq!(users.name(&root, 8).as_deref(), Some("longer"));
        assert_eq!(users.name(&root, 62_583), None);
        scratch.write("run/systemd/dynamic-uid/62583", "timesync\n");
        assert_eq!(users.name(&root, 62_583).as_deref(), Some("timesync"));
    }
}
