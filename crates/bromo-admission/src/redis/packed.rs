//! Numbers and short texts in one argument, as the scripts' `cmsgpack` reads them (`MessagePack`), and the numbers of an
//! answer, as their `struct` writes them. Redis would parse each argument by itself, and Lua make a text of it.

/// What is said to a script.
#[derive(Debug, Default)]
pub(crate) struct Packed(Vec<u8>);

impl Packed {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        match u8::try_from(number) {
            Ok(small @ 0..=0x7f) => self.0.push(small),
            _ => self.head(0xd3, &number.to_be_bytes()),
        }
        self
    }

    /// What is not negative; past the largest number Lua counts in doubles anyway.
    pub(crate) fn count(&mut self, count: u64) -> &mut Self {
        self.number(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(crate) fn flag(&mut self, flag: bool) -> &mut Self {
        self.0.push(if flag { 0xc3 } else { 0xc2 });
        self
    }

    pub(crate) fn text(&mut self, text: &[u8]) -> &mut Self {
        match u8::try_from(text.len()) {
            Ok(short @ 0..=31) => self.0.push(0xa0 | short),
            _ => {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                self.head(0xdb, &length.to_be_bytes());
            }
        }
        self.0.extend_from_slice(text);
        self
    }

    pub(crate) fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) -> &mut Self {
        let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.head(0xdd, &length.to_be_bytes());
        for item in items {
            each(self, item);
        }
        self
    }

    fn head(&mut self, kind: u8, rest: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(rest);
    }
}

/// The numbers of an answer: Lua's, eight bytes each. None for what no script of ours answers.
pub(crate) fn numbers(bytes: &[u8]) -> Option<Vec<i64>> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|number| whole(f64::from_le_bytes(*number))).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates, which is what is wanted")]
const fn whole(number: f64) -> i64 {
    number as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_to_its_end_or_is_none() {
        let answer = [0.0, -3.0, 9_007_199_254_740_992.0, 1e300].map(f64::to_le_bytes).concat();
        assert_eq!(numbers(&answer), Some(vec![0, -3, 1 << 53, i64::MAX]));
        assert_eq!(numbers(&answer[..31]), None);
    }

    #[test]
    fn what_is_said_is_what_cmsgpack_reads() {
        let mut packed = Packed::default();
        packed.number(127).number(128).number(-1).count(u64::MAX).flag(true).flag(false).text(b"ab");
        packed.list(&[5], |packed, number| _ = packed.number(*number));
        let expected = [
            &[0x7f][..],
            &[0xd3, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0xd3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xd3, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xc3, 0xc2, 0xa2, b'a', b'b', 0xdd, 0, 0, 0, 1, 5],
        ];
        assert_eq!(packed.bytes(), expected.concat());
    }

    #[test]
    fn a_long_text_has_a_long_head() {
        let mut packed = Packed::default();
        packed.text(&[b'x'; 40]);
        assert_eq!(packed.bytes()[..6], [0xdb, 0, 0, 0, 40, b'x']);
    }
}
