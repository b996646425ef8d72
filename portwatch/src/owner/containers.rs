//! Cgroup path → what its container is called: remembered, read with patience, and read again now and then, because
//! containers are renamed. What is deleted meanwhile keeps the name that it had.

use super::cgroup;
use super::patience::Patient;
use super::rooted::Root;
use super::runtime::{self, Question};
use crate::correlate::ContainerNames;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Containers remembered.
const CAPACITY: usize = 4_096;
/// An answer is not asked for again within this time. A second refusal of a restarted service comes later.
const FRESH: Duration = Duration::from_secs(10);
/// How long the pipeline waits for a disk.
const PATIENCE: Duration = Duration::from_millis(100);

type Answer = Option<Arc<ContainerNames>>;

#[derive(Debug)]
pub(super) struct Containers {
    root: Option<Arc<Root>>,
    files: Patient<(Arc<Root>, Question), Option<ContainerNames>>,
    known: HashMap<Question, (Answer, Instant)>,
}

impl Containers {
    pub(super) fn below(root: Option<Arc<Root>>) -> Self {
        let look = |(root, question): (Arc<Root>, Question)| {
            drop_groups();
            runtime::names(&root, &question)
        };
        Self { root, files: Patient::new(look, PATIENCE), known: HashMap::new() }
    }

    pub(super) fn names(&mut self, path: &str) -> Answer {
        let question = Question::about(&cgroup::membership(path))?;
        let known = self.known.get(&question);
        let now = Instant::now();
        if let Some((answer, asked)) = known
            && now.duration_since(*asked) < FRESH
        {
            return answer.clone();
        }
        let before = known.and_then(|(answer, _)| answer.clone());
        let found = self.files.ask((self.root.clone()?, question.clone())).flatten();
        let answer = found.map(Arc::new).or(before);
        if self.known.len() >= CAPACITY {
            self.known.clear(); // the processes that were met remember theirs
        }
        self.known.insert(question, (answer.clone(), now));
        answer
    }
}

/// Takes the supplementary groups from the calling thread, which is there for nothing but this: a user's files are read
/// with that user's rights, and root's groups are not among them.
fn drop_groups() {
    // The wrapper of the C library would change every thread.
    // SAFETY: no groups are passed, so no memory is read.
    unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;

    const ID: &str = "3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";

    #[test]
    fn an_answer_is_kept_for_a_while_and_outlives_its_file() {
        let scratch = Scratch::new("containers");
        let file = format!("var/lib/docker/containers/{ID}/config.v2.json");
        scratch.write(&file, r#"{"Name":"/old"}"#);
        let mut containers = Containers::below(Root::open(scratch.path()).map(Arc::new));
        let ask = |containers: &mut Containers| {
            containers.names(&format!("/docker/{ID}")).and_then(|names| names.name.clone())
        };
        // An old answer, as after FRESH; the clock of a machine that has just started may not go back so far.
        let age = |containers: &mut Containers| {
            let long_ago = Instant::now().checked_sub(FRESH).expect("the machine is older than that");
            containers.known.values_mut().for_each(|(_, asked)| *asked = long_ago);
        };
        assert_eq!(ask(&mut containers).as_deref(), Some("old"));
        scratch.write(&file, r#"{"Name":"/new"}"#);
        assert_eq!(ask(&mut containers).as_deref(), Some("old"), "not asked again at once");
        age(&mut containers);
        assert_eq!(ask(&mut containers).as_deref(), Some("new"));
        std::fs::remove_file(scratch.path().join(&file)).expect("it was there");
        age(&mut containers);
        assert_eq!(ask(&mut containers).as_deref(), Some("new"), "deleted, but not forgotten");
        assert_eq!(containers.names("/system.slice/a.service"), None);
        assert_eq!(containers.known.len(), 1, "what has no files is not remembered");
    }
}
