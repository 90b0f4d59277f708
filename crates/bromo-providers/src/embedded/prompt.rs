//! From a question to the model's tokens and back: ChatML, written by hand.

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

/// Said before every question. The line of the model's own template makes it answer in looping French;
/// without any it adds worse.
const SYSTEM: &str = "You answer questions with short, correct facts. When asked for names, give a numbered list \
                      of well-known ones.";

/// The tokenizer of a chat model, and the tokens that mark its turns.
pub(super) struct Prompter {
    tokenizer: Tokenizer,
    turn_start: u32,
    turn_end: u32,
    text_end: Option<u32>,
}

impl Prompter {
    /// Takes the tokenizer out of a model's file.
    ///
    /// # Errors
    /// What about it does not fit.
    pub(super) fn of(content: &Content) -> Result<Self, String> {
        let mut tokenizer =
            Tokenizer::from_gguf(content).map_err(|error| format!("its tokenizer: {error}"))?;
        let kind = content.metadata.get("tokenizer.ggml.pre").and_then(|kind| kind.to_string().ok());
        // candle knows no `smollm` and falls back to one that puts a space before every text.
        match kind.map(String::as_str) {
            Some("qwen2" | "smaug-bpe" | "lfm2" | "llama3") => {}
            Some("smollm") => {
                let parts = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
                tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::from(Sequence::new(parts))));
            }
            _ => {
                tokenizer
                    .with_pre_tokenizer(Some(PreTokenizerWrapper::from(ByteLevel::new(false, true, true))));
            }
        }
        // Marks in a customer's text are text. The real ones are put in by their number.
        tokenizer.set_encode_special_tokens(true);
        let token = |text: &str| tokenizer.token_to_id(text);
        let turn =
            |text: &str| token(text).ok_or_else(|| format!("no token {text}: it is not a ChatML model"));
        Ok(Self {
            turn_start: turn("<|im_start|>")?,
            turn_end: turn("<|im_end|>")?,
            text_end: token("<|endoftext|>"),
            tokenizer,
        })
    }

    /// The tokens before every question.
    ///
    /// # Errors
    /// The tokenizer's own, which no text is known to cause.
    pub(super) fn opening(&self) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        self.turn(&mut tokens, "system", SYSTEM)?;
        Ok(tokens)
    }

    /// The tokens of a question, up to where the answer begins.
    ///
    /// # Errors
    /// As above.
    pub(super) fn question(&self, question: &str) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        self.turn(&mut tokens, "user", question)?;
        tokens.push(self.turn_start);
        tokens.extend_from_slice(self.encode("assistant\n")?.get_ids());
        Ok(tokens)
    }

    fn turn(&self, tokens: &mut Vec<u32>, who: &str, says: &str) -> Result<(), String> {
        tokens.push(self.turn_start);
        tokens.extend_from_slice(self.encode(&format!("{who}\n{says}"))?.get_ids());
        tokens.push(self.turn_end);
        tokens.extend_from_slice(self.encode("\n")?.get_ids());
        Ok(())
    }

    fn encode(&self, text: &str) -> Result<tokenizers::Encoding, String> {
        self.tokenizer.encode_fast(text, false).map_err(|error| error.to_string())
    }

    /// Whether the model has said its last word.
    pub(super) fn is_end(&self, token: u32) -> bool {
        token == self.turn_end || Some(token) == self.text_end
    }

    /// The text of an answer.
    ///
    /// # Errors
    /// The tokenizer's own.
    pub(super) fn text(&self, tokens: &[u32]) -> Result<String, String> {
        let text = self.tokenizer.decode(tokens, true).map_err(|error| error.to_string())?;
        // An answer that was cut may end within a character.
        Ok(text.trim().trim_end_matches('\u{FFFD}').to_owned())
    }
}
