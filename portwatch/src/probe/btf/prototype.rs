//! What the kernel's own type information says of a function: its result and its parameters, as C would write them.

use super::{
    ARRAY, Btf, CONST, DEPTH, ENUM, ENUM64, FUNC_PROTO, INT, PTR, RESTRICT, STRUCT, TYPE_TAG, TYPEDEF, UNION,
    VOLATILE, word,
};
use crate::probe::prototype::{Parameter, Prototype};

const FORWARD: u32 = 7;
const FLOAT: u32 = 16;
/// `typedef void (*btf_trace_NAME)(void *, …)`: how the kernel describes the arguments of a tracepoint.
const TRACEPOINT: &str = "btf_trace_";

impl Btf {
    /// The prototype of a function.
    #[must_use]
    pub fn prototype(&self, function: &str) -> Option<Prototype> {
        let (at, ..) = self.info(self.function(function)?)?;
        self.prototype_at(function, word(&self.data, at + 8)?)
    }

    /// The prototype of a tracepoint with typed arguments, without the first of them, which is the registrant's own.
    #[must_use]
    pub fn tracepoint(&self, name: &str) -> Option<Prototype> {
        let wanted = format!("{TRACEPOINT}{name}");
        let is_it = |id: &u32| {
            self.info(*id).is_some_and(|(_, kind, _)| kind == TYPEDEF) && self.is_named(*id, &wanted)
        };
        let id = (1..self.types.len() as u32).find(is_it)?;
        let (pointer, kind, _) = self.plain(id)?;
        let mut prototype =
            (kind == PTR).then(|| self.prototype_at(name, word(&self.data, pointer + 8)?)).flatten()?;
        if prototype.parameters.is_empty() {
            return None;
        }
        prototype.parameters.remove(0);
        Some(prototype)
    }

    fn text(&self, at: usize) -> String {
        String::from_utf8_lossy(self.name(at)).into_owned()
    }

    fn prototype_at(&self, name: &str, id: u32) -> Option<Prototype> {
        let (at, kind, info) = self.plain(id)?;
        if kind != FUNC_PROTO {
            return None;
        }
        let parameter = |number: usize| {
            let entry = at + 12 + number * 8;
            Some(Parameter { kind: self.type_name(word(&self.data, entry + 4)?, 0)?, name: self.text(entry) })
        };
        Some(Prototype {
            result: self.type_name(word(&self.data, at + 8)?, 0)?,
            name: name.to_owned(),
            parameters: (0..(info & 0xffff) as usize).map(parameter).collect::<Option<_>>()?,
        })
    }

    /// As C would write it; functions and arrays behind pointers are only hinted at, since no hooked function takes any.
    fn type_name(&self, id: u32, depth: u32) -> Option<String> {
        if id == 0 {
            return Some("void".to_owned());
        }
        if depth > DEPTH {
            return None;
        }
        let (at, kind, info) = self.info(id)?;
        let name = self.text(at);
        let inner = || self.type_name(word(&self.data, at + 8)?, depth + 1);
        Some(match kind {
            INT => plain_c(&name).to_owned(),
            TYPEDEF | FLOAT => name,
            STRUCT => format!("struct {name}"),
            UNION => format!("union {name}"),
            ENUM | ENUM64 => format!("enum {name}"),
            FORWARD if info >> 31 == 1 => format!("union {name}"),
            FORWARD => format!("struct {name}"),
            PTR => {
                let to = inner()?;
                format!("{to}{}*", if to.ends_with('*') { "" } else { " " })
            }
            CONST => qualified("const", &inner()?),
            VOLATILE => qualified("volatile", &inner()?),
            RESTRICT | TYPE_TAG => inner()?,
            ARRAY => format!("{} []", self.type_name(word(&self.data, at + 12)?, depth + 1)?),
            FUNC_PROTO => "(function)".to_owned(),
            _ => return None,
        })
    }
}

/// A qualifier of a pointer stands behind the star.
fn qualified(word: &str, what: &str) -> String {
    if what.ends_with('*') { format!("{what}{word}") } else { format!("{word} {what}") }
}

/// Compilers write the longest form of an integer's name; the kernel's source writes the shortest.
fn plain_c(name: &str) -> &str {
    match name {
        "short unsigned int" => "unsigned short",
        "short int" => "short",
        "long unsigned int" => "unsigned long",
        "long int" => "long",
        "long long unsigned int" => "unsigned long long",
        "long long int" => "long long",
        other => other,
    }
}
