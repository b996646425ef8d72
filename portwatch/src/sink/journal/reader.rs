//! The other end, for tests: takes records as journald does.

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::cell::Cell;
use std::fs::File;
use std::io::{IoSliceMut, Read as _, Seek as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A socket in a folder of its own.
pub(super) struct Reader {
    folder: PathBuf,
    path: PathBuf,
    socket: UnixDatagram,
    files: Cell<u32>,
}

impl Reader {
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("portwatch-journal-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the socket");
        let path = folder.join("socket");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        Self { folder, path, socket, files: Cell::new(0) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many records came as files.
    pub(super) fn files(&self) -> u32 {
        self.files.get()
    }

    /// The next record, as fields in their order.
    pub(super) fn record(&self) -> Vec<(String, Vec<u8>)> {
        let mut bytes = vec![0; 1 << 20];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let got = recvmsg(&self.socket, &mut into, &mut control, RecvFlags::empty()).expect("a record");
        let length = got.bytes;
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next().map(File::from),
            _ => None,
        });
        if let Some(mut file) = file {
            assert!(file.set_len(1).is_err(), "sealed");
            bytes.clear();
            file.rewind().expect("a memory file");
            file.read_to_end(&mut bytes).expect("a memory file");
            self.files.set(self.files.get() + 1);
            return decode(&bytes);
        }
        decode(&bytes[..length])
    }

    /// Whether nothing more has come.
    pub(super) fn is_empty(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a flag");
        let is_empty = self.socket.recv(&mut [0; 1]).is_err();
        self.socket.set_nonblocking(false).expect("a flag");
        is_empty
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn decode(mut bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line ends");
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let name = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("a name");
        if let Some(at) = line.iter().position(|byte| *byte == b'=') {
            fields.push((name(&line[..at]), line[at + 1..].to_vec()));
            bytes = rest;
        } else {
            let (length, rest) = rest.split_first_chunk().expect("a length");
            let length = usize::try_from(u64::from_le_bytes(*length)).expect("fits");
            fields.push((name(line), rest[..length].to_vec()));
            assert_eq!(rest[length], b'\n');
            bytes = &rest[length + 1..];
        }
    }
    fields
}
