//! The reader. A recording is somebody's file: any bytes give steps and then an error at an offset, never a panic, and
//! no more memory than the bounds of the format.

use super::exchange::Exchange;
use super::format::{HEAD, MAGIC, MAX_FRAME, MAX_GROUP, OPENING, TAIL, VERSION, checksum, kind};
use super::header::{End, Header};
use super::layout::LAYOUT;
use crate::decode::{RawEvent, decode};
use std::io::{self, Read};

/// What comes next in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An event, and the answers to all questions about it, in their order.
    Event(RawEvent, Vec<Exchange>),
    /// A look after repeats, on the boot clock in nanoseconds.
    Tick(u64),
    /// The end, in good order.
    End(End),
}

/// Why a recording cannot be read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Another kind of file.
    #[error("no recording: it does not begin as portwatch writes them")]
    NotARecording,
    /// Of another format.
    #[error(
        "of format {0}, and this portwatch reads format {VERSION}: take the version that recorded, or a later one"
    )]
    Format(u16),
    /// With records of another layout.
    #[error(
        "of portwatch {portwatch}, with records of layout {layout}, and this portwatch reads layout {LAYOUT}: take the \
         version that recorded"
    )]
    Layout {
        /// Of the records.
        layout: u16,
        /// That recorded.
        portwatch: String,
    },
    /// It stops before its end.
    #[error(
        "cut off at byte {0}: portwatch or the machine ended before the recording did, or its disk was full"
    )]
    CutOff(u64),
    /// The bytes are not those that were written.
    #[error("damaged at byte {offset}: {why}")]
    Damaged {
        /// Of the frame.
        offset: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("not readable from byte {offset} on: {error}")]
    Io {
        /// Where.
        offset: u64,
        /// What the system says.
        error: io::Error,
    },
}

/// Reads a recording step by step.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    /// Bytes read; also where the next frame begins.
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the opening and the header.
    ///
    /// # Errors
    /// If it is no recording, or none that this version can read.
    pub fn open(input: R) -> Result<(Self, Header), ReadError> {
        let mut reader = Self { input, offset: 0 };
        let opening = reader.bytes(OPENING)?;
        let Some(version) = opening.strip_prefix(&MAGIC).and_then(|rest| rest.first_chunk()) else {
            // An opening that was cut off is one all the same.
            let is_cut =
                opening.len() < OPENING && MAGIC.starts_with(&opening[..opening.len().min(MAGIC.len())]);
            let end = opening.len() as u64;
            return Err(if is_cut { ReadError::CutOff(end) } else { ReadError::NotARecording });
        };
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(ReadError::Format(version));
        }
        reader.offset = OPENING as u64;
        let offset = reader.offset;
        let (kind::HEADER, content) = reader.frame()? else {
            return Err(damaged(offset, "the first frame is not the header"));
        };
        // The layout alone first: another one may have another header.
        let brief: Brief = json(offset, &content)?;
        if brief.layout != LAYOUT {
            return Err(ReadError::Layout { layout: brief.layout, portwatch: brief.portwatch });
        }
        Ok((reader, json(offset, &content)?))
    }

    /// What comes next; nothing comes after the end or an error.
    ///
    /// # Errors
    /// Where the recording is cut off or damaged. All steps before are as they were recorded.
    pub fn step(&mut self) -> Result<Step, ReadError> {
        let (mut answers, mut size) = (Vec::new(), 0);
        loop {
            let offset = self.offset;
            let (kind, content) = self.frame()?;
            match kind {
                kind::ANSWER => {
                    size += content.len() + HEAD + TAIL;
                    if size > MAX_GROUP {
                        return Err(damaged(offset, "more answers to one event than there can be"));
                    }
                    answers.push(json(offset, &content)?);
                }
                kind::EVENT => {
                    let event = decode(&content).map_err(|error| damaged(offset, &error.to_string()))?;
                    return Ok(Step::Event(event, answers));
                }
                _ if !answers.is_empty() => return Err(damaged(offset, "answers without their event")),
                kind::TICK => {
                    let now = content.as_slice().try_into().map(u64::from_le_bytes);
                    return now
                        .map(Step::Tick)
                        .map_err(|_| damaged(offset, "a time without its eight bytes"));
                }
                kind::END => {
                    let end = json(offset, &content)?;
                    let after = self.offset;
                    if !self.bytes(1)?.is_empty() {
                        return Err(damaged(after, "something follows the end"));
                    }
                    return Ok(Step::End(end));
                }
                _ => return Err(damaged(offset, &format!("a frame of the unknown kind {kind:#04x}"))),
            }
        }
    }

    /// The next frame that is not to be passed over.
    fn frame(&mut self) -> Result<(u8, Vec<u8>), ReadError> {
        loop {
            let (kind, content) = self.any_frame()?;
            if kind < kind::OPTIONAL {
                return Ok((kind, content));
            }
        }
    }

    fn any_frame(&mut self) -> Result<(u8, Vec<u8>), ReadError> {
        let offset = self.offset;
        let head = self.bytes(HEAD)?;
        let cut = |missing: &Self, got: usize| ReadError::CutOff(missing.offset + got as u64);
        let &[kind, ref length @ ..] = head.as_slice() else { return Err(cut(self, 0)) };
        let Some(length) = length.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else {
            return Err(cut(self, head.len()));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(damaged(offset, &format!("a frame of {length} bytes, and {MAX_FRAME} is the most")));
        }
        let mut content = self.bytes(length + TAIL)?;
        if content.len() < length + TAIL {
            return Err(cut(self, HEAD + content.len()));
        }
        let sum = content.split_off(length);
        if sum != checksum(&[&head, &content]).to_le_bytes() {
            return Err(damaged(offset, "the checksum of the frame does not fit"));
        }
        self.offset += (HEAD + length + TAIL) as u64;
        Ok((kind, content))
    }

    /// So many bytes, fewer only at the end. Memory grows with what comes, not with what is announced.
    fn bytes(&mut self, count: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::new();
        match self.input.by_ref().take(count as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(ReadError::Io { offset: self.offset, error }),
        }
    }
}

/// As much of the header as every version has.
#[derive(serde::Deserialize)]
struct Brief {
    layout: u16,
    portwatch: String,
}

fn json<T: serde::de::DeserializeOwned>(offset: u64, content: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(content).map_err(|error| damaged(offset, &format!("its JSON: {error}")))
}

fn damaged(offset: u64, why: &str) -> ReadError {
    ReadError::Damaged { offset, why: why.to_owned() }
}
