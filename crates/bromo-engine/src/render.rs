//! What a model wrote, as plain text and as a page. Hostile markup stays text or is dropped.

use std::borrow::Cow;
use std::fmt::Write as _;

use bromo_rules::answer::Answer;
use bromo_rules::question::Question;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Markdown as plain text: no marks, one line a block, links by their words.
pub(crate) fn text(markdown: &str) -> Cow<'_, str> {
    if !markdown.bytes().any(|byte| MARKS[usize::from(byte)]) {
        return Cow::Borrowed(markdown.trim());
    }
    let mut text = String::with_capacity(markdown.len());
    let mut lists: Vec<Option<u64>> = Vec::new();
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Text(words) | Event::Code(words) | Event::Html(words) | Event::InlineHtml(words) => {
                text.push_str(&words);
            }
            Event::SoftBreak | Event::HardBreak => text.push('\n'),
            Event::Start(Tag::List(first)) => {
                end_line(&mut text);
                lists.push(first);
            }
            Event::End(TagEnd::List(_)) => {
                lists.pop();
            }
            Event::Start(Tag::Item) => {
                end_line(&mut text);
                match lists.last_mut() {
                    Some(Some(number)) => {
                        let _ = write!(text, "{number}. ");
                        *number += 1;
                    }
                    _ => text.push_str("- "),
                }
            }
            Event::End(TagEnd::TableCell) => text.push('\t'),
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::CodeBlock
                | TagEnd::BlockQuote(_)
                | TagEnd::TableRow
                | TagEnd::TableHead
                | TagEnd::HtmlBlock
                | TagEnd::Item,
            )
            | Event::Rule => end_line(&mut text),
            _ => {}
        }
    }
    text.truncate(text.trim_end().len());
    Cow::Owned(text)
}

fn end_line(text: &mut String) {
    while text.ends_with(['\t', ' ']) {
        text.pop();
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// By byte: whether it may mark. A table, since every answer is looked through.
const MARKS: [bool; 256] = {
    let mut marks = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        marks[byte] = may_mark(byte as u8);
        byte += 1;
    }
    marks
};

/// Whether a byte can stand for anything but itself in markdown. A line break can too, by what stands
/// around it; digits and `-` only at a line's start, so they count after a break alone.
const fn may_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'*' | b'_'
            | b'`'
            | b'#'
            | b'['
            | b']'
            | b'<'
            | b'>'
            | b'&'
            | b'\\'
            | b'|'
            | b'~'
            | b'\n'
            | b'\r'
            | b'-'
            | b'+'
            | b'='
            | b'\t'
    ) || byte.is_ascii_digit()
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH
}

/// Bytes of markdown that a page renders.
const PAGE_BYTES_MAX: usize = 256 * 1024;
/// Blocks and spans within each other that a page renders.
const NESTING_MAX: usize = 32;

/// The answer as a stored page: sanitised, without script, style or anything that loads.
pub(crate) fn page(question: &Question, answer: &Answer) -> String {
    let body = body(&answer.markdown);
    let mut sources = String::new();
    for source in &answer.sources {
        let label = if source.label.is_empty() { &source.url } else { &source.label };
        let _ = write!(sources, "<li><a href=\"{}\">{}</a></li>", escape(&source.url), escape(label));
    }
    if !sources.is_empty() {
        sources = format!("<h2>Sources</h2><ol>{sources}</ol>");
    }
    let clean = ammonia::Builder::default()
        .rm_tags(["img", "map", "area"]) // Nothing is loaded from elsewhere.
        .url_schemes(["http", "https", "mailto"].into())
        .clean(&format!("{body}{sources}"))
        .to_string();
    let model = answer.model.as_deref().unwrap_or("unnamed model");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{prompt}</title></head>\n\
         <body><h1>{prompt}</h1>\n<p>Answered by {model} ({provider}) for {endpoint}, {country}.</p>\n{clean}</body></html>\n",
        prompt = escape(&question.prompt),
        model = escape(model),
        provider = escape(answer.provider),
        endpoint = question.endpoint,
        country = escape(&question.country),
    )
}

/// The markdown as HTML; markup in it stays text. What is too long or too deeply nested for a page is shown as
/// it was written: cleaning costs the square of the depth, and nobody else may wait for it.
fn body(markdown: &str) -> String {
    if markdown.len() > PAGE_BYTES_MAX || nests_deeply(markdown) {
        return format!("<pre>{}</pre>", escape(markdown));
    }
    let mut body = String::new();
    let events = Parser::new_ext(markdown, options()).map(|event| match event {
        Event::Html(markup) | Event::InlineHtml(markup) => Event::Text(markup),
        event => event,
    });
    pulldown_cmark::html::push_html(&mut body, events);
    body
}

fn nests_deeply(markdown: &str) -> bool {
    let mut depth = 0usize;
    Parser::new_ext(markdown, options()).any(|event| {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > NESTING_MAX
    })
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use bromo_rules::answer::Source;
    use bromo_rules::endpoint::Endpoint;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(markdown: &str, expected: &str) {
        assert_eq!(text(markdown), expected);
    }

    #[test]
    fn marks_go_and_words_stay() {
        check(
            "The capital is **Paris**, see [the map](https://a.example/).",
            "The capital is Paris, see the map.",
        );
        check("# Title\n\nOne `two`\n\n- a\n- b\n", "Title\nOne two\n- a\n- b");
        check("2. x\n3. y", "2. x\n3. y");
        check(" plain words ", "plain words");
        check("| a | b |\n|---|---|\n| 1 | 2 |", "a\tb\n1\t2");
    }

    #[test]
    fn hostile_markup_runs_nothing_on_a_stored_page() {
        let question = Question::plain(Endpoint::Chatgpt, "<script>alert(1)</script>");
        let answer = Answer {
            markdown:
                "<script>x</script><img src=x onerror=y>\n\n[z](javascript:alert(2)) <b onclick=q>w</b>"
                    .to_owned(),
            sources: vec![Source {
                url: "javascript:alert(3)".to_owned(),
                label: "<i>".to_owned(),
                ..Source::default()
            }],
            provider: "sandbox",
            ..Answer::default()
        };
        let page = page(&question, &answer);
        for bad in ["<script", "<img", "<b ", "<i>", "href=\"javascript:"] {
            assert!(!page.contains(bad), "{bad} in {page}");
        }
    }

    #[test]
    fn what_nests_too_deeply_or_is_too_long_is_shown_as_it_was_written() {
        for hostile in [">".repeat(9_000), "- ".repeat(4_500), "<b>".repeat(3_000), "x".repeat(300_000)] {
            let answer = Answer { markdown: hostile, ..Answer::default() };
            let page = page(&Question::plain(Endpoint::Gemini, "q"), &answer);
            let opened = page.matches("<blockquote").count()
                + page.matches("<ul").count()
                + page.matches("<b>").count();
            assert!(opened <= NESTING_MAX, "{opened} elements within each other");
        }
    }

    proptest! {
        #[test]
        fn the_short_way_and_the_parser_agree_on_plain_words(words in "[a-zA-Z ,.!?'\"]{0,60}") {
            let parsed: String = Parser::new_ext(words.trim(), options())
                .filter_map(|event| if let Event::Text(text) = event { Some(text.to_string()) } else { None })
                .collect();
            prop_assert_eq!(text(&words).into_owned(), parsed);
        }
    }
}
