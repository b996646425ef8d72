//! The `Accept` header → the format of the exposition.

use crate::sink::metrics::Format;

/// Thousandths: what a weight is counted in.
const FULL: u32 = 1_000;

/// How well a format fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fit {
    /// 0: neither type nor subtype is named, 1: the type is, 2: both are, 3: with the version. The most exact counts.
    exactness: u32,
    weight: u32,
}

/// OpenMetrics for who prefers it or names it and likes both as well; else the text format, also for those who asked for
/// neither: to a person with a browser it is of more use than a refusal.
pub(super) fn format<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
    let (mut openmetrics, mut text) = (Fit::default(), Fit::default());
    for range in accept.flat_map(|header| header.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut version, mut weight) = (None, Some(FULL));
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value.trim().trim_matches('"')),
                "q" => weight = parse_weight(value.trim()),
                _ => {}
            }
        }
        // A range whose weight is no number says nothing.
        let Some(weight) = weight else { continue };
        openmetrics.consider(
            &media,
            version,
            weight,
            ["application/openmetrics-text", "application/*", "1.0.0"],
        );
        text.consider(&media, version, weight, ["text/plain", "text/*", "0.0.4"]);
    }
    let is_named = openmetrics.exactness >= 2;
    let is_better = openmetrics.weight > text.weight;
    let is_as_good = openmetrics.weight == text.weight && openmetrics.weight > 0;
    if is_better || (is_as_good && is_named) { Format::OpenMetrics } else { Format::Text }
}

impl Fit {
    fn consider(&mut self, media: &str, version: Option<&str>, weight: u32, [full, group, ours]: [&str; 3]) {
        let exactness = match version {
            Some(version) if media == full && version == ours => 3,
            Some(_) if media == full => return,
            None if media == full => 2,
            _ if media == group => 1,
            _ if media == "*/*" => 0,
            _ => return,
        };
        if exactness > self.exactness || (exactness == self.exactness && weight > self.weight) {
            *self = Self { exactness, weight };
        }
    }
}

fn parse_weight(text: &str) -> Option<u32> {
    let weight: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&weight).then_some((weight * f64::from(FULL)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(accept: &str) -> Format {
        format(std::iter::once(accept))
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        for accept in [
            // Prometheus 2.42, and 2.53 with more to say.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
            "application/openmetrics-text",
            "Application/OpenMetrics-Text ; Version=\"1.0.0\"",
            "text/plain, application/openmetrics-text",
            "text/plain;q=0.2, application/*",
        ] {
            assert_eq!(of(accept), Format::OpenMetrics, "{accept}");
        }
        let two = ["text/plain;q=0.5", "application/openmetrics-text"];
        assert_eq!(format(two.into_iter()), Format::OpenMetrics, "two headers are one list");
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            "",
            "*/*",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0, */*;q=0.1",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0.3, text/plain;q=0.4",
            "application/openmetrics-text;q=many",
            "application/openmetrics-text;q=7",
            "image/png",
        ] {
            assert_eq!(of(accept), Format::Text, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn any_header_has_an_answer(accept in "\\PC{0,80}", parts in "[a-z/;=,q.0-9* \"]{0,80}") {
            let _ = (of(&accept), of(&parts));
        }
    }
}
