//! A llama model from a GGUF file: loading, and one answer at a time.
//!
//! Everything here runs on a worker (see [`super::workers`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, TensorInfo};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use candle_transformers::models::quantized_llama::{MAX_SEQ_LEN, ModelWeights};

use super::file;
use super::prompt::Prompter;

/// No question is longer, in model tokens, its frame included: candle prepares positions up to 4,096, and
/// the answer needs its share.
pub const PROMPT_TOKENS_MAX: usize = 3800;
/// Tokens of a question in one pass; between passes a call can end.
pub const PREFILL_TOKENS: usize = 32;

/// Divides the weight of what was said already; without it small models repeat themselves.
const REPEAT_PENALTY: f32 = 1.1;
/// How far back a repetition counts, in tokens.
const REPEAT_WINDOW: usize = 64;
/// Where a tensor may begin.
const ALIGNMENT: usize = 32;

/// Why a question got no answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// The caller has gone, or the deadline has passed.
    Unwanted,
    /// The question has this many tokens.
    TooLong { tokens: usize },
    /// The engine failed.
    Broken(String),
}

impl From<candle_core::Error> for Stop {
    fn from(error: candle_core::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A loaded model. Shared by all questions: its weights are never written to.
pub(super) struct Model {
    name: String,
    /// With the opening read already: it is the same for every question.
    weights: ModelWeights,
    opening_tokens: usize,
    prompter: Prompter,
}

impl Model {
    /// Reads a model, on a worker.
    ///
    /// # Errors
    /// What is wrong, with the command or setting that mends it.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        file::check(path)?;
        let started = tokio::time::Instant::now();
        let model = Self::read(path).map_err(|reason| {
            format!(
                "the embedded model's file {} cannot be used ({reason}): set providers.embedded.model_path to a \
                 GGUF file of llama architecture, or run `make model`",
                path.display(),
            )
        })?;
        tracing::info!(model = model.name, took = ?started.elapsed(), "the embedded model is loaded");
        Ok(model)
    }

    fn read(path: &Path) -> Result<Self, String> {
        let told = |error: candle_core::Error| error.to_string();
        let mut reader = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
        let content = Content::read(&mut reader).map_err(told)?;
        let architecture = text(&content, "general.architecture").unwrap_or("none");
        if architecture != "llama" {
            return Err(format!("its architecture is {architecture}"));
        }
        let prompter = Prompter::of(&content)?;
        // `general.name` is what its trainer called the run; people know a model by its file.
        let name =
            path.file_stem().map_or_else(|| "unnamed".into(), |name| name.to_string_lossy().into_owned());
        let (content, bytes) = transcoded(content, &mut reader).map_err(told)?;
        let mut weights =
            ModelWeights::from_gguf(content, &mut Cursor::new(bytes), &Device::Cpu).map_err(told)?;
        let opening = prompter.opening()?;
        pass(&mut weights, &opening, 0).map_err(told)?;
        Ok(Self { name, weights, opening_tokens: opening.len(), prompter })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Answers one question. `go_on` is asked before each pass through the model, which takes about as long
    /// as one token.
    pub(super) fn answer(
        &self,
        question: &str,
        max_tokens: usize,
        mut go_on: impl FnMut() -> Result<(), Stop>,
    ) -> Result<String, Stop> {
        let prompt = self.prompter.question(question).map_err(Stop::Broken)?;
        let tokens = self.opening_tokens + prompt.len();
        if tokens > PROMPT_TOKENS_MAX {
            return Err(Stop::TooLong { tokens });
        }
        // Copies handles to the weights; the memory of this conversation is the copy's own.
        let mut weights = self.weights.clone();
        let mut position = self.opening_tokens;
        let mut pass = |tokens: &[u32]| {
            go_on()?;
            let next = pass(&mut weights, tokens, position)?;
            position += tokens.len();
            Ok::<_, Stop>(next)
        };
        let mut next = Vec::new();
        for piece in prompt.chunks(PREFILL_TOKENS) {
            next = pass(piece)?;
        }
        let room = (MAX_SEQ_LEN - tokens).min(max_tokens);
        let mut said = Vec::with_capacity(room);
        while said.len() < room {
            let token = choose(&mut next, &said);
            if self.prompter.is_end(token) {
                break;
            }
            said.push(token);
            if said.len() < room {
                next = pass(&[token])?;
            }
        }
        self.prompter.text(&said).map_err(Stop::Broken)
    }

    #[cfg(test)]
    pub(super) fn prompter(&self) -> &Prompter {
        &self.prompter
    }
}

/// Reads tokens that stand at `position`, and weighs what may come next.
fn pass(weights: &mut ModelWeights, tokens: &[u32], position: usize) -> candle_core::Result<Vec<f32>> {
    let input = Tensor::new(tokens, &Device::Cpu)?.unsqueeze(0)?;
    weights.forward(&input, position)?.squeeze(0)?.to_vec1::<f32>()
}

/// The likeliest token, once what was said lately has been made less likely.
fn choose(weights: &mut [f32], said: &[u32]) -> u32 {
    let mut lately = said[said.len().saturating_sub(REPEAT_WINDOW)..].to_vec();
    lately.sort_unstable();
    lately.dedup();
    for token in lately {
        if let Some(weight) = weights.get_mut(token as usize) {
            *weight = if *weight >= 0.0 { *weight / REPEAT_PENALTY } else { *weight * REPEAT_PENALTY };
        }
    }
    let best = weights.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (token, weight)| {
        if *weight > best.1 { (token, *weight) } else { best }
    });
    u32::try_from(best.0).unwrap_or(0)
}

fn text<'a>(content: &'a Content, key: &str) -> Option<&'a str> {
    content.metadata.get(key)?.to_string().ok().map(String::as_str)
}

/// The same model with its Q4_1 tensors as Q8_0, in memory.
///
/// candle 0.11 has no fast kernel for Q4_1 on x86: the detour costs half a second once and makes every
/// token four times faster.
fn transcoded<R: Read + Seek>(content: Content, file: &mut R) -> candle_core::Result<(Content, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut infos = HashMap::with_capacity(content.tensor_infos.len());
    for (name, info) in &content.tensor_infos {
        let mut tensor = info.read(file, content.tensor_data_offset, &Device::Cpu)?;
        if tensor.dtype() == GgmlDType::Q4_1 {
            tensor = QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?;
        }
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let offset = bytes.len() as u64;
        infos.insert(
            name.clone(),
            TensorInfo { ggml_dtype: tensor.dtype(), shape: tensor.shape().clone(), offset },
        );
        bytes.extend_from_slice(&tensor.data()?);
    }
    Ok((Content { tensor_infos: infos, tensor_data_offset: 0, ..content }, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_token_is_chosen_and_what_was_said_is_less_likely() {
        assert_eq!(choose(&mut [0.1, 2.0, 1.9], &[]), 1);
        assert_eq!(choose(&mut [0.1, 2.0, 1.9], &[1]), 2);
        assert_eq!(choose(&mut [-1.0, -1.05], &[0]), 1);
        assert_eq!(choose(&mut [0.1, 2.0, 1.7], &[1]), 1);
        let long_ago: Vec<u32> = std::iter::once(1).chain(std::iter::repeat_n(0, REPEAT_WINDOW)).collect();
        assert_eq!(choose(&mut [0.1, 2.0, 1.9], &long_ago), 1);
    }
}
