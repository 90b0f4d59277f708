//! Server-sent events, wherever the network cuts them.

/// Takes a body piece by piece and hands out the data of each event. The bound is the body's.
#[derive(Default)]
pub(super) struct Events {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The data lines of an event whose end has not come.
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was a carriage return: a line feed right after it belongs to the same line end.
    after_return: bool,
    /// Something was read; only before that a byte order mark may stand.
    begun: bool,
    ended: bool,
}

impl Events {
    /// Reads a piece. `take` gets the data of each event that it completes; its error ends the reading.
    pub(super) fn feed<E>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.after_return && !bytes.is_empty() {
            self.after_return = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, rest) = bytes.split_at(end);
            if self.line.is_empty() {
                self.end_line(head, &mut take)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                let outcome = self.end_line(&line, &mut take);
                // Its room is used again.
                line.clear();
                self.line = line;
                outcome?;
            }
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// The body is at its end: a last event without its empty line counts, since some servers end so.
    pub(super) fn end<E>(&mut self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.ended = true;
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.end_line(&line, &mut take)?;
        }
        self.end_line(b"", &mut take)
    }

    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    fn end_line<E>(&mut self, line: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let line = if self.begun { line } else { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) };
        self.begun = true;
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                let outcome = take(&self.data);
                self.data.clear();
                return outcome;
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            self.has_data = true;
        }
        // Comments, event names and ids say nothing that is needed.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut events = Events::default();
        let mut read = Vec::new();
        let mut take = |data: &[u8]| {
            read.push(String::from_utf8_lossy(data).into_owned());
            Ok::<_, Infallible>(())
        };
        for piece in pieces {
            let Ok(()) = events.feed(piece, &mut take);
        }
        let Ok(()) = events.end(&mut take);
        read
    }

    #[test]
    fn an_event_is_its_data_lines_and_nothing_else() {
        let body =
            b"\xEF\xBB\xBF: hello\nevent: x\ndata: one\nid: 7\ndata:two\n\n\n: ping\n\ndata\ndata: \n\n";
        assert_eq!(read([&body[..]]), ["one\ntwo", ""]);
    }

    #[test]
    fn a_last_event_without_its_empty_line_counts() {
        assert_eq!(read([&b"data: a\n\ndata: [DONE]"[..]]), ["a", "[DONE]"]);
    }

    #[test]
    fn every_kind_of_line_end_at_every_cut_reads_the_same() {
        for end in ["\n", "\r\n", "\r"] {
            let body =
                ["data: {\"a\":1}", "", ": x", "data: b", "data: c", "", "data: [DONE]", "", ""].join(end);
            let body = body.as_bytes();
            for cut in 0..=body.len() {
                let pieces = [&body[..cut], &body[cut..]];
                assert_eq!(read(pieces), ["{\"a\":1}", "b\nc", "[DONE]"], "{end:?} cut at {cut}");
            }
            assert_eq!(read(body.chunks(1)), ["{\"a\":1}", "b\nc", "[DONE]"], "{end:?} byte by byte");
        }
    }

    proptest! {
        #[test]
        fn no_cut_changes_what_is_read(body in "(data: |:|event|\n|\r|\r\n|a|é| )*", sizes in proptest::collection::vec(1_usize..7, 0..20)) {
            let whole = read([body.as_bytes()]);
            let mut rest = body.as_bytes();
            let mut pieces = Vec::new();
            for size in sizes {
                let (head, tail) = rest.split_at(size.min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            pieces.push(rest);
            prop_assert_eq!(read(pieces), whole);
        }
    }
}
