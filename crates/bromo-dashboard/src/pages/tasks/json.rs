//! JSON for reading: indented, every number and string as it came, digit for digit.

/// Spaces of a level.
const INDENT: usize = 2;

/// `text`, which is JSON, with a line for each entry.
pub(super) fn indented(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if in_string {
            out.push(character);
            (in_string, escaped) = (escaped || character != '"', !escaped && character == '\\');
            continue;
        }
        match character {
            space if space.is_whitespace() => {}
            '"' => {
                in_string = true;
                out.push(character);
            }
            '{' | '[' => {
                out.push(character);
                while characters.peek().is_some_and(|next| next.is_whitespace()) {
                    characters.next();
                }
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', depth * INDENT));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_strings_their_characters() {
        let text = r#"{"a":12345678901234567890.10,"b":["x, {y}: \"z\" \\",[],{ }],"c":null}"#;
        let expected = "{\n  \"a\": 12345678901234567890.10,\n  \"b\": [\n    \"x, {y}: \\\"z\\\" \\\\\",\n    [],\n    {}\n  ],\n  \"c\": null\n}";
        assert_eq!(indented(text), expected);
    }
}
