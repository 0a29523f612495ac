//! A curve over the number of cores, as SVG, beside the line that twice the cores would follow with twice the work.

use anyhow::{Context as _, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::compare::table::short;

const SIZE: (u32, u32) = (720, 400);
const FONT: &str = "sans-serif";
const COLOR: RGBColor = RGBColor(0, 104, 139);
const GRAY: RGBColor = RGBColor(150, 150, 150);

/// Draws points, by cores from one upwards.
pub(crate) fn draw(title: &str, points: &[(f64, f64)]) -> anyhow::Result<String> {
    let (_, one) = *points.first().context("no point to draw")?;
    let (most, _) = *points.last().context("no point to draw")?;
    let straight = [(1.0, one), (most, one * most)];
    let highest = points.iter().chain(&straight).map(|(_, value)| *value).fold(0.0, f64::max);
    let failed = |error: DrawingAreaErrorKind<std::io::Error>| anyhow!("a plot: {error}");
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, (FONT, 17))
            .margin(10)
            .margin_right(40)
            .x_label_area_size(42)
            .y_label_area_size(84)
            .build_cartesian_2d(0.5..most + 0.5, 0.0..highest * 1.15)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(RGBColor(240, 240, 240))
            .x_desc("cores")
            .x_label_formatter(&|cores| if cores.fract() == 0.0 { format!("{cores:.0}") } else { String::new() })
            .y_label_formatter(&|value| if *value == 0.0 { "0".to_owned() } else { short(*value) })
            .label_style((FONT, 12))
            .draw()
            .map_err(failed)?;
        let drawn = chart.draw_series(LineSeries::new(straight, GRAY.stroke_width(1))).map_err(failed)?;
        drawn.label("in proportion").legend(|(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], GRAY));
        chart.draw_series(LineSeries::new(points.iter().copied(), COLOR.stroke_width(2))).map_err(failed)?;
        let dots = points.iter().map(|point| Circle::new(*point, 4, COLOR.filled()));
        let drawn = chart.draw_series(dots).map_err(failed)?;
        drawn.label("measured").legend(|(x, y)| Circle::new((x + 7, y), 4, COLOR.filled()));
        // Above the dots, where the curve itself does not go.
        let style = TextStyle::from((FONT, 12)).pos(Pos::new(HPos::Center, VPos::Bottom));
        let raised = highest * 0.025;
        let names =
            points.iter().map(|(cores, value)| Text::new(short(*value), (*cores, value + raised), style.clone()));
        chart.draw_series(names).map_err(failed)?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .label_font((FONT, 12))
            .draw()
            .map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_its_points() {
        let svg = draw("records/s", &[(1.0, 100_000.0), (2.0, 180_000.0)]).expect("it can be drawn");
        assert!(svg.contains("100,000") && svg.contains("180,000") && svg.contains("in proportion"));
        assert!(draw("nothing", &[]).is_err());
    }
}
