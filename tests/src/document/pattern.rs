//! Whether what was printed is what the page says. In the page `…` stands for anything within a line, also nothing, and
//! a line of only `…` for any lines, also none. Runs of spaces count as one: tables are laid out by their contents.

/// What stands for what varies.
const ANYTHING: &str = "…";

/// Why the text is not what was expected: the first expected line that was not found, and what was there.
pub(super) fn differs(expected: &str, text: &str) -> Option<String> {
    let [wanted, got] = [expected, text].map(|text| text.lines().map(squeeze).collect::<Vec<_>>());
    // For each beginning of `wanted`: after which numbers of lines of `got` it can end.
    let mut ends = vec![true];
    ends.resize(got.len() + 1, false);
    for line in &wanted {
        let next = if line.trim() == ANYTHING { any_lines(&ends) } else { one_line(line, &ends, &got) };
        if !next.contains(&true) {
            let at = ends.iter().position(|end| *end).unwrap_or_default();
            let there = got.get(at).map_or("the end", String::as_str);
            return Some(format!("expected: {line}\n     there: {there}"));
        }
        ends = next;
    }
    let rest = ends.iter().rposition(|end| *end).unwrap_or_default();
    got.get(rest).map(|line| format!("expected: the end\n     there: {line}"))
}

fn any_lines(ends: &[bool]) -> Vec<bool> {
    let mut reached = false;
    let after = |end: &bool| {
        reached |= *end;
        reached
    };
    ends.iter().map(after).collect()
}

fn one_line(pattern: &str, ends: &[bool], got: &[String]) -> Vec<bool> {
    let mut next = vec![false; ends.len()];
    for (at, line) in got.iter().enumerate() {
        next[at + 1] = ends[at] && matches(pattern, line);
    }
    next
}

fn matches(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once(ANYTHING) else { return pattern == line };
    let Some(mut left) = line.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split(ANYTHING).collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(tail)
}

fn squeeze(line: &str) -> String {
    let indent = if line.starts_with(' ') { " " } else { "" };
    let words: Vec<&str> = line.split_whitespace().collect();
    format!("{indent}{}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(expected: &str, text: &str) -> bool {
        differs(expected, text).is_none()
    }

    #[test]
    fn what_is_said_must_be_there_and_nothing_else() {
        assert!(fits("a\nb\n", "a\nb\n") && fits("", ""));
        assert!(fits("a   b\n", "a b  \n"), "spaces");
        assert!(!fits("a\n", "a\nb\n") && !fits("a\nb\n", "a\n") && !fits("a\n", "b\n") && !fits("", "a\n"));
        assert!(!fits("a\n", " a\n"), "an indent tells something");
    }

    #[test]
    fn dots_stand_for_anything_within_a_line() {
        assert!(fits("pid=…,fd=…\n", "pid=17,fd=3\n") && fits("a…\n", "a\n"));
        assert!(!fits("pid=…,fd=…!\n", "pid=17,fd=3\n") && !fits("a…b\n", "a\nb\n"));
        assert!(fits("a…a\n", "aa\n") && !fits("a…a\n", "a\n"));
        assert!(fits("…ab…b\n", "abbb\n") && !fits("…ab…b\n", "ab\n"));
    }

    #[test]
    fn a_line_of_dots_stands_for_any_lines() {
        assert!(fits("a\n…\nz\n", "a\nz\n") && fits("a\n…\nz\n", "a\nz\nb\nz\n") && fits("…\n", ""));
        assert!(!fits("a\n…\nz\n", "a\nb\n") && !fits("a\n…\nz\n", "z\n"));
        assert!(fits("a\n  …\n", "a\n  b\n  c\n"), "indented too");
    }

    #[test]
    fn the_first_difference_is_told() {
        let words = differs("a\nb\n", "a\nc\n").expect("they differ");
        assert!(words.contains("expected: b") && words.contains("there: c"), "{words}");
    }
}
