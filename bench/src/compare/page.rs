//! A comparison as one HTML file that needs nothing else: facts, plots, and every figure.

use std::fmt::Write as _;

use crate::compare::metric::Metric;
use crate::compare::outcome::{Figure, Report, RowOutcome, Verdict};
use crate::compare::plots;
use crate::compare::table::{QUEUE, interval, machine as floor_line, short, value, verdict};

/// What is drawn over all rows.
const FIGURES: [Metric; 4] =
    [Metric::BrokerCpuSPerGb, Metric::MegabytesPerSecond, Metric::P99Us, Metric::DeviceBytesPerByte];
const RATIOS: [Metric; 3] = [Metric::BrokerCpuSPerGb, Metric::MegabytesPerSecond, Metric::P99Us];
const STYLE: &str = "\
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 960px; padding: 0 1em; color: #222; background: #fff }
h2 { margin: 2em 0 .4em; border-bottom: 1px solid #ccc } h3 { margin: 1.6em 0 .2em }
svg { max-width: 100%; height: auto; margin: .5em 0 } .small { display: flex; flex-wrap: wrap; gap: 8px }
table { border-collapse: collapse; font-size: 14px; width: 100% }
td, th { text-align: right; padding: 2px 8px; border-bottom: 1px solid #eee } th { border-bottom: 1px solid #999 }
td:first-child, th:first-child, td:last-child, th:last-child { text-align: left }
.missed { color: #b00; font-weight: bold } .met { color: #070 } .shape { color: #555; font-size: 14px; margin: 0 0 .4em }
.dot { display: inline-block; width: .75em; height: .75em; border-radius: 50%; margin: 0 .3em 0 1em }
code { background: #f4f4f4; padding: 1px 4px }
";

/// The whole file.
pub(crate) fn page(report: &Report) -> anyhow::Result<String> {
    let [ours, theirs] = &report.sides;
    let title = escape(&format!("{ours} beside {theirs}: {}", report.matrix));
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n"
    );
    facts(&mut text, report);
    text.push_str("<h2>All rows</h2>\n<p>Medians of blocks, on logarithmic axes.");
    for (color, side) in plots::legend(&report.sides) {
        let _ = write!(text, "<span class=\"dot\" style=\"background:{color}\"></span>{}", escape(&side));
    }
    text.push_str("</p>\n");
    for metric in FIGURES {
        text.extend(plots::figures(report, metric)?);
    }
    text.push_str("<h2>Ratios</h2>\n<p>Medians of pairs, and their intervals. At 1 both sides are alike.</p>\n");
    for metric in RATIOS {
        text.extend(plots::ratios(report, metric)?);
    }
    text.push_str("<h2>Latencies</h2>\n<div class=\"small\">\n");
    for row in &report.rows {
        text.extend(plots::latencies(row, &report.sides)?);
    }
    text.push_str("</div>\n<h2>Figures</h2>\n");
    for row in &report.rows {
        figures(&mut text, row, &report.sides);
    }
    relations(&mut text, report);
    text.push_str("</body></html>\n");
    Ok(text)
}

fn facts(text: &mut String, report: &Report) {
    let Report { machine, command, commit, rounds, warm_up_records, .. } = report;
    let commit = commit.as_ref().map(|commit| format!("at {}", escape(commit))).unwrap_or_default();
    let _ = writeln!(
        text,
        "<p>{}</p>\n<p><code>{}</code> {commit}</p>\n<p>{rounds} rounds of four blocks, A B B A; each block has a broker of its own, \
         warmed up with {warm_up_records} records, on one core, and the load on another. D0 is acknowledged from memory, \
         D2 after the flush.</p>",
        escape(machine),
        escape(command)
    );
    let _ = writeln!(text, "<p>{}</p>", escape(&floor_line(&report.floor)));
    for same in &report.sameness {
        let (class, verdict) = (if same.verdict == Verdict::Failed { "missed" } else { "met" }, same.verdict.name());
        let _ = writeln!(
            text,
            "<p>The same side twice, {}: {} ({}) <span class=\"{class}\">{verdict}</span></p>",
            escape(same.metric.label()),
            short(same.ratio.median),
            interval(&same.ratio)
        );
    }
    let complaints = report.complaints();
    if !complaints.is_empty() {
        text.push_str("<ul>\n");
        for complaint in complaints {
            let _ = writeln!(text, "<li class=\"missed\">{}</li>", escape(&complaint));
        }
        text.push_str("</ul>\n");
    }
}

fn figures(text: &mut String, row: &RowOutcome, sides: &[String; 2]) {
    let _ = write!(
        text,
        "<h3>{} {}</h3>\n<p class=\"shape\">{}; {}</p>\n<table><tr><th></th><th>{}</th><th>{}</th><th>ratio</th><th>interval</th><th>target</th></tr>\n",
        escape(&row.name),
        row.durability,
        row.durability.meaning(),
        escape(&row.shape),
        escape(&sides[0]),
        escape(&sides[1])
    );
    if let Some(floor) = &row.floor {
        let steps: Vec<&str> = floor.steps.iter().map(|step| step.name()).collect();
        let shares = floor.shares.map(|share| share.map(|share| format!("{:.0}%", 100.0 * share)).unwrap_or_default());
        let _ = writeln!(
            text,
            "<tr><td>floor: {} s/GB ({}), share of the cost</td><td>{}</td><td>{}</td><td></td><td></td><td></td></tr>",
            short(floor.s_per_gb),
            steps.join(", "),
            shares[0],
            shares[1]
        );
    }
    for figure in &row.figures {
        let Figure { metric, ratio, target, .. } = figure;
        let [ours, theirs] = [0, 1].map(|side| value(row, figure, side).unwrap_or_default());
        let (middle, interval) = ratio.map(|ratio| (short(ratio.median), interval(&ratio))).unwrap_or_default();
        let class = target.map_or("", |target| if target.is_met { "met" } else { "missed" });
        let target = target.as_ref().map(verdict).unwrap_or_default();
        let _ = writeln!(
            text,
            "<tr><td>{}</td><td>{ours}</td><td>{theirs}</td><td>{middle}</td><td>{interval}</td><td class=\"{class}\">{}</td></tr>",
            escape(metric.label()),
            escape(&target)
        );
    }
    text.push_str("</table>\n");
    for queue in row.queues(sides) {
        let _ = writeln!(text, "<p class=\"shape\">{QUEUE} {}</p>", escape(&queue));
    }
}

fn relations(text: &mut String, report: &Report) {
    if report.relations.is_empty() {
        return;
    }
    let [ours, theirs] = report.sides.each_ref().map(|side| escape(side));
    let _ = writeln!(
        text,
        "<h3>Rows over rows</h3>\n<table><tr><th></th><th>{ours}</th><th>{theirs}</th><th>target</th></tr>"
    );
    for relation in &report.relations {
        let [ours, theirs] = relation.sides.map(|ratio| ratio.map(|ratio| short(ratio.median)).unwrap_or_default());
        let class = relation.target.map_or("", |target| if target.is_met { "met" } else { "missed" });
        let target = relation.target.as_ref().map(verdict).unwrap_or_default();
        let _ = writeln!(
            text,
            "<tr><td>{} {}</td><td>{ours}</td><td>{theirs}</td><td class=\"{class}\">{}</td></tr>",
            escape(&relation.name),
            relation.durability,
            escape(&target)
        );
    }
    text.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_plots_figures_and_complaints_and_needs_nothing_else() {
        let text = page(&crate::compare::outcome::tests::report()).expect("it can be drawn");
        assert!(text.matches("<svg").count() >= 6, "three figures, two ratios and two latencies at least");
        for part in ["&lt;kafka&gt;", "floor: 0.62 s/GB", "&lt;= 2.5 met", "&lt;= 1 MISSED", "many to one", "a machine"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("<kafka>") && !text.contains("<script") && !text.contains("<link"));
    }

    #[test]
    fn latencies_of_a_queue_are_marked() {
        let text = page(&crate::compare::outcome::tests::report_of_a_queue()).expect("it can be drawn");
        assert!(text.contains("<td>10.0</td><td>10.0*</td>"), "{text}");
        assert!(text.contains("<p class=\"shape\">* not kept up: &lt;kafka&gt; achieved 50% of the rate"), "{text}");
    }

    #[test]
    fn what_comes_from_outside_is_text() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
