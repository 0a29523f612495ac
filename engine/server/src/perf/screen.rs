//! The live view: what it shows, what keys change, how it is drawn. It neither asks nor waits.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span, Text};

use super::digest::grid::Grid;
use super::digest::kept::{Kept, Scope};
use super::digest::record::Answer;
use super::digest::slow::Detail;
use super::digest::top::{By, Sort};
use super::digest::{phases, slow, top};
use super::{samples_remark, slow_remark};
use crate::output::{aligned, shown};

/// Rows that can be scrolled through.
const ROWS_MAX: usize = 1000;
/// Rows that a page key goes.
const PAGE_ROWS: usize = 20;
const KEYS: &str = "q quit  tab view  b by  s sort  a api  v phases  space pause  arrows scroll";

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Tab {
    Slow,
    #[default]
    Top,
    Phases,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Slow, Self::Top, Self::Phases];

    const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Top => "top",
            Self::Phases => "phases",
        }
    }
}

/// Which view of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct View {
    pub(super) tab: Tab,
    pub(super) by: By,
    pub(super) sort: Sort,
    detail: Detail,
    is_paused: bool,
    /// Rows above the first that is shown.
    scrolled: usize,
}

impl Default for View {
    fn default() -> Self {
        Self {
            tab: Tab::default(),
            by: By::default(),
            sort: Sort::default(),
            detail: Detail::Longest,
            is_paused: false,
            scrolled: 0,
        }
    }
}

/// Whether the view goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    GoesOn,
    Ends,
}

/// The live view.
#[derive(Debug)]
pub(super) struct Screen {
    view: View,
    scope: Scope,
    kept: Kept,
    /// Why the broker was not read the last time.
    trouble: Option<String>,
    /// Rows that there were when it was drawn last, and how many of them fit.
    drawn: (usize, usize),
}

impl Screen {
    pub(super) fn new(view: View, scope: Scope) -> Self {
        Self { view, scope, kept: Kept::default(), trouble: None, drawn: (0, 0) }
    }

    /// The broker has answered.
    pub(super) fn add(&mut self, answer: Answer) {
        self.kept.add(answer);
        self.trouble = None;
    }

