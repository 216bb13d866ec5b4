//! Plots as SVG, written by hand: text stays text, and colours follow the reader's light or dark setting.

use std::fmt::Write as _;

use crate::column::Column;
use crate::report::{EngineReport, Report, TaskReport};
use crate::table::ratio;

/// Where what is drawn begins and how wide it is, in pixels.
const LEFT: f64 = 150.0;
const WIDTH: f64 = 660.0;
const TOP: f64 = 84.0;
const MARGIN: f64 = 16.0;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.paper { fill: #ffffff }
.band { fill: #f6f8fa }
.grid { stroke: #d1d9e0 }
.one { stroke: #59636e }
.again { fill: #818b98 }
.bare { fill: #b35900 }
.portable { fill: #0969da }
.native { fill: #bf3989 }
.sandbox { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.small { fill: #9198a1 }
.paper { fill: #0d1117 }
.band { fill: #151b23 }
.grid { stroke: #3d444d }
.one { stroke: #9198a1 }
.again { fill: #9198a1 }
.bare { fill: #e09b3d }
.portable { fill: #4493f8 }
.native { fill: #f778ba }
.sandbox { fill: #3fb950 }
}
";

/// How a column is drawn: its colour's class, its shape, and the lane of a row that it is in.
struct Mark {
    class: &'static str,
    shape: Shape,
    lane: f64,
}

#[derive(Clone, Copy)]
enum Shape {
    Circle,
    Square,
    Triangle,
}

/// The columns that are drawn, which are all but the one that they are divided by.
fn marks() -> impl Iterator<Item = (Column, Mark)> {
    Column::ALL.into_iter().filter_map(|column| mark(column).map(|mark| (column, mark)))
}

fn mark(column: Column) -> Option<Mark> {
    let (class, shape, lane) = match column {
        Column::Raw => return None,
        Column::Again => ("again", Shape::Circle, -9.0),
        Column::Bare => ("bare", Shape::Square, -9.0),
        Column::Portable => ("portable", Shape::Circle, -3.0),
        Column::PortableCaps => ("portable", Shape::Square, -3.0),
        Column::PortableDeadline => ("portable", Shape::Triangle, -3.0),
        Column::Native => ("native", Shape::Circle, 3.0),
        Column::NativeCaps => ("native", Shape::Square, 3.0),
        Column::NativeDeadline => ("native", Shape::Triangle, 3.0),
        Column::Sandbox => ("sandbox", Shape::Circle, 9.0),
    };
    Some(Mark { class, shape, lane })
}

/// A logarithmic scale from the least to the greatest of what is shown.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ratios.fold((0.95f64, 1.6f64), |(low, high), r| (low.min(r), high.max(r)));
        Self { low: low / 1.05, high: high * 1.05 }
    }

    fn at(&self, ratio: f64) -> f64 {
        LEFT + WIDTH * (ratio / self.low).ln() / (self.high / self.low).ln()
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        const TICKS: [f64; 15] = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 50.0, 100.0];
        TICKS.into_iter().filter(|tick| (self.low..=self.high).contains(tick))
    }
}

/// A drawing under way.
struct Drawing {
    body: String,
}

impl Drawing {
    fn new() -> Self {
        Self { body: String::new() }
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = escape(text);
        let _ =
            writeln!(self.body, r#"<text x="{x:.1}" y="{y:.1}" class="{class}" text-anchor="{anchor}">{text}</text>"#);
    }

    fn line(&mut self, x: f64, from: f64, to: f64, class: &str) {
        let _ = writeln!(self.body, r#"<line x1="{x:.1}" y1="{from:.1}" x2="{x:.1}" y2="{to:.1}" class="{class}"/>"#);
    }

    fn area(&mut self, x: f64, y: f64, width: f64, height: f64, class: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" class="{class}"/>"#
        );
    }

    /// A mark with what it stands for, which is shown where the pointer is.
    fn mark(&mut self, x: f64, y: f64, mark: &Mark, says: &str) {
        let (class, says) = (mark.class, escape(says));
        let _ = match mark.shape {
            Shape::Circle => {
                writeln!(
                    self.body,
                    r#"<circle cx="{x:.1}" cy="{y:.1}" r="3.6" class="{class}"><title>{says}</title></circle>"#
                )
            }
            Shape::Square => {
                let (x, y) = (x - 3.2, y - 3.2);
                writeln!(
                    self.body,
                    r#"<rect x="{x:.1}" y="{y:.1}" width="6.4" height="6.4" class="{class}"><title>{says}</title></rect>"#
                )
            }
            Shape::Triangle => writeln!(
                self.body,
                r#"<path d="M{:.1} {:.1}l4.2 7.4h-8.4z" class="{class}"><title>{says}</title></path>"#,
                x,
                y - 4.6
            ),
        };
    }

    /// The grid, its numbers, and the line at 1.
    fn axis(&mut self, scale: &Scale, bottom: f64) {
        for tick in scale.ticks() {
            let x = scale.at(tick);
            self.line(x, TOP, bottom, if tick == 1.0 { "one" } else { "grid" });
            self.text(x, TOP - 6.0, "small", "middle", &format!("{tick}×"));
        }
    }

    /// All marks with the names of their columns, in one row of the height of a line.
    fn legend(&mut self) {
        let mut x = MARGIN + 4.0;
        for (column, mark) in marks() {
            self.mark(x, 46.0, &mark, column.name());
            self.text(x + 9.0, 50.0, "small", "start", column.head());
            x += 26.0 + 6.3 * column.head().len() as f64;
        }
    }

    fn finish(self, height: f64, says: &str) -> String {
        let width = LEFT + WIDTH + MARGIN;
        let (says, body) = (escape(says), self.body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<title>{says}</title>\n<style>\n{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" class=\"paper\"/>\n{body}</svg>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Every task of one engine: a row each, a mark for every column.
#[must_use]
pub fn of_engine(engine: &EngineReport) -> String {
    const ROW: f64 = 28.0;
    let raw = |task: &TaskReport, column| task.ratio(column, Column::Raw);
    let all = engine.tasks.iter().flat_map(|task| marks().filter_map(move |(column, _)| raw(task, column)));
    let scale = Scale::of(all);
    let bottom = TOP + ROW * engine.tasks.len() as f64;
    let mut drawing = Drawing::new();
    let title = format!("{} {}: time ÷ time of the raw engine", engine.engine, engine.version);
    drawing.text(MARGIN, 26.0, "title", "start", &title);
    drawing.legend();
    for row in (0..engine.tasks.len()).step_by(2) {
        drawing.area(MARGIN, TOP + ROW * row as f64, LEFT + WIDTH - MARGIN, ROW, "band");
    }
    drawing.axis(&scale, bottom);
    for (row, task) in engine.tasks.iter().enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        drawing.text(LEFT - 12.0, y + 4.0, "", "end", &task.task);
        for (column, mark) in marks() {
            let Some(got) = raw(task, column) else { continue };
            let says = format!("{}, {}: {}", task.task, column.name(), ratio(got));
            drawing.mark(scale.at(got), y + mark.lane, &mark, &says);
        }
    }
    drawing.finish(bottom + MARGIN, &title)
}

/// The geometric means over the eight kernels: a bar for every column, engine by engine.
#[must_use]
pub fn of_means(report: &Report) -> String {
    const BAR: f64 = 15.0;
    const GAP: f64 = 14.0;
    let means = |engine: &EngineReport| -> Vec<(Column, Mark, f64)> {
        marks().filter_map(|(column, mark)| Some((column, mark, engine.mean(column, Column::Raw)?))).collect()
    };
    let most = report.engines.iter().flat_map(&means).map(|(_, _, mean)| mean).fold(1.5, f64::max);
    let along = |ratio: f64| WIDTH * 0.92 * ratio / most;
    let mut drawing = Drawing::new();
    let title = "Eight kernels, geometric mean: time ÷ time of the raw engine";
    drawing.text(MARGIN, 26.0, "title", "start", title);
    let mut y = 48.0;
    for engine in &report.engines {
        let means = means(engine);
        if means.is_empty() {
            continue;
        }
        drawing.text(MARGIN, y + 10.0, "", "start", &format!("{} {}", engine.engine, engine.version));
        y += 18.0;
        for (column, mark, mean) in means {
            drawing.text(LEFT - 12.0, y + 11.0, "small", "end", column.head());
            drawing.area(LEFT, y + 1.0, along(mean), BAR - 3.0, mark.class);
            drawing.text(LEFT + along(mean) + 6.0, y + 11.0, "small", "start", &ratio(mean));
            y += BAR;
        }
        y += GAP;
    }
    drawing.line(LEFT + along(1.0), 40.0, y - GAP, "one");
    drawing.finish(y, title)
}
