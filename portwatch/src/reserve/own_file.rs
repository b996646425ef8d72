//! The text of portwatch's own file for boot: read, and written anew with other ports. Pure.
//!
//! Three comment lines before the setting remember what a plain list cannot: which ports were asked for, which were carried
//! over from files that are read earlier, and which line was found in the setting's place.

use super::set::{both, minus, plus};
use super::sysctl;
use crate::ports::PortList;
use std::path::Path;

const ASKED: &str = "# portwatch reserve: ";
const CARRIED: &str = "# portwatch carries over from files that are read earlier: ";
const FOUND: &str = "# portwatch found here: ";
const KEY: &str = "net.ipv4.ip_local_reserved_ports";

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnFile {
    /// Ports that `portwatch reserve --persist` was asked for.
    pub(super) asked: PortList,
    /// Ports that stand in it only because it replaces what earlier files set.
    carried: PortList,
    /// Ports that somebody else wrote into it.
    pub(super) foreign: PortList,
    found: Option<String>,
    /// Lines before the setting, and after: neither ours nor changed.
    before: Vec<String>,
    after: Vec<String>,
}

impl OwnFile {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Which line is not as portwatch wrote it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut file = Self::default();
        let mut lines: Vec<_> = text.split('\n').collect();
        if lines.last() == Some(&"") {
            lines.pop();
        }
        let settings = sysctl::settings(Path::new(""), text);
        let ours = settings.iter().rev().find(|setting| !setting.pattern).map(|setting| setting.line - 1);
        let (mut value, mut is_ours, mut line_of_setting) = (PortList::default(), false, None);
        for (index, line) in lines.iter().enumerate() {
            let list =
                |text: &str| PortList::parse(text).map_err(|error| format!("line {}: {error}", index + 1));
            if let Some(text) = line.strip_prefix(ASKED) {
                file.asked = list(text)?;
                is_ours = true;
            } else if let Some(text) = line.strip_prefix(CARRIED) {
                file.carried = list(text)?;
            } else if let Some(text) = line.strip_prefix(FOUND) {
                file.found = Some(text.to_owned());
            } else if Some(index) == ours {
                value = list(line.split_once('=').map_or("", |(_, value)| value))?;
                line_of_setting = Some((*line).to_owned());
            } else if ours.is_some_and(|ours| index > ours) {
                file.after.push((*line).to_owned());
            } else {
                file.before.push((*line).to_owned());
            }
        }
        file.found = file.found.or(line_of_setting.filter(|_| !is_ours));
        let found = file.found.as_deref().and_then(value_of).unwrap_or_default();
        file.foreign = plus(&minus(&value, &plus(&file.asked, &file.carried)), &both(&found, &value));
        Ok(file)
    }

    /// Every port that the file sets.
    pub(super) fn value(&self) -> PortList {
        plus(&plus(&self.asked, &self.carried), &self.foreign)
    }

    /// The same file for other ports; `carried` are those that earlier files set.
    pub(super) fn with(&self, asked: PortList, carried: &PortList) -> Self {
        let others = plus(&asked, &self.foreign);
        Self { asked, carried: minus(carried, &others), ..self.clone() }
    }

    /// The same without ports of others.
    pub(super) fn without_foreign(&self, ports: &PortList) -> Self {
        Self { foreign: minus(&self.foreign, ports), ..self.clone() }
    }

    /// Its text; `None` if nothing is left to say, and the file is to go.
    pub(super) fn text(&self) -> Option<String> {
        let mut lines = self.before.clone();
        lines.extend(self.block());
        lines.extend(self.after.iter().cloned());
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        (!text.trim().is_empty()).then_some(text)
    }

    fn block(&self) -> Vec<String> {
        let found_value = self.found.as_deref().and_then(value_of);
        if self.asked.ranges().is_empty() {
            // As it was before portwatch came, to the letter where nobody changed it since.
            return match &self.found {
                Some(line) if found_value.as_ref() == Some(&self.foreign) => vec![line.clone()],
                _ if self.foreign.ranges().is_empty() => Vec::new(),
                _ => vec![format!("{KEY} = {}", self.foreign)],
            };
        }
        let mut block = vec![format!("{ASKED}{}", self.asked)];
        if !self.carried.ranges().is_empty() {
            block.push(format!("{CARRIED}{}", self.carried));
        }
        block.extend(self.found.iter().map(|line| format!("{FOUND}{line}")));
        block.push(format!("{KEY} = {}", self.value()));
        block
    }
}

fn value_of(line: &str) -> Option<PortList> {
    PortList::parse(line.split_once('=')?.1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> PortList {
        PortList::parse(text).expect("a list")
    }

    fn changed(text: &str, asked: &str, carried: &str) -> Option<String> {
        OwnFile::parse(text).expect("a file").with(list(asked), &list(carried)).text()
    }

    #[test]
    fn a_new_file_says_whose_the_ports_are() {
        let text = changed("", "50010,50020", "8080").expect("a text");
        assert_eq!(
            text,
            "# portwatch reserve: 50010,50020\n\
             # portwatch carries over from files that are read earlier: 8080\n\
             net.ipv4.ip_local_reserved_ports = 8080,50010,50020\n"
        );
        let again = OwnFile::parse(&text).expect("our own");
        assert_eq!(
            (again.asked.to_string(), again.foreign.to_string()),
            ("50010,50020".into(), String::new())
        );
        assert_eq!(again.with(list(""), &list("8080")).text(), None, "nothing is left");
    }

    #[test]
    fn whatever_was_there_is_there_again_afterwards() {
        for text in [
            "# ours\nvm.swappiness = 1\n",
            "# ours\n\n-net/ipv4/ip_local_reserved_ports=9010, 8080 \nvm.swappiness = 1\n; end\n",
            "net.ipv4.ip_local_reserved_ports = 50010\n",
            "net.ipv4.ip_local_reserved_ports = 1\nnet.ipv4.ip_local_reserved_ports = 2\n",
            "net.ipv4.ip_local_reserved_ports =\n",
            "# caf\u{e9}\n",
        ] {
            let with = changed(text, "50010", "7").expect("a text");
            assert!(with.contains("\n# portwatch carries") && with.contains("50010"), "{with}");
            let more = changed(&with, "50010,50011", "7").expect("a text");
            assert!(!more.contains("found here: #"), "{more}");
            assert_eq!(changed(&more, "", "7").as_deref(), Some(text));
        }
    }

    #[test]
    fn ports_that_a_person_added_to_our_line_stay() {
        let ours = changed("", "50010", "").expect("a text");
        let edited = ours.replace("= 50010", "= 50010,7777");
        assert_eq!(OwnFile::parse(&edited).expect("a file").foreign.to_string(), "7777");
        let text = changed(&edited, "", "").expect("a text");
        assert_eq!(text, "net.ipv4.ip_local_reserved_ports = 7777\n");
    }

    #[test]
    fn ports_that_no_earlier_file_sets_any_more_go() {
        let ours = changed("", "50010", "8080").expect("a text");
        assert_eq!(
            changed(&ours, "50010", "").as_deref(),
            Some("# portwatch reserve: 50010\nnet.ipv4.ip_local_reserved_ports = 50010\n")
        );
    }

    #[test]
    fn a_line_that_is_no_list_is_named() {
        for text in ["# portwatch reserve: x\n", "\nnet.ipv4.ip_local_reserved_ports = x\n"] {
            let error = OwnFile::parse(text).expect_err(text);
            assert!(error.starts_with("line ") && error.contains("`x`"), "{error}");
        }
    }
}
