//! A reader for the kernel's own type information: where a field lies, whether a function or an enumerator exists.
//!
//! Reads the bytes of `/sys/kernel/btf/vmlinux`, trusts none of them, and does no I/O itself.

mod prototype;

use std::fmt;

use portwatch_common::offsets::{ABSENT, Field, Unit};

/// Why bytes are not BTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BtfError {
    /// Shorter than its own header says.
    #[error("BTF data is cut short at byte {0}")]
    Truncated(usize),
    /// Not BTF, or of the other byte order.
    #[error("not BTF data: the magic number is {0:#06x}")]
    Magic(u16),
    /// A kind of type that this reader does not know the size of.
    #[error("BTF type {id} is of unknown kind {kind}")]
    Kind {
        /// Number of the type.
        id: u32,
        /// Its kind.
        kind: u32,
    },
}

/// Parsed BTF: an index over the bytes.
pub struct Btf {
    data: Vec<u8>,
    /// Start of every type by id; id 0 is `void`.
    types: Vec<usize>,
    strings: usize,
    structs: Names,
    functions: Names,
}

/// Types of one kind by the hash of their name, sorted. The names themselves are where they are: a kernel has sixty thousand
/// functions, of which some thirty are asked for.
type Names = Vec<(u64, u32)>;

impl fmt::Debug for Btf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf").field("types", &self.types.len()).finish_non_exhaustive()
    }
}

/// A member found on the way down a path.
struct Member {
    type_id: u32,
    /// From the start of the outermost struct.
    bit: u32,
}

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const INT: u32 = 1;
const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const FUNC: u32 = 12;
const FUNC_PROTO: u32 = 13;
const VAR: u32 = 14;
const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;
const TYPE_TAG: u32 = 18;
const ENUM64: u32 = 19;
/// Deeper nesting than any kernel struct has: stops a loop in hostile data.
const DEPTH: u32 = 16;

