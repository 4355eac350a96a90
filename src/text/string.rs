//! JSON string literals: what they say, and which bytes said it.
//!
//! Decoding works on UTF-16 units, as the agents that write and join `createOptions` pieces do: a piece may end in
//! the first half of a surrogate pair and the next one begin with the second.

use std::ops::Range;

use super::tree::narrow;

/// Which outer bytes each inner byte came from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// In order of `inner`, without gaps.
    segments: Vec<Segment>,
    inner_len: u32,
}

/// Kept small: createOptions in a string have a segment or two for each of their quotes.
#[derive(Debug, Clone, Copy)]
struct Segment {
    inner: u32,
    outer: u32,
    outer_len: u32,
    /// Byte for byte, or as a whole (an escape sequence).
    linear: bool,
}

impl Origin {
    fn push(&mut self, inner_len: usize, outer: Range<usize>, linear: bool) {
        let (inner, outer, outer_len) = (self.inner_len, narrow(outer.start), narrow(outer.len()));
        self.inner_len += narrow(inner_len);
        if let Some(last) = self.segments.last_mut()
            && linear
            && last.linear
            && last.outer + last.outer_len == outer
        {
            last.outer_len += outer_len;
            return;
        }
        self.segments.push(Segment { inner, outer, outer_len, linear });
    }

    /// The outer ranges of `inner`, in order; neighbours are merged. An empty range gives the place where it stands.
    pub(super) fn outer(&self, inner: Range<usize>) -> Vec<Range<usize>> {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let first = self.segments.partition_point(|s| s.inner as usize <= inner.start).saturating_sub(1);
        for (i, segment) in self.segments.iter().enumerate().skip(first) {
            let (start, outer) = (segment.inner as usize, segment.outer());
            let end = self.segments.get(i + 1).map_or(self.inner_len, |next| next.inner) as usize;
            let (from, to) = (inner.start.max(start), inner.end.min(end));
            if start >= inner.end && !(inner.is_empty() && from == to) {
                break;
            }
            if from > to || (from == to && !inner.is_empty()) {
                continue;
            }
            let outer = if segment.linear {
                outer.start + (from - start)..outer.start + (to - start)
            } else if inner.is_empty() {
                let at = if from == start { outer.start } else { outer.end };
                at..at
            } else {
                outer
            };
            match ranges.last_mut() {
                Some(last) if last.end == outer.start => last.end = outer.end,
                // Both halves of a surrogate pair map to one escape sequence each; half a pair maps to the same one.
                Some(last) if *last == outer => {}
                _ => ranges.push(outer),
            }
            if inner.is_empty() {
                break;
            }
        }
        ranges
    }
}

impl Segment {
    fn outer(&self) -> Range<usize> {
        self.outer as usize..(self.outer + self.outer_len) as usize
    }
}

/// A string (or several, joined) being decoded.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    text: String,
    origin: Origin,
    /// The first half of a surrogate pair and where it stands.
    pending: Option<(u16, Range<usize>)>,
}

impl Decoder {
    /// Adds the content of a literal (without its quotes) that starts at byte `outer`. The literal has been
    /// tokenised before, so malformed escapes cannot occur; were one to, it would be kept as it stands.
    pub(super) fn literal(&mut self, content: &str, outer: usize) {
        let bytes = content.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'\\' {
                let (unit, len) = escape(&content[at..]);
                let outer = outer + at..outer + at + len;
                match u8::try_from(unit) {
                    Ok(ascii) if ascii.is_ascii() => {
                        self.flush();
                        self.char(ascii.into(), outer);
                    }
                    _ => self.unit(unit, outer),
                }
                at += len;
            } else {
                let end = content[at..].find('\\').map_or(bytes.len(), |i| at + i);
                self.flush();
                self.text.push_str(&content[at..end]);
                self.origin.push(end - at, outer + at..outer + end, true);
                at = end;
            }
        }
    }

    /// The decoded text and where it came from.
    pub(super) fn finish(mut self) -> (String, Origin) {
        self.flush();
        (self.text, self.origin)
    }

    fn unit(&mut self, unit: u16, outer: Range<usize>) {
        if let Some((high, high_outer)) = self.pending.take() {
            if let Some(Ok(c)) = char::decode_utf16([high, unit]).next()
                && c.len_utf16() == 2
            {
                self.text.push(c);
                // Four inner bytes, two per half: spans lie on character boundaries, so they take both or none.
                self.origin.push(2, high_outer, false);
                self.origin.push(2, outer, false);
                return;
            }
            self.char(char::REPLACEMENT_CHARACTER, high_outer);
        }
        match char::decode_utf16([unit]).next() {
            Some(Ok(c)) => self.char(c, outer),
            _ if (0xd800..0xdc00).contains(&unit) => self.pending = Some((unit, outer)),
            _ => self.char(char::REPLACEMENT_CHARACTER, outer),
        }
    }

    fn flush(&mut self) {
        if let Some((_, outer)) = self.pending.take() {
            self.char(char::REPLACEMENT_CHARACTER, outer);
        }
    }

    fn char(&mut self, c: char, outer: Range<usize>) {
        self.text.push(c);
        self.origin.push(c.len_utf8(), outer, false);
    }
}

/// The UTF-16 unit of the escape sequence at the start of `text`, and its length in bytes.
fn escape(text: &str) -> (u16, usize) {
    let unit = |c: char| u16::try_from(u32::from(c)).unwrap_or(0xfffd);
    match text[1..].chars().next() {
        Some('u') => match text.get(2..6).and_then(|hex| u16::from_str_radix(hex, 16).ok()) {
            Some(code) => (code, 6),
            None => (unit('u'), 2),
        },
        Some('b') => (8, 2),
        Some('f') => (12, 2),
        Some('n') => (10, 2),
        Some('r') => (13, 2),
        Some('t') => (9, 2),
        Some(c) => (unit(c), 1 + c.len_utf8()),
        None => (unit('\\'), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[(&str, usize)]) -> (String, Origin) {
        let mut decoder = Decoder::default();
        for (content, outer) in pieces {
            decoder.literal(content, *outer);
        }
        decoder.finish()
    }

    #[test]
    fn an_escape_maps_as_a_whole() {
        let (text, origin) = decode(&[(r"a\nb", 10)]);
        assert_eq!(text, "a\nb");
        assert_eq!(origin.outer(0..3), [10..14]);
        assert_eq!(origin.outer(1..2), [11..13]);
        assert_eq!(origin.outer(2..3), [13..14]);
    }

    #[test]
    fn a_pair_cut_in_two_maps_to_two_ranges() {
        let (text, origin) = decode(&[(r"x\ud83d", 0), (r"\ude00y", 100)]);
        assert_eq!(text, "x😀y");
        assert_eq!(origin.outer(1..5), [1..7, 100..106]);
        assert_eq!(origin.outer(5..6), [106..107]);
        assert_eq!(origin.outer(5..5), [106..106]);
    }

    #[test]
    fn half_a_pair_becomes_the_replacement_character() {
        let (text, origin) = decode(&[(r"\ud83dx\ude00", 0)]);
        assert_eq!(text, "\u{fffd}x\u{fffd}");
        assert_eq!(origin.outer(0..3), [0..6]);
        assert_eq!(origin.outer(4..7), [7..13]);
    }

    #[test]
    fn an_empty_range_at_the_end_stands_after_the_last_byte() {
        let (_, origin) = decode(&[(r"ab", 5), (r"\n", 20)]);
        assert_eq!(origin.outer(3..3), [22..22]);
        assert_eq!(origin.outer(0..0), [5..5]);
    }
}
