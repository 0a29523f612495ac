//! Grafana's dashboards, made from short definitions. A definition has rows of panels, a panel has expressions; everything
//! that is the same for all panels stands here. `tuning/dashboards` holds the definitions and what is made of them.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;
/// The version of the format that is written: that of Grafana 10, which newer ones read.
const SCHEMA_VERSION: u32 = 38;
/// By this tag the dashboards find each other.
const TAG: &str = "ringlog";

/// What stands for the labels that a dashboard's variables choose. Longer ones come first.
const SELECTORS: &[(&str, &str)] = &[
    ("@request", r#"@, request=~"$api""#),
    ("@reader", r#"@group, topic=~"$topic""#),
    ("@shard", r#"@, shard=~"$shard""#),
    ("@topic", r#"@, topic=~"$topic""#),
    ("@group", r#"@, consumergroup=~"$group""#),
    ("@api", r#"@, api=~"$api""#),
    ("@", r#"job=~"$job", instance=~"$instance""#),
];

/// A dashboard as people write it.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Definition {
    uid: String,
    title: String,
    description: String,
    #[serde(default)]
    variables: Vec<Variable>,
    row: Vec<Row>,
}

/// What may be chosen besides the data source, the job and the broker.
#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "lowercase")]
enum Variable {
    Api,
    Group,
    Shard,
    Topic,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    #[serde(default = "Row::usual_height")]
    height: u32,
    panel: Vec<Panel>,
}

impl Row {
    const fn usual_height() -> u32 {
        8
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    description: String,
    #[serde(default)]
    kind: Kind,
    width: u32,
    #[serde(default = "Panel::no_unit")]
    unit: String,
    max: Option<f64>,
    #[serde(default)]
    stacked: bool,
    /// The colour below all thresholds.
    #[serde(default = "Panel::good")]
    base: String,
    #[serde(default)]
    thresholds: Vec<Threshold>,
    #[serde(default)]
    mapping: Vec<Mapping>,
    /// What a stat shows: its value, or the name of its series.
    #[serde(default = "Panel::value")]
    text: String,
    query: Vec<Query>,
}

impl Panel {
    fn no_unit() -> String {
        "none".to_owned()
    }

    fn good() -> String {
        "green".to_owned()
    }

    fn value() -> String {
        "auto".to_owned()
    }
}

/// How a panel looks.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    TimeSeries,
    Stat,
    Gauge,
    Table,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::TimeSeries => "timeseries",
            Self::Stat => "stat",
            Self::Gauge => "gauge",
            Self::Table => "table",
        }
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Threshold {
    from: f64,
    color: String,
}

/// Words in the place of a value.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Mapping {
    from: u32,
    to: u32,
    text: String,
    color: String,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    #[serde(default)]
    legend: String,
}

/// Makes the dashboard of a definition, as Grafana imports it. Fails where the definition is none, or a row is too wide.
pub fn dashboard(definition: &str) -> anyhow::Result<String> {
    let Definition { uid, title, description, variables, row } = toml::from_str(definition)?;
    let (mut panels, mut top) = (Vec::new(), 0);
    for row in row {
        panels.push(json!({
            "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
        }));
        top += 1;
        let mut left = 0;
        for panel in row.panel {
            anyhow::ensure!(panel.width <= COLUMNS, "{}: {} columns, of {COLUMNS}", panel.title, panel.width);
            if left + panel.width > COLUMNS {
                (left, top) = (0, top + row.height);
            }
            let place = json!({"h": row.height, "w": panel.width, "x": left, "y": top});
            left += panel.width;
            panels.push(panel_of(panels.len() + 1, &place, &panel).with_context(|| panel.title.clone())?);
        }
        top += row.height;
    }
    let dashboard = json!({
        "uid": uid, "title": title, "description": description, "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION, "version": 1, "id": null, "editable": true, "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"}, "refresh": "30s", "timezone": "browser",
        "links": [{
            "type": "dashboards", "title": "Ringlog", "tags": [TAG], "asDropdown": false, "icon": "external link",
            "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
        }],
        "annotations": {"list": []},
        "templating": {"list": templating(&variables)},
        "panels": panels,
    });
    Ok(format!("{dashboard:#}\n"))
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn templating(variables: &[Variable]) -> Vec<Value> {
    let mut list = vec![json!({
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0, "multi": false, "includeAll": false, "refresh": 1, "regex": "", "options": [],
    })];
    // All of those that are known, and not whatever else Prometheus scrapes.
    list.push(variable("job", "Job", "label_values(ringlog_build_info, job)", None));
    list.push(variable("instance", "Broker", "label_values(ringlog_build_info{job=~\"$job\"}, instance)", None));
    list.extend(variables.iter().map(|of| {
        let (name, label, query) = match of {
            Variable::Api => ("api", "API", "label_values(ringlog_request_bytes_total{@}, api)"),
            Variable::Group => ("group", "Group", "label_values(kafka_consumergroup_members{@}, consumergroup)"),
            Variable::Shard => ("shard", "Shard", "label_values(ringlog_shard_busy_seconds_total{@}, shard)"),
            Variable::Topic => ("topic", "Topic", "label_values(kafka_topic_partitions{@}, topic)"),
        };
        // A sum over all topics does not have the label.
        variable(name, label, &expression(query), Some(".+"))
    }));
    list
}

/// One of which any number may be chosen, all of them at first. `all` is what these are as an expression, where it is not
/// the list of them.
fn variable(name: &str, label: &str, query: &str, all: Option<&str>) -> Value {
    json!({
        "name": name, "label": label, "type": "query", "datasource": source(),
        "query": {"query": query, "refId": name}, "definition": query,
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "multi": true, "includeAll": true, "allValue": all, "refresh": 2, "sort": 1, "hide": 0, "regex": "", "options": [],
    })
}

/// With the labels that the variables choose.
fn expression(text: &str) -> String {
    SELECTORS.iter().fold(text.trim().to_owned(), |text, (short, long)| text.replace(short, long))
}

fn panel_of(id: usize, place: &Value, panel: &Panel) -> anyhow::Result<Value> {
    anyhow::ensure!(panel.query.len() <= 26, "more queries than letters");
    let is_table = panel.kind == Kind::Table;
    let letters = 'A'..='Z';
    let targets = panel.query.iter().zip(letters).map(|(query, letter)| {
        json!({
            "refId": letter.to_string(), "datasource": source(), "expr": expression(&query.expr),
            "legendFormat": query.legend, "editorMode": "code",
            "range": !is_table, "instant": is_table, "format": if is_table { "table" } else { "time_series" },
        })
    });
    let steps = panel.thresholds.iter().map(|step| json!({"value": step.from, "color": step.color}));
    let steps = [json!({"value": null, "color": panel.base})].into_iter().chain(steps);
    let mappings = panel.mapping.iter().map(|Mapping { from, to, text, color }| {
        json!({"type": "range", "options": {"from": from, "to": to, "result": {"text": text, "color": color}}})
    });
    let mut defaults = json!({
        "unit": panel.unit, "custom": custom(panel),
        "color": {"mode": if panel.kind == Kind::TimeSeries { "palette-classic" } else { "thresholds" }},
        "thresholds": {"mode": "absolute", "steps": steps.collect::<Vec<_>>()},
        "mappings": mappings.collect::<Vec<_>>(),
    });
    if let Some(max) = panel.max {
        (defaults["min"], defaults["max"]) = (json!(0), json!(max));
    }
    Ok(json!({
        "id": id, "type": panel.kind.name(), "title": panel.title, "description": panel.description,
        "datasource": source(), "gridPos": place, "targets": targets.collect::<Vec<_>>(),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options(panel), "transformations": transformations(panel),
    }))
}

fn custom(panel: &Panel) -> Value {
    let has_thresholds = !panel.thresholds.is_empty();
    match panel.kind {
        Kind::TimeSeries => json!({
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": if panel.stacked { 40 } else { 8 },
            "showPoints": "never", "spanNulls": false,
            "stacking": {"group": "A", "mode": if panel.stacked { "normal" } else { "none" }},
            "thresholdsStyle": {"mode": if has_thresholds { "line" } else { "off" }},
        }),
        Kind::Table => json!({"align": "auto", "filterable": true}),
        Kind::Stat | Kind::Gauge => json!({}),
    }
}

fn options(panel: &Panel) -> Value {
    let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
    match panel.kind {
        Kind::TimeSeries => json!({
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": true, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Stat => json!({
            "reduceOptions": last, "textMode": panel.text, "justifyMode": "auto", "orientation": "auto",
            "colorMode": if panel.thresholds.is_empty() && panel.mapping.is_empty() { "none" } else { "background" },
            "graphMode": "none",
        }),
        Kind::Gauge => json!({"reduceOptions": last, "showThresholdLabels": false, "showThresholdMarkers": true}),
        Kind::Table => json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false, "reducer": ["sum"]}}),
    }
}

/// A table has one line for each set of labels, and a column for each query, under the name of its legend.
fn transformations(panel: &Panel) -> Value {
    if panel.kind != Kind::Table {
        return json!([]);
    }
    let many = panel.query.len() > 1;
    let names = panel.query.iter().zip('A'..='Z').map(|(query, letter)| {
        let column = if many { format!("Value #{letter}") } else { "Value".to_owned() };
        (column, json!(query.legend))
    });
    let organize = json!({
        "id": "organize",
        "options": {"excludeByName": {"Time": true}, "renameByName": names.collect::<serde_json::Map<_, _>>()},
    });
    json!([{"id": "merge", "options": {}}, organize])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        uid = "u"
        title = "t"
        description = "d"
        variables = ["topic"]
        [[row]]
        title = "r"
        [[row.panel]]
        title = "p"
        description = "What it is."
        width = 16
        query = [{ expr = "sum(a{@topic}) + b{@}", legend = "{{x}}" }]
        [[row.panel]]
        title = "q"
        description = "What it is."
        kind = "table"
        width = 12
        query = [{ expr = "c", legend = "C" }, { expr = "d", legend = "D" }]
    "#;

    #[test]
    fn panels_get_places_and_expressions_their_labels() {
        let made: Value = serde_json::from_str(&dashboard(SMALL).expect("a definition")).expect("JSON");
        let panels = made["panels"].as_array().expect("panels");
        let places: Vec<_> = panels.iter().map(|panel| (&panel["gridPos"]["x"], &panel["gridPos"]["y"])).collect();
        assert_eq!(places, [(&json!(0), &json!(0)), (&json!(0), &json!(1)), (&json!(0), &json!(9))]);
        let of_broker = r#"job=~"$job", instance=~"$instance""#;
        let expected = format!(r#"sum(a{{{of_broker}, topic=~"$topic"}}) + b{{{of_broker}}}"#);
        assert_eq!(panels[1]["targets"][0]["expr"], expected);
        assert_eq!(panels[2]["transformations"][1]["options"]["renameByName"]["Value #B"], "D");
        let variables = made["templating"]["list"].as_array().expect("variables");
        let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
        assert_eq!(names, ["datasource", "job", "instance", "topic"]);
    }

    #[test]
    fn what_is_no_definition_is_refused() {
        for (from, to) in
            [("width = 16", "width = 25"), ("title = \"p\"", "titel = \"p\""), ("[\"topic\"]", "[\"tpic\"]")]
        {
            assert!(dashboard(&SMALL.replace(from, to)).is_err(), "{to}");
        }
    }
}