impl Btf {
    /// Indexes `data`.
    ///
    /// # Errors
    /// When the bytes are not well-formed BTF of this machine's byte order.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let magic = u16::from_ne_bytes([
            *data.first().ok_or(BtfError::Truncated(0))?,
            *data.get(1).ok_or(BtfError::Truncated(1))?,
        ]);
        if magic != MAGIC {
            return Err(BtfError::Magic(magic));
        }
        let word = |at: usize| word(&data, at).ok_or(BtfError::Truncated(at));
        let header = word(4)? as usize;
        let base = if header < HEADER { HEADER } else { header };
        let start = base.saturating_add(word(8)? as usize);
        let end = start.saturating_add(word(12)? as usize).min(data.len());
        let strings = base.saturating_add(word(16)? as usize);
        let mut btf = Self { data, types: vec![0], strings, structs: Names::new(), functions: Names::new() };
        btf.index(start, end)?;
        Ok(btf)
    }

    fn index(&mut self, start: usize, end: usize) -> Result<(), BtfError> {
        let mut at = start;
        while at < end {
            let id = self.types.len() as u32;
            let info = word(&self.data, at + 4).ok_or(BtfError::Truncated(at))?;
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            self.types.push(at);
            match kind {
                STRUCT => self.structs.push((hash(self.name(at)), id)),
                FUNC => self.functions.push((hash(self.name(at)), id)),
                _ => {}
            }
            at += 12
                + match kind {
                    INT | VAR | DECL_TAG => 4,
                    ARRAY => 12,
                    STRUCT | UNION | DATASEC | ENUM64 => 12 * count,
                    ENUM | FUNC_PROTO => 8 * count,
                    PTR | 7..=FUNC | 16 | TYPE_TAG => 0,
                    _ => return Err(BtfError::Kind { id, kind }),
                };
        }
        self.structs.sort_unstable();
        self.functions.sort_unstable();
        Ok(())
    }

    /// The string whose offset stands at `at`; empty for anonymous types and broken offsets.
    fn name(&self, at: usize) -> &[u8] {
        let offset = word(&self.data, at).unwrap_or(0) as usize;
        let tail = self.data.get(self.strings.saturating_add(offset)..).unwrap_or_default();
        let length = tail.iter().position(|byte| *byte == 0).unwrap_or(0);
        &tail[..length]
    }

    /// The types of that name, in the order of the kernel's list.
    fn named<'a>(&'a self, names: &'a Names, name: &'a str) -> impl Iterator<Item = u32> {
        let wanted = hash(name.as_bytes());
        let start = names.partition_point(|(hash, _)| *hash < wanted);
        let same = names[start..].iter().take_while(move |(hash, _)| *hash == wanted);
        same.map(|(_, id)| *id).filter(move |id| self.is_named(*id, name))
    }

    fn is_named(&self, id: u32, name: &str) -> bool {
        self.types.get(id as usize).is_some_and(|at| self.name(*at) == name.as_bytes())
    }

    fn function(&self, name: &str) -> Option<u32> {
        self.named(&self.functions, name).last()
    }

    /// Whether the kernel has a function of that name with type information, which fentry and fexit need.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.function(name).is_some()
    }

    /// Whether any enumeration has that name: BPF helpers are listed as `BPF_FUNC_…`.
    #[must_use]
    pub fn has_enumerator(&self, name: &str) -> bool {
        // Asked seldom: there are more of them than of anything else that has a name.
        (1..self.types.len() as u32).filter_map(|id| self.info(id)).any(|(at, kind, info)| {
            let mut entries = (0..(info & 0xffff) as usize).map(|entry| at + 12 + entry * 8);
            kind == ENUM && entries.any(|entry| self.name(entry) == name.as_bytes())
        })
    }

    /// Number of parameters of a function.
    #[must_use]
    pub fn parameters(&self, function: &str) -> Option<u32> {
        let at = *self.types.get(self.function(function)? as usize)?;
        let prototype = *self.types.get(word(&self.data, at + 8)? as usize)?;
        Some(word(&self.data, prototype + 4)? & 0xffff)
    }

    /// Looks a field up; [`ABSENT`] when the kernel does not have it.
    #[must_use]
    pub fn resolve(&self, field: &Field) -> u32 {
        let mut path = field.path.split('.');
        let outer = path.next().and_then(|name| self.named(&self.structs, name).next());
        let Some(outer) = outer else { return ABSENT };
        let mut here = Member { type_id: outer, bit: 0 };
        for name in path {
            match self.member(here.type_id, name, 0) {
                Some(found) => {
                    here = Member { type_id: found.type_id, bit: here.bit.wrapping_add(found.bit) }
                }
                None => return ABSENT,
            }
        }
        match field.unit {
            Unit::Byte => here.bit / 8,
            Unit::Bit => here.bit,
            Unit::Size => self.size(here.type_id, 0).unwrap_or(ABSENT),
        }
    }

    fn info(&self, id: u32) -> Option<(usize, u32, u32)> {
        let at = *self.types.get(id as usize).filter(|_| id != 0)?;
        let info = word(&self.data, at + 4)?;
        Some((at, info >> 24 & 0x1f, info))
    }

    /// Follows typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<(usize, u32, u32)> {
        for _ in 0..DEPTH {
            let (at, kind, info) = self.info(id)?;
            match kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = word(&self.data, at + 8)?,
                _ => return Some((at, kind, info)),
            }
        }
        None
    }

    /// Finds `name` in a struct or union; anonymous members are looked through.
    fn member(&self, id: u32, name: &str, depth: u32) -> Option<Member> {
        let (at, kind, info) = self.plain(id)?;
        if depth > DEPTH || (kind != STRUCT && kind != UNION) {
            return None;
        }
        for entry in 0..(info & 0xffff) as usize {
            let member = at + 12 + entry * 12;
            let type_id = word(&self.data, member + 4)?;
            let offset = word(&self.data, member + 8)?;
            // Bit field structs keep the width in the upper byte.
            let bit = if info >> 31 == 1 { offset & 0xff_ffff } else { offset };
            let own = self.name(member);
            if own == name.as_bytes() {
                return Some(Member { type_id, bit });
            }
            if own.is_empty()
                && let Some(inner) = self.member(type_id, name, depth + 1)
            {
                return Some(Member { type_id: inner.type_id, bit: bit.wrapping_add(inner.bit) });
            }
        }
        None
    }

    fn size(&self, id: u32, depth: u32) -> Option<u32> {
        let (at, kind, _) = self.plain(id)?;
        match kind {
            PTR => Some(8),
            ARRAY if depth < DEPTH => {
                let element = self.size(word(&self.data, at + 12)?, depth + 1)?;
                element.checked_mul(word(&self.data, at + 20)?)
            }
            INT | STRUCT | UNION | ENUM | ENUM64 => word(&self.data, at + 8),
            _ => None,
        }
    }
}

/// FNV-1a: names are short, and the kernel's own.
fn hash(name: &[u8]) -> u64 {
    name.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}