    /// The broker has not answered.
    pub(super) fn fail(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// Whether the broker is not to be asked.
    pub(super) fn is_paused(&self) -> bool {
        self.view.is_paused
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Next {
        if key.kind == KeyEventKind::Release {
            return Next::GoesOn;
        }
        let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
        let before = self.view;
        let view = &mut self.view;
        match key.code {
            KeyCode::Char('c') if with_control => return Next::Ends,
            KeyCode::Char(_) if with_control => {}
            KeyCode::Char('q') | KeyCode::Esc => return Next::Ends,
            KeyCode::Tab | KeyCode::Right => view.tab = after(&Tab::ALL, view.tab),
            KeyCode::BackTab | KeyCode::Left => view.tab = before_of(&Tab::ALL, view.tab),
            KeyCode::Char('1') => view.tab = Tab::Slow,
            KeyCode::Char('2') => view.tab = Tab::Top,
            KeyCode::Char('3') => view.tab = Tab::Phases,
            KeyCode::Char('b') => view.by = after(&By::ALL, view.by),
            KeyCode::Char('s') => view.sort = after(&Sort::ALL, view.sort),
            KeyCode::Char('v') => view.detail = after(&[Detail::Longest, Detail::AllPhases], view.detail),
            KeyCode::Char('a') => self.scope.api = self.next_api(),
            KeyCode::Char(' ' | 'p') => view.is_paused = !view.is_paused,
            KeyCode::Up | KeyCode::Char('k') => self.scroll_by(1, Way::Up),
            KeyCode::Down | KeyCode::Char('j') => self.scroll_by(1, Way::Down),
            KeyCode::PageUp => self.scroll_by(PAGE_ROWS, Way::Up),
            KeyCode::PageDown => self.scroll_by(PAGE_ROWS, Way::Down),
            KeyCode::Home | KeyCode::Char('g') => self.scroll_by(ROWS_MAX, Way::Up),
            KeyCode::End | KeyCode::Char('G') => self.scroll_by(ROWS_MAX, Way::Down),
            _ => {}
        }
        let shows_other = (self.view.tab, self.view.by, self.view.sort) != (before.tab, before.by, before.sort);
        if shows_other || key.code == KeyCode::Char('a') {
            self.view.scrolled = 0;
        }
        Next::GoesOn
    }

    fn scroll_by(&mut self, rows: usize, way: Way) {
        let (all, fitting) = self.drawn;
        let scrolled = match way {
            Way::Up => self.view.scrolled.saturating_sub(rows),
            Way::Down => self.view.scrolled.saturating_add(rows),
        };
        self.view.scrolled = scrolled.min(all.saturating_sub(fitting));
    }

    /// The API behind that which is shown alone; behind the last of them all are shown.
    fn next_api(&self) -> Option<String> {
        let apis = self.kept.apis();
        let next = match &self.scope.api {
            None => apis.first(),
            Some(shown) => apis.iter().find(|api| **api > shown.as_str()),
        };
        next.map(|&api| api.to_owned())
    }

    fn grid(&self) -> Grid {
        match self.view.tab {
            Tab::Slow => {
                // The newest first: they are what is looked at, and stay in sight.
                let mut slow = self.kept.slow(&self.scope);
                slow.reverse();
                slow.truncate(ROWS_MAX);
                slow::grid(&slow, self.view.detail)
            }
            Tab::Top => {
                let rows = top::rows(&self.kept.samples(&self.scope), self.view.by, self.view.sort, ROWS_MAX);
                top::grid(&rows, self.view.by)
            }
            Tab::Phases => phases::grid(&phases::apis(&self.kept.samples(&self.scope))),
        }
    }

    /// Draws everything, for whatever size the terminal has now.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let parts = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)];
        let [tabs, body, status, keys] = Layout::vertical(parts).areas(frame.area());
        frame.render_widget(self.tabs(), tabs);
        self.draw_body(frame, body);
        frame.render_widget(self.status(), status);
        frame.render_widget(Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)), keys);
    }

    fn tabs(&self) -> Line<'static> {
        let mut spans = vec![Span::raw("ringlog perf ")];
        for (number, tab) in (1..).zip(Tab::ALL) {
            let modifier = if tab == self.view.tab { Modifier::REVERSED } else { Modifier::empty() };
            spans.push(Span::styled(format!(" {number} {} ", tab.name()), Style::new().add_modifier(modifier)));
        }
        if self.view.tab == Tab::Top {
            let (by, first) = (self.view.by.name(), self.view.sort.name());
            spans.push(Span::raw(format!("  by {by}, most {first} first")));
        }
        if let Some(api) = &self.scope.api {
            spans.push(Span::raw(format!("  only {}", shown(api, usize::MAX))));
        }
        Line::from(spans)
    }

    fn draw_body(&mut self, frame: &mut Frame<'_>, area: Rect) {
        let grid = self.grid();
        let fitting = usize::from(area.height).saturating_sub(1);
        self.drawn = (grid.rows.len(), fitting);
        self.view.scrolled = self.view.scrolled.min(grid.rows.len().saturating_sub(fitting));
        let text = aligned(&grid.headings(), &grid.rows, Some(usize::from(area.width)));
        let mut lines = text.lines();
        let heading = lines.next().unwrap_or_default().to_owned();
        let heading = Line::styled(heading, Style::new().add_modifier(Modifier::BOLD));
        let rows = lines.skip(self.view.scrolled).take(fitting).map(|line| Line::raw(line.to_owned()));
        frame.render_widget(std::iter::once(heading).chain(rows).collect::<Text<'_>>(), area);
    }

    fn status(&self) -> Line<'static> {
        let remark = match self.view.tab {
            Tab::Slow => slow_remark(&self.kept),
            Tab::Top | Tab::Phases => samples_remark(&self.kept, &self.scope),
        };
        let state = match &self.trouble {
            Some(trouble) => format!("NO ANSWER: {trouble}; "),
            None if self.view.is_paused => "PAUSED; ".to_owned(),
            None => String::new(),
        };
        let (all, fitting) = self.drawn;
        let range = if all > fitting {
            let last = (self.view.scrolled + fitting).min(all);
            format!("; rows {} to {last} of {all}", self.view.scrolled + 1)
        } else {
            String::new()
        };
        let text = shown(&format!("{state}{remark}{range}"), usize::MAX);
        Line::styled(text, Style::new().add_modifier(Modifier::REVERSED))
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Up,
    Down,
}

