//! What a story needs of the store. A trait, so that what a target finds can be tried on made-up pasts.

use crate::model::Conflict;
use crate::store::{Query, Reader};

/// Conflicts of the past.
pub trait History {
    /// The conflict of an id.
    ///
    /// # Errors
    /// If the history could not be read.
    fn by_id(&self, id: &str) -> anyhow::Result<Option<Conflict>>;

    /// Those that fit, the newest first, no more than `most`.
    ///
    /// # Errors
    /// As above.
    fn newest(&self, query: &Query, most: usize) -> anyhow::Result<Vec<Conflict>>;

    /// How many fit, by the limit of the query at most.
    ///
    /// # Errors
    /// As above.
    fn count(&self, query: &Query) -> anyhow::Result<usize>;

    /// What may be missing in the answers so far, in sentences.
    fn gaps(&self) -> Vec<String> {
        Vec::new()
    }
}

impl History for Reader {
    fn by_id(&self, id: &str) -> anyhow::Result<Option<Conflict>> {
        Ok(Self::by_id(self, id)?)
    }

    fn newest(&self, query: &Query, most: usize) -> anyhow::Result<Vec<Conflict>> {
        let mut newest = Vec::with_capacity(most);
        self.each(query, |conflict| {
            newest.push(conflict);
            newest.len() < most
        })?;
        Ok(newest)
    }

    fn count(&self, query: &Query) -> anyhow::Result<usize> {
        Ok(usize::try_from(Self::count(self, query)?)?)
    }

    fn gaps(&self) -> Vec<String> {
        let unreadable = match self.unreadable() {
            0 => None,
            1 => Some("1 report could not be read back and was left out.".to_owned()),
            many => Some(format!("{many} reports could not be read back and were left out.")),
        };
        let notice = self.notice().map(|notice| format!("{}.", crate::text::printable(notice)));
        notice.into_iter().chain(unreadable).collect()
    }
}
