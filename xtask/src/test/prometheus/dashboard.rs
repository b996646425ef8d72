//! Every query of the Grafana dashboard, as Prometheus understands it: with Grafana's variables replaced.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// A query, and the panel or variable that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) of: String,
    pub(super) text: String,
}

/// What Grafana puts in. The longer names come first: one may be the beginning of another.
const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "30s"), ("$__range", "10m"), ("$instance", ".*"), ("$job", ".*")];

/// Rows that must be there, each with something in it.
const ROWS: [&str; 4] =
    ["Conflicts by cause", "Ports in use against the range", "Listeners at risk", "portwatch itself"];

pub(super) fn queries(path: &Path) -> Result<Vec<Query>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let dashboard: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let queries = parse(&dashboard)?;
    Ok(queries)
}

fn parse(dashboard: &Value) -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    let (mut row, mut filled) = (String::new(), Vec::new());
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        if panel["type"] == "row" {
            row = title;
            continue;
        }
        let targets = list(&panel["targets"]);
        ensure!(!targets.is_empty(), "the panel {title:?} asks for nothing");
        filled.push(row.clone());
        for target in targets {
            let expr = target["expr"].as_str().with_context(|| format!("{title:?} has no expr"))?;
            queries.push(Query { of: title.clone(), text: replace(expr)? });
        }
    }
    for row in ROWS {
        ensure!(filled.iter().any(|one| one == row), "no panel in a row {row:?}");
    }
    for variable in list(&dashboard["templating"]["list"]).iter().filter(|one| one["type"] == "query") {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        let text = variable["query"]["query"].as_str().unwrap_or_default();
        let inner = text.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
        let Some((series, _)) = inner else { bail!("the variable {name} is no label_values(…): {text}") };
        queries.push(Query { of: name, text: replace(series)? });
    }
    Ok(queries)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn replace(query: &str) -> Result<String> {
    let text = VARIABLES.iter().fold(query.to_owned(), |text, (name, value)| text.replace(name, value));
    ensure!(!text.contains('$'), "a variable that Grafana does not know here: {query}");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project;

    #[test]
    fn the_dashboard_has_its_rows_and_every_query_is_of_this_job_and_instance() {
        let queries = queries(&project::root().join("contrib/grafana/portwatch.json")).expect("a dashboard");
        assert!(queries.len() > 20, "{}", queries.len());
        for query in queries.iter().filter(|query| query.of != "job") {
            assert!(query.text.contains("job=~\".*\""), "{query:?} mixes jobs");
        }
        assert!(queries.iter().any(|query| query.text == "portwatch_build_info"), "the list of jobs");
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        assert_eq!(
            replace("rate(a{b=~\"$job\"}[$__rate_interval])").expect("known"),
            "rate(a{b=~\".*\"}[30s])"
        );
        assert!(replace("a{b=~\"$host\"}").is_err());
    }
}