/// The one behind `one`; the first behind the last.
fn after<T: Copy + PartialEq>(all: &[T], one: T) -> T {
    let at = all.iter().position(|each| *each == one).map_or(0, |at| at + 1);
    all.get(at).or(all.first()).copied().unwrap_or(one)
}

/// The one before `one`; the last before the first.
fn before_of<T: Copy + PartialEq>(all: &[T], one: T) -> T {
    let at = all.iter().position(|each| *each == one).unwrap_or(0);
    at.checked_sub(1).and_then(|at| all.get(at)).or(all.last()).copied().unwrap_or(one)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::digest::example::{NOW_MS, answer, request};
    use super::super::digest::record::{Kind, Request};
    use super::*;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn screen(requests: Vec<Request>) -> Screen {
        let mut screen = Screen::new(View::default(), Scope::default());
        screen.add(answer(requests));
        screen
    }

    /// The lines of a terminal of this size, without blanks at their ends.
    fn drawn(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is in memory");
        terminal.draw(|frame| screen.draw(frame)).expect("it is in memory");
        let buffer = terminal.backend().buffer();
        let row = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect()
    }

    #[test]
    fn a_view_is_drawn() {
        let slow = Request { kind: Kind::Slow, ..request("Fetch", &[("read", 150_000.0)]) };
        let mut screen = screen(vec![request("Produce", &[("append", 100.0), ("flush", 900.0)]), slow]);
        let expected = [
            "ringlog perf  1 slow  2 top  3 phases   by client, most time first",
            "CLIENT  TIME    REQUESTS/S  KB/S IN  KB/S OUT  P50 MS  P99 MS  SAMPLES",
            "loader  100.0%  128.0       128.0    12.8      1.000   1.000   1",
            "",
            "node 1, version 0.1.0: 1 sample of 1.0 s, 1 request of 128",
            "q quit  tab view  b by  s sort  a api  v phases  space pause  arrows scroll",
        ];
        assert_eq!(drawn(&mut screen, 80, 6), expected);
        screen.press(key(KeyCode::Char('3')));
        assert_eq!(
            drawn(&mut screen, 80, 6)[2..4],
            [
                "Produce  1        all     100.0%  1.000   1.000   1.000",
                "                  append  10.0%   0.100   0.100   0.100",
            ]
        );
        screen.press(key(KeyCode::Char('1')));
        let lines = drawn(&mut screen, 110, 6);
        assert!(
            lines[2].ends_with("Fetch  loader  orders-3   1000      100        150.000  read 100.0%  -"),
            "{lines:?}"
        );
        assert!(lines[4].ends_with("a request is slow above 100.000 ms"), "{lines:?}");
        screen.press(key(KeyCode::Char('v')));
        assert!(drawn(&mut screen, 110, 6)[1].ends_with("MS       READ     ERROR"));
    }

    #[test]
    fn any_size_will_do() {
        let requests: Vec<Request> = (0..50_u8)
            .map(|n| Request { client_id: format!("client-{n}-äöü"), ..request("Produce", &[("flush", 1.0)]) })
            .collect();
        let mut screen = screen(requests);
        for (width, height) in [(200, 60), (80, 24), (20, 5), (3, 3), (1, 1), (200, 1), (1, 60)] {
            for tab in ['1', '2', '3'] {
                screen.press(key(KeyCode::Char(tab)));
                screen.press(key(KeyCode::End));
                drop(drawn(&mut screen, width, height));
            }
        }
    }

    #[test]
    fn rows_are_scrolled_through_and_no_further() {
        let requests = (0..50_u8).map(|n| Request { client_id: format!("{n:02}"), ..request("Fetch", &[]) }).collect();
        let mut screen = screen(requests);
        let first = |screen: &mut Screen| drawn(screen, 80, 14)[2].get(..2).map(str::to_owned);
        assert_eq!(first(&mut screen).as_deref(), Some("00"));
        let mut check = |code, expected: &str| {
            screen.press(key(code));
            assert_eq!(first(&mut screen).as_deref(), Some(expected), "{code:?}");
        };
        check(KeyCode::Down, "01");
        check(KeyCode::PageDown, "21");
        check(KeyCode::End, "40");
        check(KeyCode::Down, "40");
        check(KeyCode::PageUp, "20");
        check(KeyCode::Up, "19");
        check(KeyCode::Home, "00");
        check(KeyCode::Up, "00");
        check(KeyCode::Down, "01");
        check(KeyCode::Char('s'), "00");
        assert!(drawn(&mut screen, 120, 14)[12].ends_with("rows 1 to 10 of 50"));
    }

    #[test]
    fn keys_change_what_is_shown() {
        let mut screen = screen(vec![request("Produce", &[]), request("Fetch", &[])]);
        let mut title = |code| {
            assert_eq!(screen.press(key(code)), Next::GoesOn);
            drawn(&mut screen, 120, 5)[0].clone()
        };
        assert!(title(KeyCode::Char('b')).ends_with("by topic, most time first"));
        assert!(title(KeyCode::Char('s')).ends_with("by topic, most requests first"));
        assert!(title(KeyCode::Char('a')).ends_with("only Fetch"));
        assert!(title(KeyCode::Char('a')).ends_with("only Produce"));
        assert!(title(KeyCode::Char('a')).ends_with("most requests first"));
        assert!(title(KeyCode::Tab).ends_with("3 phases"));
        assert!(title(KeyCode::Tab).ends_with("3 phases"), "behind the last comes the first, without an order");
        assert!(title(KeyCode::BackTab).ends_with("3 phases"));
        assert!(title(KeyCode::Left).contains("by topic"));
    }

    #[test]
    fn a_pause_and_trouble_are_told() {
        let mut screen = screen(vec![request("Produce", &[])]);
        let status = |screen: &mut Screen| drawn(screen, 120, 5)[3].clone();
        screen.press(key(KeyCode::Char(' ')));
        assert!(screen.is_paused() && status(&mut screen).starts_with("PAUSED; node 1"));
        screen.press(key(KeyCode::Char('p')));
        assert!(!screen.is_paused());
        screen.fail("it is\x1b[2J gone".to_owned());
        assert!(status(&mut screen).starts_with("NO ANSWER: it is\u{fffd}[2J gone; node 1"));
        screen.add(answer(Vec::new()));
        assert!(status(&mut screen).starts_with("node 1"));
        screen.add(Answer { lost: 17, ..answer(Vec::new()) });
        assert!(status(&mut screen).ends_with("; 17 records were overwritten unread"));
    }

    #[test]
    fn a_view_ends() {
        let mut screen = screen(Vec::new());
        let control = |letter| KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL);
        assert_eq!(screen.press(key(KeyCode::Char('q'))), Next::Ends);
        assert_eq!(screen.press(key(KeyCode::Esc)), Next::Ends);
        assert_eq!(screen.press(control('c')), Next::Ends);
        assert_eq!(screen.press(control('q')), Next::GoesOn);
        assert_eq!(screen.press(key(KeyCode::Char('c'))), Next::GoesOn);
    }

    #[test]
    fn nothing_of_a_broker_reaches_the_terminal_raw() {
        let name = "\x1b]0;title\x07\u{9b}31m\n";
        let mut evil = request(name, &[("send", 1.0), (name, 1.0)]);
        (evil.kind, evil.sampled, evil.at_ms) = (Kind::Slow, true, NOW_MS);
        (evil.client_id, evil.topic, evil.error) = (name.to_owned(), Some(name.to_owned()), Some(name.to_owned()));
        let mut evil = answer(vec![evil]);
        evil.about.version = name.to_owned();
        let mut screen = Screen::new(View::default(), Scope { api: Some(name.to_owned()), ..Scope::default() });
        screen.add(evil);
        screen.press(key(KeyCode::Char('v')));
        for tab in ['1', '2', '3'] {
            screen.press(key(KeyCode::Char(tab)));
            let lines = drawn(&mut screen, 200, 8).concat();
            assert!(lines.contains("title"), "{tab}: {lines}");
            assert!(!lines.chars().any(char::is_control), "{tab}: {lines:?}");
        }
    }
}
