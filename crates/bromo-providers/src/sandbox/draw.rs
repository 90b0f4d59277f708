//! Made-up names, prices and places, drawn from the question and so equal for equal questions.

use bromo_rules::question::{Device, Question};
use serde_json::{Value, json};

/// Characters of the prompt that stand in titles and searches.
const TOPIC_CHARS_MAX: usize = 80;
/// Characters of the prompt that stand in addresses.
const SLUG_CHARS_MAX: usize = 40;

const NAMES: [&str; 12] = [
    "Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel", "Ivy", "Juniper", "Larch", "Maple",
];

/// A stream of numbers (splitmix64), begun by the question.
pub(super) struct Draw(u64);

/// An amount in US dollars and as it is printed.
pub(super) struct Price {
    pub(super) value: f64,
    pub(super) raw: String,
}

impl Price {
    pub(super) fn to_json(&self) -> Value {
        json!({ "value": self.value, "currency": "USD", "raw": self.raw })
    }
}

impl Draw {
    /// Begins with all that is asked except what the answer shall contain: a flag adds fields and changes
    /// no other.
    pub(super) fn new(question: &Question, prompt: &str) -> Self {
        let device = match question.device {
            Device::Desktop => "desktop",
            Device::Mobile => "mobile",
            Device::Ios => "ios",
            Device::Android => "android",
        };
        let start = question.start.to_string();
        let words = [
            question.endpoint.name(),
            prompt,
            &question.country,
            question.state.as_deref().unwrap_or_default(),
            question.hl.as_deref().unwrap_or_default(),
            question.location.as_deref().unwrap_or_default(),
            question.uule.as_deref().unwrap_or_default(),
            device,
            &start,
        ];
        // FNV-1a, with a separator that no text holds.
        let bytes = words.iter().flat_map(|word| word.bytes().chain(std::iter::once(0xFF)));
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper half, scaled: no remainder, no bias worth speaking of.
        u32::try_from(((mixed >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }

    pub(super) fn name(&mut self) -> &'static str {
        NAMES[self.below(12) as usize]
    }

    /// Names that differ.
    pub(super) fn names<const COUNT: usize>(&mut self) -> [&'static str; COUNT] {
        let first = self.below(12) as usize;
        // Five and twelve share no factor, so the steps meet no name twice.
        std::array::from_fn(|place| NAMES[(first + 5 * place) % NAMES.len()])
    }

    /// 3.5 to 4.9.
    pub(super) fn rating(&mut self) -> f64 {
        f64::from(35 + self.below(15)) / 10.0
    }

    pub(super) fn reviews(&mut self) -> u32 {
        10 + self.below(5000)
    }

    pub(super) fn price(&mut self) -> Price {
        let cents = 500 + self.below(20_000);
        Price { value: f64::from(cents) / 100.0, raw: format!("${}.{:02}", cents / 100, cents % 100) }
    }

    pub(super) fn id(&mut self) -> String {
        format!("{:08x}{:08x}", self.below(u32::MAX), self.below(u32::MAX))
    }

    pub(super) fn date(&mut self) -> String {
        format!("2026-{:02}-{:02}", 1 + self.below(12), 1 + self.below(28))
    }

    pub(super) fn image(&mut self) -> String {
        format!("https://images.example/{}.png", self.id())
    }

    pub(super) fn latitude(&mut self) -> f64 {
        f64::from(self.below(90_000)) / 1000.0
    }

    pub(super) fn longitude(&mut self) -> f64 {
        f64::from(self.below(180_000)) / 1000.0
    }

    pub(super) fn address(&mut self) -> String {
        format!("{} {} Street", 1 + self.below(200), self.name())
    }

    pub(super) fn phone(&mut self) -> String {
        format!("+1 555 01{:02}", self.below(100))
    }
}

/// The prompt, short enough for a title.
pub(super) fn topic(prompt: &str) -> String {
    let line = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(TOPIC_CHARS_MAX).collect()
}

/// The prompt as the last part of an address.
pub(super) fn slug(prompt: &str) -> String {
    let words: Vec<String> = prompt
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let slug: String = words.join("-").chars().take(SLUG_CHARS_MAX).collect();
    if slug.is_empty() { "page".to_owned() } else { slug }
}

/// `https://name.example/path`.
pub(super) fn page(name: &str, path: &str) -> String {
    format!("https://{}.example/{path}", name.to_lowercase())
}
