//! Words and progress bars, on stderr: stdout belongs to programs.

use std::io::IsTerminal;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

use crate::stack::Stack;

/// Whether stderr takes colours: a terminal, and nobody asked for none (`NO_COLOR`).
pub fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn paint(style: Style, text: &str) -> String {
    if coloured() { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// A step that was done.
pub fn done(text: &str) {
    eprintln!("{} {text}", paint(AnsiColor::Green.on_default().bold(), "ok"));
}

/// Something to look at.
pub fn notice(text: &str) {
    eprintln!("{} {text}", paint(AnsiColor::Yellow.on_default().bold(), "--"));
}

/// Something that went wrong.
pub fn error(text: &str) {
    eprintln!("{} {text}", paint(AnsiColor::Red.on_default().bold(), "error:"));
}

/// A title.
pub fn title(text: &str) {
    eprintln!("{}", paint(Style::new().bold(), text));
}

/// A line below a title.
pub fn row(text: &str) {
    eprintln!("{text}");
}

/// An address that a person opens.
pub fn link(text: &str) -> String {
    paint(AnsiColor::Cyan.on_default().underline(), text)
}

/// A bar that follows the runs under way until `until` is over. Without a terminal nothing is drawn.
pub async fn follow<T>(stack: &Stack, text: &str, until: impl Future<Output = T>) -> T {
    let bar = if coloured() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("{spinner:.cyan} {msg:34} [{bar:32.cyan/blue}] {pos}/{len} units")
    {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_message(text.to_owned());
    let watch = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let (mut units, mut pending) = (0, 0);
            for connector in &stack.services().config.connectors {
                let runs = stack.observer().runs(&connector.name, 1).await.unwrap_or_default();
                if let Some(run) = runs.first() {
                    units += run.units;
                    pending += run.pending.max(0).unsigned_abs();
                }
            }
            bar.set_length(units);
            bar.set_position(units.saturating_sub(pending));
            bar.tick();
        }
    };
    let result = if bar.is_hidden() {
        until.await
    } else {
        tokio::select! { result = until => result, () = watch => unreachable!("the watch never ends") }
    };
    bar.finish_and_clear();
    result
}
