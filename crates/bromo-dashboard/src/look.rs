//! Tests of the look: what the stylesheet, the script and the sprite promise, read from the files themselves.

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/app.js");
const SPRITE: &str = include_str!("../assets/icons.svg");

const STYLE_BYTES_MAX: usize = 20 * 1024;
const SCRIPT_BYTES_MAX: usize = 12 * 1024;
const SYMBOLS_MAX: usize = 16;

/// The contrast that text needs, and the one that marks and borders need.
const TEXT: f64 = 4.5;
const MARK: f64 = 3.0;

const EVERYWHERE: [&str; 4] = ["--surface", "--bg", "--raised", "--selected"];

/// The two colours of a custom property, light and dark.
fn colour(name: &str) -> [u32; 2] {
    let (_, rest) = STYLE.split_once(&format!("{name}: light-dark(")).expect(name);
    let (pair, _) = rest.split_once(')').expect(name);
    let colours: Vec<_> = pair
        .split(", ")
        .map(|colour| u32::from_str_radix(colour.trim_start_matches('#'), 16).expect(colour))
        .collect();
    [colours[0], colours[1]]
}

/// Relative luminance as WCAG 2 defines it.
fn luminance(colour: u32) -> f64 {
    let channel = |shift: u32| {
        let share = f64::from((colour >> shift) & 0xff) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
}

fn contrast(one: u32, other: u32) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[track_caller]
fn check(name: &str, grounds: &[&str], least: f64) {
    for ground in grounds {
        for (theme, (front, back)) in
            ["light", "dark"].iter().zip(colour(name).into_iter().zip(colour(ground)))
        {
            let ratio = contrast(front, back);
            assert!(ratio >= least, "{name} on {ground}, {theme}: {ratio:.2} is under {least}");
        }
    }
}

#[test]
fn the_formula_gives_the_published_ratios() {
    let near = |name: &str, ground: &str, published: [f64; 2]| {
        for ((front, back), published) in colour(name).into_iter().zip(colour(ground)).zip(published) {
            assert!((contrast(front, back) - published).abs() < 0.01, "{name} on {ground}");
        }
    };
    near("--text", "--surface", [17.30, 14.58]);
    near("--accent", "--surface", [6.59, 8.57]);
    near("--ok", "--ok-bg", [5.05, 9.08]);
    near("--warn", "--warn-bg", [5.07, 9.01]);
    near("--bad", "--bad-bg", [8.19, 5.50]);
    near("--mute", "--mute-bg", [7.85, 4.94]);
    near("--on-accent", "--accent-hover", [8.30, 11.49]);
}

#[test]
fn text_is_readable_on_every_ground_in_both_themes() {
    for name in ["--text", "--text-2", "--text-3", "--accent", "--ok", "--warn", "--bad", "--mute"] {
        check(name, &EVERYWHERE, TEXT);
    }
    for tone in ["--ok", "--warn", "--bad", "--mute"] {
        check(tone, &[&format!("{tone}-bg")], TEXT);
    }
    check("--on-accent", &["--accent", "--accent-hover"], TEXT);
    check("--surface", &["--bad"], TEXT); // The words of a danger button.
}

#[test]
fn borders_of_fields_and_marks_of_charts_can_be_seen() {
    check("--control", &["--surface", "--bg", "--raised"], MARK);
    for name in ["answered", "slots", "rate", "other", "failed", "cancelled"] {
        check(&format!("--c-{name}"), &["--surface"], MARK);
    }
}

#[test]
fn style_script_and_sprite_keep_to_their_budgets() {
    assert!(STYLE.len() <= STYLE_BYTES_MAX, "style.css has {} bytes", STYLE.len());
    assert!(SCRIPT.len() <= SCRIPT_BYTES_MAX, "app.js has {} bytes", SCRIPT.len());
    assert!(SPRITE.matches("<symbol ").count() <= SYMBOLS_MAX);
}

#[test]
fn nothing_is_fetched_from_elsewhere_and_nothing_is_evaluated() {
    for (name, text) in [("style.css", STYLE), ("app.js", SCRIPT), ("icons.svg", SPRITE)] {
        let known = text.replace("http://www.w3.org/2000/svg", "");
        for banned in ["http:", "https:", "@import", "url(", "eval(", "new Function", "cssText", ".style."] {
            assert!(!known.contains(banned), "{banned} in {name}");
        }
    }
}
