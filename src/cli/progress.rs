//! How far a check of many files is: one line of a terminal, rewritten and in the end wiped out.

use std::io::Write;

/// From how many files on it is worth a line.
const MANY: usize = 20;

pub(super) struct Progress<W: Write> {
    /// None where nobody looks, or where there is little to wait for.
    terminal: Option<W>,
    done: usize,
    total: usize,
    /// Columns that the line has taken.
    width: usize,
}

impl<W: Write> Progress<W> {
    /// Of `total` files; on `terminal`, which is none where the stream goes elsewhere.
    pub(super) fn new(total: usize, terminal: Option<W>) -> Self {
        Self { terminal: terminal.filter(|_| total >= MANY), done: 0, total, width: 0 }
    }

    /// One more file is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        let Some(terminal) = &mut self.terminal else { return };
        let line = format!("checked {} of {} files", self.done, self.total);
        self.width = self.width.max(line.len());
        // Nothing is lost where this cannot be written.
        let _ = write!(terminal, "\r{line}").and_then(|()| terminal.flush());
    }

    /// Leaves an empty line, with the cursor at its start.
    pub(super) fn finish(mut self) {
        let Some(terminal) = &mut self.terminal else { return };
        let _ = write!(terminal, "\r{:width$}\r", "", width = self.width).and_then(|()| terminal.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(total: usize, on_terminal: bool) -> String {
        let mut written = Vec::new();
        let mut progress = Progress::new(total, on_terminal.then_some(&mut written));
        (0..total).for_each(|_| progress.step());
        progress.finish();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn a_line_from_twenty_files_on_and_on_terminals_only() {
        assert_eq!(shown(19, true), "");
        assert_eq!(shown(400, false), "");
        let shown = shown(20, true);
        assert!(shown.contains("\rchecked 7 of 20 files\r"), "{shown:?}");
        assert!(shown.ends_with("\rchecked 20 of 20 files\r                      \r"), "{shown:?}");
    }
}
