//! The screen: what stands where. What the panels say is in [`super::panels`].

use std::{collections::VecDeque, time::Instant};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Paragraph, Sparkline, Wrap},
};

use super::{
    glance::Glance,
    panels::{self, Pair, PanelRow},
};

/// The smallest terminal into which all panels fit. Many have 80 columns and 24 rows, of which a
/// multiplexer takes one or two.
const LEAST_COLUMNS: u16 = 78;
const LEAST_ROWS: u16 = 22;

/// How many rates the chart can show: as many as the widest terminals have columns.
const KEPT: usize = 512;

/// What was seen lately, and how it is drawn.
pub struct TopScreen {
    server: String,
    /// The newest glance, and the one before.
    pair: Option<Pair>,
    last: Option<Glance>,
    /// Why the newest look failed, if it did.
    failed: Option<String>,
    /// When the server last answered, or this began.
    answered: Instant,
    /// Events a second, the oldest first.
    rates: VecDeque<u64>,
}

impl TopScreen {
    /// An empty screen for the server at this URL.
    pub fn new(server: String) -> TopScreen {
        TopScreen {
            server,
            pair: None,
            last: None,
            failed: None,
            answered: Instant::now(),
            rates: VecDeque::new(),
        }
    }

    /// Notes what a look brought.
    pub fn note(&mut self, look: Result<Glance, String>) {
        let now = match look {
            Ok(now) => now,
            Err(why) => {
                self.failed = Some(why);
                // A server that can't be asked takes in nothing that we know of.
                self.push(0.0);
                return;
            }
        };
        self.failed = None;
        self.answered = now.at;
        if let Some(before) = self.last.replace(now.clone()) {
            self.push(now.rate(&before, panels::ACCEPTED).unwrap_or(0.0));
            self.pair = Some(Pair { before, now });
        } else {
            self.pair = Some(Pair { before: now.clone(), now });
        }
    }

    fn push(&mut self, rate: f64) {
        if self.rates.len() == KEPT {
            self.rates.pop_front();
        }
        self.rates.push_back(rate.round() as u64);
    }

    /// Draws all of it.
    pub fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        if area.width < LEAST_COLUMNS || area.height < LEAST_ROWS {
            let words = format!(
                "This terminal has {} columns and {} rows; floodmark top needs {LEAST_COLUMNS} and \
                 {LEAST_ROWS}. q ends it.",
                area.width, area.height
            );
            frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
            return;
        }
        let [head, chart, rows, reasons, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Length((area.height / 4).clamp(5, 12)),
            Constraint::Length(11),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(area);
        self.draw_head(frame, head);
        self.draw_chart(frame, chart);
        match &self.pair {
            Some(pair) => self.draw_panels(frame, pair, [rows, reasons]),
            None => self.draw_nothing(frame, rows),
        }
        frame.render_widget(Line::from("q ends").style(Style::new().fg(Color::DarkGray)), foot);
    }

    /// What the newest answer said; in grey where that is no longer the newest look.
    fn draw_panels(&self, frame: &mut Frame, pair: &Pair, [rows, reasons]: [Rect; 2]) {
        let stale = self.failed.is_some();
        let sides = [Constraint::Fill(3), Constraint::Fill(4), Constraint::Fill(3)];
        let [door, sinks, numbers] = Layout::horizontal(sides).areas(rows);
        boxed(frame, door, "door", &panels::door(pair), stale);
        boxed(frame, sinks, "queue and sinks", &panels::sinks(pair), stale);
        boxed(frame, numbers, "today", &panels::today(pair), stale);
        let sides = [Constraint::Fill(2), Constraint::Fill(1)];
        let [reasons, alerts] = Layout::horizontal(sides).areas(reasons);
        match &self.failed {
            Some(why) => boxed(frame, reasons, "no answer", &failure(why), false),
            None => boxed(frame, reasons, "not well", &panels::reasons(pair), false),
        }
        boxed(frame, alerts, "alerts that fire", &panels::alerts(pair), stale);
    }

    /// What there is to say before the first answer.
    fn draw_nothing(&self, frame: &mut Frame, area: Rect) {
        if let Some(why) = &self.failed {
            let mut rows = failure(why);
            let hint = "It is asked on. Another server is named by floodmark top URL.";
            rows.push(PanelRow::words(hint, Style::new()));
            boxed(frame, area, "no answer", &rows, false);
        }
    }

    /// Who this is, and how it is.
    fn draw_head(&self, frame: &mut Frame, area: Rect) {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let mut first = vec![Span::styled(format!("Floodmark at {}  ", self.server), bold)];
        let mut second = String::new();
        match (&self.failed, &self.pair) {
            (Some(_), _) => {
                let seconds = self.answered.elapsed().as_secs();
                let words = format!("no answer for {seconds} s");
                first.push(Span::styled(words, bold.fg(Color::Red)));
            }
            (None, Some(pair)) => {
                first.extend(panels::version(pair));
                second = panels::process(pair);
            }
            (None, None) => first.push(Span::raw("is asked")),
        }
        frame.render_widget(Paragraph::new(vec![Line::from(first), Line::from(second)]), area);
    }

    /// Events a second, the newest at the right.
    fn draw_chart(&self, frame: &mut Frame, area: Rect) {
        let newest = self.rates.back().copied().unwrap_or(0);
        let block = Block::bordered().title(format!(" events a second: {newest} "));
        let columns = block.inner(area).width as usize;
        let from = self.rates.len().saturating_sub(columns);
        let mut shown = vec![0; columns.saturating_sub(self.rates.len())];
        shown.extend(self.rates.iter().skip(from));
        let chart = Sparkline::default().data(shown).style(Style::new().fg(Color::Cyan));
        frame.render_widget(chart.block(block), area);
    }
}

/// Why there is no answer.
fn failure(why: &str) -> Vec<PanelRow> {
    vec![PanelRow::words(why, Style::new().fg(Color::Red))]
}

/// Draws a panel. Where it has more rows than there is room for, its last line says how many.
fn boxed(frame: &mut Frame, area: Rect, title: &str, rows: &[PanelRow], stale: bool) {
    let block = Block::bordered().title(format!(" {title} "));
    let inner = block.inner(area);
    let room = usize::from(inner.height);
    let mut lines: Vec<Line> = rows.iter().map(|row| row.line(usize::from(inner.width))).collect();
    if lines.len() > room {
        lines.truncate(room.saturating_sub(1));
        lines.push(Line::raw(format!("and {} more", rows.len() - lines.len())));
    }
    let mut panel = Paragraph::new(lines).block(block).wrap(Wrap { trim: false });
    if stale {
        panel = panel.style(Style::new().fg(Color::DarkGray));
    }
    frame.render_widget(panel, area);
}
