//! portwatch's own file in `/etc/sysctl.d`: read, and put in place as a whole.

use super::own_file::OwnFile;
use super::sysctl::OWN_NAME;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

/// Not a name that anybody reads at boot. One name: a portwatch that was killed leaves one file at most, which the next
/// one removes.
const NEW_NAME: &str = ".60-portwatch.conf.new";
const MODE: u32 = 0o644;

/// The file as it is now.
#[derive(Debug)]
pub(super) struct BootFile {
    pub(super) path: PathBuf,
    /// A character a byte, so that what is not UTF-8 comes back as it was; `None` if there is no file.
    pub(super) text: Option<String>,
    pub(super) parsed: OwnFile,
}

impl BootFile {
    /// Reads it. Text for a person if it is not a plain file, or not as portwatch wrote it.
    pub(super) fn read(root: &Path) -> Result<Self, String> {
        let path = root.join("etc/sysctl.d").join(OWN_NAME);
        let text = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let parsed = OwnFile::parse(text.as_deref().unwrap_or_default()).map_err(|error| {
            format!("{}, {error}; mend the line or remove it: portwatch changes no file that it does not understand", path.display())
        })?;
        Ok(Self { path, text, parsed })
    }

    /// Makes it this text, or removes it. Whoever reads it meanwhile sees the old one or the new one.
    pub(super) fn put(&self, text: Option<&str>) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match text {
            Some(text) => self.replace(folder, text)?,
            None if self.text.is_some() => fs::remove_file(&self.path)?,
            None => return Ok(()),
        }
        File::open(folder)?.sync_all()
    }

    fn replace(&self, folder: &Path, text: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let new = folder.join(NEW_NAME);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.write_new(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }

    fn write_new(&self, new: &Path, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(new)?;
        let mode = match self.path.symlink_metadata() {
            Ok(old) => {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
                old.mode() & 0o7777
            }
            Err(error) if error.kind() == ErrorKind::NotFound => MODE,
            Err(error) => return Err(error),
        };
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(&as_bytes(text))?;
        file.sync_all()
    }
}

/// The bytes that the characters stand for.
fn as_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

/// Text as the file has it, for a person.
pub(super) fn shown(line: &str) -> String {
    String::from_utf8_lossy(&as_bytes(line)).into_owned()
}

fn read(path: &Path) -> io::Result<Option<String>> {
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if found.is_symlink() {
        let to = fs::read_link(path)?;
        let why = format!(
            "it is a link to {}, and portwatch writes through no link; remove the link, or put the ports there yourself",
            to.display()
        );
        return Err(io::Error::other(why));
    }
    if !found.is_file() {
        return Err(io::Error::other("it is no plain file; remove it"));
    }
    let mut bytes = Vec::new();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW).open(path)?.read_to_end(&mut bytes)?;
    Ok(Some(bytes.into_iter().map(char::from).collect()))
}

/// The lines that differ, as `-old` and `+new`: what is the same at both ends is left out. Pure.
pub(super) fn difference(old: Option<&str>, new: Option<&str>) -> Vec<String> {
    let lines = |text: Option<&str>| text.unwrap_or_default().lines().map(shown).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let gone = old[head..old.len() - tail].iter().map(|line| format!("-{line}"));
    gone.chain(new[head..new.len() - tail].iter().map(|line| format!("+{line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;
    use std::os::unix::fs::symlink;

    fn place(name: &str) -> (Scratch, PathBuf) {
        let scratch = Scratch::new(name);
        scratch.write("etc/sysctl.d/README", "x\n");
        let path = scratch.path().join("etc/sysctl.d").join(OWN_NAME);
        (scratch, path)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_with_its_mode_and_bytes() {
        let (scratch, path) = place("reserve-file");
        fs::write(&path, b"# caf\xe9\n").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
        fs::write(path.with_file_name(NEW_NAME), "left by one that was killed").expect("written");
        let file = BootFile::read(scratch.path()).expect("a file");
        let text = format!("{}# more\n", file.text.clone().expect("text"));
        file.put(Some(&text)).expect("put");
        assert_eq!(fs::read(&path).expect("read"), b"# caf\xe9\n# more\n");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o640);
        assert!(!path.with_file_name(NEW_NAME).exists());
        BootFile::read(scratch.path()).expect("a file").put(None).expect("removed");
        assert!(!path.exists());
        BootFile::read(scratch.path()).expect("none").put(Some("a\n")).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o644);
    }

    #[test]
    fn links_and_other_things_are_refused_with_a_reason() {
        let (scratch, path) = place("reserve-link");
        symlink("/dev/null", &path).expect("linked");
        let error = BootFile::read(scratch.path()).expect_err("a link");
        assert!(error.contains("link to /dev/null"), "{error}");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("made");
        assert!(BootFile::read(scratch.path()).expect_err("a folder").contains("no plain file"));
    }

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(difference(Some("a\nb\nc\n"), Some("a\nx\ny\nc\n")), ["-b", "+x", "+y"]);
        assert_eq!(difference(None, Some("a\n")), ["+a"]);
        assert_eq!(difference(Some("a\n"), None), ["-a"]);
        assert_eq!(difference(Some("a\n"), Some("a\n")), [""; 0]);
    }
}
