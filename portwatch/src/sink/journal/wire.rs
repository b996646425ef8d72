//! journald's own protocol: a record is one datagram, or where that is too large, one sealed memory file.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// A journald that takes nothing for so long is told nothing: who sends must not hang with it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest name of a field that journald takes.
const LONGEST_NAME: usize = 64;

/// Sends a record to the socket at `path`.
pub(super) fn send(path: &Path, fields: &[(&str, &[u8])]) -> io::Result<()> {
    let record = encode(fields)?;
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    match socket.send_to(&record, path) {
        Ok(_) => Ok(()),
        Err(error) if is_too_large(&error) => send_file(&socket, path, &record),
        Err(error) => Err(error),
    }
}

/// Larger than a datagram may be, or than the socket's buffer.
fn is_too_large(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMSGSIZE | libc::ENOBUFS))
}

/// journald reads a file that is passed to it, if nobody can change that file any more.
fn send_file(socket: &UnixDatagram, path: &Path, record: &[u8]) -> io::Result<()> {
    let mut file =
        File::from(memfd_create("portwatch-record", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(record)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let files: [BorrowedFd<'_>; 1] = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for one file in the message"));
    }
    let to = SocketAddrUnix::new(path)?;
    sendmsg_addr(socket, &to, &[IoSlice::new(&[])], &mut control, SendFlags::empty())?;
    Ok(())
}

/// `NAME=value` and a newline; a value with a newline in it stands behind its length instead.
fn encode(fields: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut record = Vec::new();
    for (name, value) in fields {
        // journald would leave the field out without a word, or take the rest of the record for something else.
        if !is_name(name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("no name of a field: {name:?}")));
        }
        record.extend_from_slice(name.as_bytes());
        if value.contains(&b'\n') {
            record.push(b'\n');
            record.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            record.push(b'=');
        }
        record.extend_from_slice(value);
        record.push(b'\n');
    }
    Ok(record)
}

/// Names with `_` in front are journald's own.
fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::journal::reader::Reader;

    #[test]
    fn any_bytes_arrive_as_they_are() {
        let reader = Reader::new("bytes");
        let fields: [(&str, &[u8]); 4] =
            [("MESSAGE", b"plain=text"), ("A", b"two\nlines\n"), ("B", b"\0\xff\x1b"), ("A", b"")];
        send(reader.path(), &fields).unwrap();
        assert_eq!(reader.record(), fields.map(|(name, value)| (name.to_owned(), value.to_vec())));
    }

    #[test]
    fn what_is_too_large_for_a_datagram_goes_as_a_sealed_file() {
        let reader = Reader::new("large");
        let large = vec![b'x'; 8 << 20];
        send(reader.path(), &[("MESSAGE", b"small"), ("PORTWATCH_JSON", &large)]).unwrap();
        let record = reader.record();
        assert_eq!(record[0], ("MESSAGE".to_owned(), b"small".to_vec()));
        assert!(record[1].1 == large && record.len() == 2, "{} fields", record.len());
        assert_eq!(reader.files(), 1);
    }

    #[test]
    fn names_that_journald_would_not_take_are_an_error() {
        for name in ["", "_PID", "message", "A=B", "A\nB", "1A", &"A".repeat(65)] {
            let error = encode(&[(name, b"x")]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        assert!(encode(&[(&"A".repeat(64), b"x")]).is_ok());
    }

    #[test]
    fn without_a_journal_there_is_an_error() {
        let error = send(Path::new("/nowhere/socket"), &[("MESSAGE", b"x")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
