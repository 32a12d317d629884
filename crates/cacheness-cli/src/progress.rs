//! Progress of long operations, on standard error; silent if that is not a terminal.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Operations that end within this time show nothing.
const DELAY: Duration = Duration::from_millis(500);
/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(100);

/// When progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// After half a second.
    Auto,
    /// At once.
    Always,
    /// Never.
    Never,
}

impl When {
    fn delay(self) -> Option<Duration> {
        match self {
            Self::Auto => Some(DELAY),
            Self::Always => Some(Duration::ZERO),
            Self::Never => None,
        }
    }
}

/// A progress bar. It is cleared when this is dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When to show it; `None` if it is shown already, or is never shown.
    at: Option<Instant>,
}

impl Progress {
    /// `count` steps, with a `template` of indicatif.
    pub(crate) fn new(when: When, count: u64, template: &'static str) -> Self {
        let style = ProgressStyle::with_template(template).expect("the templates are valid");
        let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::hidden()).with_style(style);
        let mut progress = Self { bar, at: when.delay().and_then(|delay| Instant::now().checked_add(delay)) };
        progress.show_when_due();
        progress
    }

    /// Progress in bytes.
    pub(crate) fn bytes(when: When, count: u64) -> Self {
        Self::new(when, count, "{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
    }

    /// Progress in entries.
    pub(crate) fn entries(when: When, count: u64) -> Self {
        Self::new(when, count, "{msg} {wide_bar} {pos}/{len} {eta}")
    }

    pub(crate) fn advance(&mut self, count: u64) {
        self.bar.inc(count);
        self.show_when_due();
    }

    pub(crate) fn says(self, words: &'static str) -> Self {
        self.bar.set_message(words);
        self
    }

    fn show_when_due(&mut self) {
        if self.at.is_some_and(|at| Instant::now() >= at) {
            self.at = None;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Runs work of unknown length, and shows a spinner meanwhile.
pub(crate) fn during<T>(when: When, words: &'static str, work: impl FnOnce() -> T) -> T {
    let Some(delay) = when.delay() else { return work() };
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut wait_for = delay;
            let mut bar: Option<Progress> = None;
            while wait.recv_timeout(wait_for) == Err(RecvTimeoutError::Timeout) {
                wait_for = TICK;
                let new = || Progress::new(When::Always, 0, "{spinner} {msg} {elapsed}").says(words);
                bar.get_or_insert_with(new).bar.tick();
            }
        });
        let _done = done;
        work()
    })
}
