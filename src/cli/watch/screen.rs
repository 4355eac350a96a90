//! The terminal while it is drawn on.

use std::io::{self, Stdout, Write, stderr, stdout};
use std::panic::{set_hook, take_hook};
use std::sync::{Arc, Mutex, PoisonError};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// How many panics are told of, at most.
const MAX_TOLD: usize = 4;

/// What panicked while the terminal was drawn on; none when it is not.
type Panics = Arc<Mutex<Option<Vec<String>>>>;

/// A terminal that shows one page of its own and hands over each key. Dropped, also by a panic, it is as it was before, and what
/// panicked meanwhile is told: on the page nobody could read it, and a rule that panics ends nothing.
#[derive(Debug)]
pub(super) struct Screen {
    /// What is drawn on. It is done with before the terminal is restored.
    pub(super) terminal: Terminal<CrosstermBackend<Stdout>>,
    _restore: Restore,
}

#[derive(Debug)]
struct Restore(Panics);

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// It is no terminal, or cannot be drawn on; it is as it was then.
    pub(super) fn open() -> io::Result<Self> {
        let restore = Restore(Arc::new(Mutex::new(Some(Vec::new()))));
        let (panics, before) = (Arc::clone(&restore.0), take_hook());
        set_hook(Box::new(move |panic| match &mut *panics.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(told) if told.len() < MAX_TOLD => told.push(panic.to_string()),
            Some(_) => {}
            None => before(panic),
        }));
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(Self { terminal, _restore: restore })
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        // A terminal that is gone needs neither.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen);
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        for panic in told.into_iter().flatten() {
            let _ = writeln!(stderr(), "{panic}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a terminal of its own needs a process of its own")]

    use std::fs::File;
    use std::io::Read;
    use std::panic::catch_unwind;
    use std::process::{Command, Stdio};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use anyhow::bail;
    use ratatui::widgets::Paragraph;
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

    use super::*;

    /// What the process on the terminal is to do.
    const ENDS: &str = "EDGESHIFT_TEST_ENDS";
    const ENTER: &str = "\u{1b}[?1049h";
    const LEAVE: &str = "\u{1b}[?1049l";

    /// Runs [`the_process_on_the_terminal`] on a new terminal; says what that showed.
    fn shown(ends: &str) -> String {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 10, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let before = tcgetattr(&theirs).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::watch::screen::tests::the_process_on_the_terminal", "--nocapture"]);
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut child = command.env(ENDS, ends).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // The command keeps its ends open.
        drop(command);
        let (send, pieces) = channel();
        let mut terminal = File::from(ours);
        let mut reading = terminal.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count) = reading.read(&mut piece) {
                if send.send(String::from_utf8_lossy(&piece[..count]).into_owned()).is_err() {
                    return;
                }
            }
        });
        let mut text = String::new();
        while !text.contains("drawn") {
            let piece = pieces.recv_timeout(Duration::from_secs(60));
            text.push_str(&piece.unwrap_or_else(|_| panic!("{ends}: {text:?}")));
        }
        assert!(!tcgetattr(&theirs).unwrap().local_modes.contains(LocalModes::ICANON), "{ends}");
        terminal.write_all(b"g").unwrap();
        child.wait().unwrap();
        let after = tcgetattr(&theirs).unwrap();
        assert_eq!((before.local_modes, before.input_modes), (after.local_modes, after.input_modes), "{ends}");
        // The reader gets an error for an end once nobody else has the terminal.
        drop(theirs);
        text.extend(pieces.iter());
        text
    }

    /// Not a test but where [`shown`] asks for it.
    #[test]
    fn the_process_on_the_terminal() {
        let Ok(ends) = std::env::var(ENDS) else { return };
        let on_screen = || {
            let mut screen = Screen::open()?;
            screen.terminal.draw(|frame| frame.render_widget(Paragraph::new("drawn"), frame.area()))?;
            io::stdin().read_exact(&mut [0])?;
            match ends.as_str() {
                "panics" => panic!("as planned"),
                "fails" => bail!("as planned"),
                "a rule panics" => drop(catch_unwind(|| panic!("as planned"))),
                _ => {}
            }
            screen.terminal.draw(|frame| frame.render_widget(Paragraph::new("AGAIN"), frame.area()))?;
            Ok(())
        };
        on_screen().unwrap();
    }

    #[test]
    fn the_terminal_is_as_it_was_whatever_ends_the_view() {
        for ends in ["well", "fails", "panics", "a rule panics"] {
            let text = shown(ends);
            assert_eq!((text.matches(ENTER).count(), text.matches(LEAVE).count()), (1, 1), "{ends}: {text:?}");
            let (screen, after) = text.split_once(LEAVE).unwrap();
            assert_eq!(after.contains("as planned"), ends != "well", "{ends}: {text:?}");
            assert!(!screen.contains("as planned"), "{ends}: {text:?}");
            // What panics and is caught does not end the view, and all of it was on the page.
            let goes_on = ["well", "a rule panics"].contains(&ends);
            assert_eq!(screen.contains("AGAIN"), goes_on, "{ends}: {text:?}");
            assert!(!after.contains("AGAIN"), "{ends}: {text:?}");
        }
    }
}
