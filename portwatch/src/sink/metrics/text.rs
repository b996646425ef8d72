//! OpenMetrics → the older text format, which whoever does not ask for OpenMetrics gets. The two differ in how counters and
//! infos are announced, and in what only OpenMetrics has: units and an end.

/// Converts a whole exposition as prometheus-client writes it: HELP before TYPE, and no exemplars.
pub(super) fn from_openmetrics(exposition: &str) -> String {
    let mut out = String::with_capacity(exposition.len());
    let mut help = None;
    for line in exposition.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, text)| text);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some(help) = help.take() {
                push(&mut out, &["# HELP ", name, suffix, " ", help]);
            }
            push(&mut out, &["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            push(&mut out, &[line]);
        }
    }
    out
}

fn push(out: &mut String, parts: &[&str]) {
    out.extend(parts.iter().copied());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::from_openmetrics;

    #[test]
    fn what_only_openmetrics_has_is_gone_and_the_rest_is_announced_by_its_name() {
        let openmetrics = "# HELP a_run_seconds Time.\n# TYPE a_run_seconds counter\n# UNIT a_run_seconds seconds\n\
            a_run_seconds_total{p=\"# TYPE x counter\"} 1.5\n# HELP b Now.\n# TYPE b gauge\nb 3\n\
            # HELP c Which.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_run_seconds_total Time.\n# TYPE a_run_seconds_total counter\n\
            a_run_seconds_total{p=\"# TYPE x counter\"} 1.5\n# HELP b Now.\n# TYPE b gauge\nb 3\n\
            # HELP c_info Which.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(from_openmetrics(openmetrics), text);
    }
}
