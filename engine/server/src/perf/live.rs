//! The live view on a terminal: keys, signals, the broker's answers. The terminal is put back however it ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::PAUSE;
use super::digest::record::Answer;
use super::screen::{Next, Screen};
use super::source::{Source, SourceError};

/// How long a signal or an answer may wait for its turn, while no key is pressed.
const TICK: Duration = Duration::from_millis(100);
/// Keys that are handled before the view is drawn anew.
const KEYS_PER_TURN: usize = 64;
/// Answers that wait to be taken: then the broker is asked for no more.
const ANSWERS_MAX: usize = 4;

/// Shows the view until somebody ends it.
pub(super) fn run(mut source: Source, mut screen: Screen) -> anyhow::Result<()> {
    // Before the terminal is taken: a broker that cannot be read is an ordinary error.
    source.read(|answer| screen.add(answer))?;
    let is_told_to_end = signals().context("signals cannot be waited for")?;
    let feed = Feed::start(source)?;
    let mut terminal = ratatui::try_init().context("the terminal cannot be drawn on; --once prints a table")?;
    let _restored_behind = TakenTerminal;
    let mut asked_at = Instant::now();
    while !is_told_to_end.load(Ordering::Relaxed) {
        terminal.draw(|frame| screen.draw(frame)).context("drawing")?;
        if wait_for_keys(&mut screen).context("waiting for keys")? == Next::Ends {
            break;
        }
        feed.take(&mut screen)?;
        if !screen.is_paused() && asked_at.elapsed() >= PAUSE && feed.ask() {
            asked_at = Instant::now();
        }
    }
    Ok(())
}

/// Handles what was pressed, or pauses for a tick. A size that has changed is drawn for with the next turn.
fn wait_for_keys(screen: &mut Screen) -> io::Result<Next> {
    let mut wait = TICK;
    for _ in 0..KEYS_PER_TURN {
        match event::poll(wait) {
            Ok(true) => {}
            Ok(false) => break,
            // By a signal; the caller looks which.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
            Err(error) => return Err(error),
        }
        if let Event::Key(key) = event::read()?
            && screen.press(key) == Next::Ends
        {
            return Ok(Next::Ends);
        }
        wait = Duration::ZERO;
    }
    Ok(Next::GoesOn)
}

/// A flag that signals set which ask for an end. Control and C is a key here.
fn signals() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// The terminal while it is drawn on. A panic puts it back as well, before its message is printed.
struct TakenTerminal;

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        // There is nobody to tell when the terminal is gone.
        let _ = ratatui::try_restore();
    }
}

/// The broker, asked by a thread of its own, so that keys have their turn while it takes its time.
struct Feed {
    questions: SyncSender<()>,
    answers: Receiver<Result<Answer, SourceError>>,
}

impl Feed {
    fn start(mut source: Source) -> anyhow::Result<Self> {
        let (questions, asked) = sync_channel::<()>(1);
        let (answer, answers) = sync_channel(ANSWERS_MAX);
        let work = move || {
            for () in asked {
                let read = source.read(|one| drop(answer.send(Ok(one))));
                if let Err(error) = read
                    && answer.send(Err(error)).is_err()
                {
                    break;
                }
            }
        };
        thread::Builder::new().name("perf-feed".to_owned()).spawn(work).context("starting a thread")?;
        Ok(Self { questions, answers })
    }

    /// Asks for what is new. Answers whether there was room for the question.
    fn ask(&self) -> bool {
        self.questions.try_send(()).is_ok()
    }

    /// Takes the answers that have come.
    fn take(&self, screen: &mut Screen) -> anyhow::Result<()> {
        for _ in 0..ANSWERS_MAX {
            match self.answers.try_recv() {
                Ok(Ok(answer)) => screen.add(answer),
                Ok(Err(error)) => screen.fail(error.to_string()),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => anyhow::bail!("the thread that asks the broker has ended"),
            }
        }
        Ok(())
    }
}
