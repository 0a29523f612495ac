//! Plots of a comparison, as SVG: what each side takes or reaches in each row, the ratios, and latencies by quantile.

use anyhow::{Context as _, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::compare::metric::Metric;
use crate::compare::outcome::{Report, RowOutcome};
use crate::compare::table::short;

/// Of the two sides; they differ in lightness too.
const COLORS: [RGBColor; 2] = [RGBColor(0, 104, 139), RGBColor(230, 120, 30)];
const WIDTH: u32 = 920;
/// For the names of rows.
const NAMES_WIDTH: u32 = 250;
const ROW_HEIGHT: u32 = 24;
/// Of title, axis and its numbers.
const FRAME_HEIGHT: u32 = 88;
/// Left of the smallest power of ten, for the number beside a mark.
const ROOM: f64 = 2.5;
const SMALL: (u32, u32) = (450, 270);
const FONT: &str = "sans-serif";
const QUANTILES: [(Metric, &str); 5] = [
    (Metric::P50Us, "p50"),
    (Metric::P90Us, "p90"),
    (Metric::P99Us, "p99"),
    (Metric::P999Us, "p99.9"),
    (Metric::P9999Us, "p99.99"),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A row of a plot: its name, and where each mark is. A mark has a color, a middle and an interval.
struct Line {
    name: String,
    marks: Vec<Mark>,
}

struct Mark {
    color: RGBColor,
    middle: f64,
    interval: Option<(f64, f64)>,
}

/// A figure of both sides in each row that has it; `None` if none has.
pub(crate) fn figures(report: &Report, metric: Metric) -> anyhow::Result<Option<String>> {
    let lines = report.rows.iter().filter_map(|row| {
        let figure = row.figure(metric)?;
        let marks = figure.sides.iter().zip(COLORS).filter_map(|(value, color)| {
            let middle = value.filter(|value| *value > 0.0)?;
            Some(Mark { color, middle, interval: None })
        });
        Some(Line { name: name(row), marks: marks.collect() })
    });
    lines_plot(metric.label(), &lines.filter(|line| !line.marks.is_empty()).collect::<Vec<_>>(), None)
}

/// The ratios of a figure, ours over theirs, with their intervals.
pub(crate) fn ratios(report: &Report, metric: Metric) -> anyhow::Result<Option<String>> {
    let lines = report.rows.iter().filter_map(|row| {
        let ratio = row.figure(metric)?.ratio.filter(|ratio| ratio.low > 0.0)?;
        let mark = Mark { color: COLORS[0], middle: ratio.median, interval: Some((ratio.low, ratio.high)) };
        Some(Line { name: name(row), marks: vec![mark] })
    });
    let [ours, theirs] = &report.sides;
    let title = format!("{}: {ours} / {theirs}", metric.label());
    lines_plot(&title, &lines.collect::<Vec<_>>(), Some(1.0))
}

/// The latencies of one row, by quantile; `None` if it has none.
pub(crate) fn latencies(row: &RowOutcome, sides: &[String; 2]) -> anyhow::Result<Option<String>> {
    let curve = |side: usize| -> Vec<(f64, f64)> {
        let points = (0_u32..).zip(QUANTILES).filter_map(|(at, (metric, _))| {
            Some((f64::from(at), row.figure(metric)?.sides[side].filter(|us| *us > 0.0)?))
        });
        points.collect()
    };
    let curves = [curve(0), curve(1)];
    let values = curves.iter().flatten().map(|(_, us)| *us);
    let Some((low, high)) = decades(values) else { return Ok(None) };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SMALL).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("{}: latency, us", name(row)), (FONT, 15))
            .margin(8)
            .margin_right(24)
            .x_label_area_size(28)
            .y_label_area_size(62)
            .build_cartesian_2d(-0.2..4.2, (low..high).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .y_labels(4)
            .y_label_formatter(&|us| short_axis(*us))
            .light_line_style(RGBColor(235, 235, 235))
            .label_style((FONT, 12))
            .draw()
            .map_err(failed)?;
        for ((curve, color), side) in curves.into_iter().zip(COLORS).zip(sides) {
            chart.draw_series(LineSeries::new(curve.iter().copied(), color.stroke_width(2))).map_err(failed)?;
            let dots = curve.iter().map(|point| Circle::new(*point, 3, color.filled()));
            let drawn = chart.draw_series(dots).map_err(failed)?;
            drawn.label(side).legend(move |at| Circle::new(at, 4, color.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 12))
            .draw()
            .map_err(failed)?;
        let style = TextStyle::from((FONT, 12)).pos(Pos::new(HPos::Center, VPos::Top));
        for (at, (_, text)) in (0_u32..).zip(QUANTILES) {
            let (x, y) = chart.backend_coord(&(f64::from(at), low));
            area.draw(&Text::new(text, (x, y + 6), style.clone())).map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// The legend of all plots with both sides.
pub(crate) fn legend(sides: &[String; 2]) -> Vec<(String, String)> {
    let colors = COLORS.map(|RGBColor(red, green, blue)| format!("rgb({red},{green},{blue})"));
    colors.into_iter().zip(sides.iter().cloned()).collect()
}

/// One line a row, on a logarithmic axis.
fn lines_plot(title: &str, lines: &[Line], even: Option<f64>) -> anyhow::Result<Option<String>> {
    let values = lines.iter().flat_map(|line| &line.marks).flat_map(|mark| {
        let (low, high) = mark.interval.unwrap_or((mark.middle, mark.middle));
        [mark.middle, low, high]
    });
    let Some((low, high)) = decades(values.chain(even)) else { return Ok(None) };
    let low = low / ROOM;
    let count = u32::try_from(lines.len()).context("few rows")?;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, count * ROW_HEIGHT + FRAME_HEIGHT)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 17))
            .margin(10)
            .margin_right(70)
            .x_label_area_size(26)
            .y_label_area_size(NAMES_WIDTH)
            .build_cartesian_2d((low..high).log_scale(), f64::from(count) - 0.5..-0.5)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .x_label_formatter(&|value| short_axis(*value))
            .light_line_style(RGBColor(238, 238, 238))
            .label_style((FONT, 12))
            .draw()
            .map_err(failed)?;
        let bottom = f64::from(count) - 0.5;
        if let Some(even) = even {
            let line = vec![(even, -0.5), (even, bottom)];
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))]).map_err(failed)?;
        }
        for (at, line) in (0_u32..).zip(lines) {
            let y = f64::from(at);
            for mark in &line.marks {
                if let Some((low, high)) = mark.interval {
                    let bar = vec![(low, y), (high, y)];
                    chart.draw_series([PathElement::new(bar, mark.color.mix(0.5).stroke_width(5))]).map_err(failed)?;
                }
                chart.draw_series([Circle::new((mark.middle, y), 5, mark.color.filled())]).map_err(failed)?;
            }
            let (left, row) = chart.backend_coord(&(low, y));
            write_names(&area, line, (left, row), |mark| chart.backend_coord(&(mark.middle, y)).0)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// The row's name at the left, and the value of each mark beside it: the greatest at its right, others at their left.
fn write_names(area: &Area<'_>, line: &Line, at: (i32, i32), x_of: impl Fn(&Mark) -> i32) -> anyhow::Result<()> {
    let (left, row) = at;
    let style = |horizontal| TextStyle::from((FONT, 12)).pos(Pos::new(horizontal, VPos::Center));
    area.draw(&Text::new(line.name.as_str(), (left - 8, row), style(HPos::Right))).map_err(failed)?;
    let greatest = line.marks.iter().map(|mark| mark.middle).fold(0.0, f64::max);
    for mark in &line.marks {
        let edge = mark.interval.is_some();
        let x = x_of(mark);
        // The interval of a ratio would be written over.
        let (x, y, horizontal) = match mark.middle < greatest {
            true => (x - 9, row, HPos::Right),
            false if edge => (x, row - 10, HPos::Center),
            false => (x + 9, row, HPos::Left),
        };
        area.draw(&Text::new(short(mark.middle), (x, y), style(horizontal))).map_err(failed)?;
    }
    Ok(())
}

fn name(row: &RowOutcome) -> String {
    format!("{} {}", row.name, row.durability)
}

/// The powers of ten around all values; `None` of no values.
fn decades(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    let is_something = low.is_finite() && low > 0.0 && high.is_finite();
    is_something.then(|| {
        let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
        (low, if high > low { high } else { low * 10.0 })
    })
}

/// A number of an axis, which is a power of ten most of the time.
fn short_axis(value: f64) -> String {
    if value >= 1.0 {
        short(value.round()).trim_end_matches(".00").trim_end_matches(".0").to_owned()
    } else {
        value.to_string()
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_go_from_one_power_of_ten_to_another() {
        assert_eq!(decades([0.03, 4.0].into_iter()), Some((0.01, 10.0)));
        assert_eq!(decades([1.0].into_iter()), Some((1.0, 10.0)));
        assert_eq!((decades([].into_iter()), decades([0.0].into_iter())), (None, None));
        assert_eq!([0.01, 1.0, 10.0, 1e3, 1e6].map(short_axis), ["0.01", "1", "10", "1000", "1,000,000"]);
    }

    #[test]
    fn a_plot_has_every_row_and_value() {
        let mark = |middle, interval| Mark { color: COLORS[0], middle, interval };
        let lines = vec![
            Line { name: "one".to_owned(), marks: vec![mark(0.25, None), mark(4.5, None)] },
            Line { name: "other".to_owned(), marks: vec![mark(2.0, Some((1.0, 3.0)))] },
        ];
        let svg = lines_plot("cost", &lines, Some(1.0)).expect("it can be drawn").expect("there are values");
        assert!(["cost", "one", "other", "0.25", "4.50", "2.00"].iter().all(|text| svg.contains(text)), "{svg}");
        assert!(lines_plot("cost", &[], None).expect("nothing to draw").is_none());
    }
}
