//! The files that are applied at boot, as far as a request has to do with them: looked at first, written last.

use super::boot_file::{BootFile, difference};
use super::notes::back_at_boot;
use super::outcome::{About, File, Note, Outcome};
use super::own_file::OwnFile;
use super::plan::Plan;
use super::sysctl::{self, Others};
use super::{Action, Request};
use crate::exit_code::Refused;
use crate::owner::netns;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Inode number of the first pid namespace, the same on every kernel.
const FIRST_PID_NAMESPACE: u64 = 0xeffffffc;

/// What the files say; nothing of namespaces that they are not applied to.
#[derive(Debug)]
pub(super) struct Boot(Option<(BootFile, Others)>, bool);

impl Boot {
    /// Looks. Refuses `--persist` where the file would be for another namespace, or cannot be changed.
    pub(super) fn look(request: &Request) -> anyhow::Result<Self> {
        let first = fs::metadata("/proc/1/ns/net").map(|meta| netns::number(meta.ino()));
        let is_first = match (&first, request.persist) {
            (Ok(first), _) => *first == request.namespace.number,
            // Without privilege process 1 tells nothing; whoever may change nothing may see what would be done.
            (Err(error), true) if error.kind() == ErrorKind::PermissionDenied => request.dry_run,
            (Err(_), _) => false,
        };
        if request.persist && !is_first {
            return Err(elsewhere(request).into());
        }
        if !is_first {
            return Ok(Self(None, false));
        }
        let root = Path::new("/");
        let others = sysctl::read(root);
        match BootFile::read(root) {
            Ok(file) => Ok(Self(Some((file, others)), request.persist)),
            Err(why) if request.persist => anyhow::bail!("nothing was changed: {why}"),
            Err(_) => Ok(Self(None, false)),
        }
    }

    /// For the plan.
    pub(super) fn facts(&self) -> Option<(&OwnFile, &Others)> {
        self.0.as_ref().map(|(file, others)| (&file.parsed, others))
    }

    /// What is to become of the file.
    pub(super) fn describe(&self, plan: &Plan) -> Option<File> {
        let (file, others) = self.0.as_ref().filter(|_| self.1)?;
        let new = plan.file.as_ref()?;
        let is_set = !new.asked.ranges().is_empty();
        Some(File {
            path: file.path.clone(),
            reserved: new.asked.to_string(),
            difference: difference(file.text.as_deref(), self.text(plan).as_deref()),
            error: None,
            overridden_by: others.overriding().filter(|_| is_set).cloned(),
            carries: others.inherited().filter(|_| is_set).cloned(),
        })
    }

    /// What has to be known of it.
    pub(super) fn notes(&self, request: &Request, plan: &Plan) -> Vec<Note> {
        let Some((_, others)) = self.0.as_ref().filter(|_| self.1) else { return Vec::new() };
        let mut notes = Vec::new();
        if let Some(new) = plan.file.as_ref().filter(|_| request.action == Action::Unreserve) {
            notes.extend(back_at_boot(request, new, others));
        }
        let is_container =
            fs::metadata("/proc/self/ns/pid").is_ok_and(|meta| meta.ino() != FIRST_PID_NAMESPACE);
        if is_container && !Path::new("/run/systemd/system").exists() {
            let text = "This looks like a container without systemd: nothing was seen here that applies /etc/sysctl.d when it \
                        starts.";
            notes.push(Note::new(About::NotForBoot, text));
        }
        notes
    }

    /// Writes the file, after the kernel's list is as it should be, and says what is and what is not.
    pub(super) fn write(&self, plan: &Plan, outcome: &mut Outcome) {
        let (Some((file, _)), Some(told)) = (&self.0, &mut outcome.file) else { return };
        if outcome.kernel.error.is_some() {
            told.error = Some("not written, for the kernel's list is not as it should be".to_owned());
            return;
        }
        if told.difference.is_empty() {
            return;
        }
        if let Err(error) = file.put(self.text(plan).as_deref()) {
            told.error = Some(format!(
                "not written: {error}. The kernel's list is changed, until the next boot; the file is as it was. Run this \
                 command again when that is mended."
            ));
        }
    }

    /// The file's text as it is to be. Nothing is rewritten that would say the same.
    fn text(&self, plan: &Plan) -> Option<String> {
        let (file, _) = self.0.as_ref()?;
        let new = plan.file.as_ref()?;
        if *new == file.parsed { file.text.clone() } else { new.text() }
    }
}

fn elsewhere(request: &Request) -> Refused {
    let place = &request.namespace;
    let (name, verb) = match request.action {
        Action::Reserve => ("reserve", "reserved"),
        Action::Unreserve => ("unreserve", "unreserved"),
    };
    let why = "--persist writes a file that is applied at boot, to the network namespace of process 1";
    Refused::usage(if place.number == netns::own() {
        format!(
            "nothing was {verb}: {why}, and portwatch runs in another one ({}) here; leave out --persist, or go there: nsenter \
             --net=/proc/1/ns/net portwatch {name} --persist PORT",
            place.number
        )
    } else {
        format!(
            "nothing was {verb}: {why}, and netns {} is another one; leave out --persist, and run `portwatch {name}` wherever \
             that namespace is made",
            place.number
        )
    })
}
