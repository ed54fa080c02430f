//! Bar charts as SVG: panels in two columns, a bar for each broker.

use std::fmt::Write as _;

/// One scenario of a chart.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
}

/// One broker in a panel.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) look: Look,
    /// Nothing to draw: the note tells why.
    pub(super) length: Option<Length>,
    /// Behind the bar.
    pub(super) note: String,
}

/// How long a bar is: the median, with a line from the smallest to the largest value.
#[derive(Clone, Copy)]
pub(super) struct Length {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// What a bar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Ours,
    Peer,
    /// A peer that lost messages: its figure does not count.
    Lossy,
    /// No broker at all.
    Floor,
}

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 20.0;
const COLUMN: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;
const HEAD: f64 = 70.0;
const TITLE: f64 = 26.0;
const BAR: f64 = 14.0;
const STEP: f64 = 20.0;
const GAP: f64 = 18.0;
/// Room for the labels in front of the bars, and for the notes behind them.
const LABELS: f64 = 92.0;
const NOTES: f64 = 150.0;

/// Draws the panels; each has a scale of its own that starts at zero.
pub(super) fn chart(title: &str, subtitle: &str, panels: &[Panel]) -> String {
    let rows: Vec<&[Panel]> = panels.chunks(2).collect();
    let row_height = |row: &&[Panel]| row.iter().map(height).fold(0.0, f64::max) + GAP;
    let total = HEAD + rows.iter().map(row_height).sum::<f64>() + MARGIN - GAP;
    let mut svg = String::new();
    let out = &mut svg;
    line(
        out,
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{total}\" viewBox=\"0 0 {WIDTH} {total}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"11\" fill=\"#1f2937\">"
        ),
    );
    line(out, PATTERN);
    line(out, &format!("<rect width=\"{WIDTH}\" height=\"{total}\" rx=\"8\" fill=\"#ffffff\"/>"));
    text(out, (MARGIN, 30.0), "font-size=\"17\" font-weight=\"bold\"", title);
    text(out, (MARGIN, 50.0), "fill=\"#6b7280\"", subtitle);
    let mut y = HEAD;
    for row in &rows {
        for (column, panel) in row.iter().enumerate() {
            draw(out, panel, MARGIN + column as f64 * (COLUMN + MARGIN), y);
        }
        y += row_height(row);
    }
    line(out, "</svg>");
    svg
}

const PATTERN: &str = "<defs><pattern id=\"lossy\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
    patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#fee2e2\"/>\
    <rect width=\"2\" height=\"6\" fill=\"#f87171\"/></pattern></defs>";

fn height(panel: &Panel) -> f64 {
    TITLE + panel.bars.len() as f64 * STEP
}

fn draw(out: &mut String, panel: &Panel, x: f64, y: f64) {
    text(out, (x, y + 12.0), "font-size=\"12\" font-weight=\"bold\"", &panel.title);
    let longest = longest(panel);
    let scale = (COLUMN - LABELS - NOTES) / if longest > 0.0 { longest } else { 1.0 };
    for (at, bar) in panel.bars.iter().enumerate() {
        let top = y + TITLE + at as f64 * STEP;
        let base = top + BAR - 3.0;
        let weight = if bar.look == Look::Ours {
            "text-anchor=\"end\" font-weight=\"bold\""
        } else {
            "text-anchor=\"end\""
        };
        text(out, (x + LABELS - 8.0, base), weight, &bar.label);
        let start = x + LABELS;
        let end = bar.length.map_or(start, |length| {
            let length = length.cut(longest);
            draw_bar(out, bar.look, length, (start, top), scale);
            start + length.max * scale
        });
        text(out, (end + 6.0, base), if bar.length.is_some() { "" } else { "fill=\"#9ca3af\"" }, &bar.note);
    }
}

/// The scale belongs to the figures that count; bars of others are cut where they would be longer.
fn longest(panel: &Panel) -> f64 {
    let longest = |counts: bool| {
        let bars = panel.bars.iter().filter(|bar| !counts || bar.look != Look::Lossy);
        bars.filter_map(|bar| bar.length).map(|length| length.max).fold(0.0, f64::max)
    };
    if longest(true) > 0.0 { longest(true) } else { longest(false) }
}

impl Length {
    fn cut(self, at: f64) -> Self {
        Self { median: self.median.min(at), min: self.min.min(at), max: self.max.min(at) }
    }
}

fn draw_bar(out: &mut String, look: Look, length: Length, (x, y): (f64, f64), scale: f64) {
    let style = match look {
        Look::Ours => "fill=\"#2563eb\"",
        Look::Peer => "fill=\"#94a3b8\"",
        Look::Lossy => "fill=\"url(#lossy)\"",
        Look::Floor => "fill=\"#f9fafb\" stroke=\"#9ca3af\" stroke-dasharray=\"3 2\"",
    };
    let width = (length.median * scale).max(1.0);
    line(out, &format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" {style}/>"));
    let (low, high, middle) = (x + length.min * scale, x + length.max * scale, y + BAR / 2.0);
    if high - low >= 1.0 {
        line(
            out,
            &format!(
                "<path d=\"M{low:.1} {middle:.1}H{high:.1}\" stroke=\"#111827\" stroke-opacity=\"0.6\"/>"
            ),
        );
    }
}

fn text(out: &mut String, (x, y): (f64, f64), style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    line(out, &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{content}</text>"));
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::{Bar, Length, Look, Panel, chart};

    #[test]
    fn a_chart_is_well_formed_and_escapes_its_texts() {
        let bar =
            |length| Bar { label: "a<b".to_owned(), look: Look::Lossy, length, note: "1 & 2".to_owned() };
        let length = Length { median: 2.0, min: 1.0, max: 3.0 };
        let panel = || Panel { title: "p".to_owned(), bars: vec![bar(Some(length)), bar(None)] };
        let svg = chart("title", "subtitle", &[panel(), panel(), panel()]);
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert_eq!(svg.matches(">a&lt;b<").count(), 6);
        assert_eq!(svg.matches("url(#lossy)").count(), 3);
        assert!(svg.contains("1 &amp; 2") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
