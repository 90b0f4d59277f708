//! Writes every component and chart with sample values into a folder: `cargo run -p bromo-dashboard --example gallery -- DIR`.
//! Serve the folder over HTTP to look at it: `index.html`, `light.html`, `dark.html`, `drawer.html`.

use std::path::Path;
use std::{env, fs, io};

use askama::Template;
use bromo_dashboard::chart::{self, Chart, Head, LimitFrom, Markup, Outcomes, Percentiles, Steps};

const FROM_MS: i64 = 1_795_522_920_000; // 24 November 2026, 12:22 UTC.

struct Line {
    tone: &'static str,
    word: &'static str,
    endpoint: &'static str,
    code: &'static str,
    took: &'static str,
    credits: &'static str,
    key: &'static str,
}

#[derive(Template)]
#[template(path = "gallery.html")]
struct Gallery {
    theme: &'static str,
    drawer: bool,
    pages: &'static [(&'static str, &'static str)],
    tones: &'static [(&'static str, &'static str)],
    lines: Vec<Line>,
    meter_usual: Markup,
    meter_full: Markup,
    meter_queue: Markup,
    slots: Chart,
    outcomes: Chart,
    latency: Chart,
    depth: Chart,
    credits: Chart,
    empty: Chart,
    lost: Chart,
    small: Chart,
    bars: Markup,
}

const PAGES: &[(&str, &str)] = &[
    ("overview", "Overview"),
    ("plan", "Plan"),
    ("keys", "Keys"),
    ("logs", "Logs"),
    ("tasks", "Tasks"),
    ("webhooks", "Webhooks"),
    ("playground", "Playground"),
    ("account", "Account"),
];

const TONES: &[(&str, &str)] =
    &[("ok", "answered"), ("warn", "retrying"), ("bad", "failed"), ("mute", "QUEUED"), ("run", "PROCESSING")];

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| String::from("target/gallery"));
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("assets"))?;
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for name in ["style.css", "icons.svg", "app.js"] {
        fs::copy(assets.join(name), folder.join("assets").join(name))?;
    }
    for (name, theme, drawer) in
        [("index", "", false), ("light", "light", false), ("dark", "dark", false), ("drawer", "light", true)]
    {
        let html = gallery(theme, drawer).render().map_err(io::Error::other)?;
        fs::write(folder.join(name).with_extension("html"), html)?;
    }
    Ok(())
}

fn steps(step_s: i64, count: usize) -> Steps {
    let step_ms = step_s * 1_000;
    let now_ms = FROM_MS + step_ms * count as i64 - step_ms / 3;
    Steps { from_ms: FROM_MS, step_ms, count, now_ms, offset_minutes: 60 }
}

/// A wave with some grain, the same on every run.
fn wave(step: usize, period: f64, low: f64, high: f64) -> f64 {
    let grain = ((step * 7_919 + 13) % 97) as f64 / 97.0;
    let swing = (step as f64 / period * std::f64::consts::TAU).sin() * 0.4 + 0.5;
    low + (high - low) * (swing * 0.8 + grain * 0.2).clamp(0.0, 1.0)
}

fn head<'a>(id: &'a str, title: &'a str, steps: Steps) -> Head<'a> {
    Head { id, title, steps, lines: Some("/logs?endpoint=chatgpt") }
}

fn slots_chart() -> Chart {
    let peak: Vec<_> = (0..240)
        .map(|step| match step {
            60..72 | 75 => None,
            180..200 => Some(0.0),
            step => Some(wave(step, 90.0, 0.0, 14.0).round().min(if step < 150 { 10.0 } else { 20.0 })),
        })
        .collect();
    let mean: Vec<_> = peak.iter().map(|peak| peak.map(|peak| peak * 0.7)).collect();
    let refused: Vec<_> = peak
        .iter()
        .enumerate()
        .map(|(step, peak)| u64::from(*peak == Some(10.0)) * (step as u64 % 3))
        .collect();
    let limits = [
        LimitFrom { from_ms: FROM_MS, limit: 10, plan: String::from("Lite") },
        LimitFrom { from_ms: FROM_MS + 150 * 15_000, limit: 20, plan: String::from("Pro") },
    ];
    chart::slots(
        &head("slots", "Slots in use", steps(15, 240)),
        &chart::Slots { peak: &peak, mean: &mean, refused: &refused, limits: &limits },
    )
}

fn outcomes_chart(id: &str, small: bool) -> Chart {
    let counts: Vec<_> = (0..60)
        .map(|step| match step {
            15..18 => None,
            45..50 => Some([0; 6]),
            step => {
                let calls = wave(step, 30.0, 4.0, 40.0) as u64;
                let refused = calls.saturating_sub(25);
                Some([
                    calls,
                    refused,
                    refused / 4,
                    step as u64 % 11 / 10,
                    step as u64 % 17 / 16,
                    step as u64 % 13 / 12,
                ])
            }
        })
        .collect();
    let lost: Vec<_> = (0..60).map(|step| if step == 30 { 12 } else { 0 }).collect();
    let links = ["#a", "#b", "#c", "#d", "#e", "#f"].map(String::from);
    chart::outcomes(
        &head(id, "Calls by outcome, a minute", steps(60, 60)),
        &Outcomes { counts: &counts, lost: &lost, links: &links, small },
    )
}

fn latency_chart(quiet: bool) -> Chart {
    let answers: Vec<_> = (0..60)
        .map(|step| match step {
            _ if quiet => Some(0),
            20..25 => None,
            40..46 => Some(0),
            step => Some((wave(step, 30.0, 10.0, 400.0)) as u64),
        })
        .collect();
    let of = |factor: f64, needed: u64| -> Vec<Option<f64>> {
        let value = |(step, n): (usize, &Option<u64>)| {
            n.filter(|&n| n >= needed).map(|_| wave(step, 20.0, 500.0, 1_500.0) * factor)
        };
        answers.iter().enumerate().map(value).collect()
    };
    let overall = if quiet {
        Percentiles::default()
    } else {
        Percentiles { p50: Some(812.0), p95: Some(2_410.0), p99: Some(5_100.0), answers: 9_204 }
    };
    chart::latency(
        &head(if quiet { "quiet" } else { "latency" }, "Arrival to last byte", steps(60, 60)),
        &chart::Latency {
            p50: &of(1.0, 1),
            p95: &of(3.0, 20),
            p99: &of(6.5, 100),
            answers: &answers,
            overall,
        },
    )
}

fn depth_chart() -> Chart {
    let queued: Vec<_> =
        (0..288).map(|step| Some((wave(step / 4, 50.0, 0.0, 100_000.0) / 10.0).round() * 10.0)).collect();
    chart::depth(&head("depth", "Queue", steps(300, 288)), &chart::Depth { queued: &queued })
}

fn credits_chart() -> Chart {
    let mut sum = 0.0;
    let used: Vec<_> = (0..60)
        .map(|step| {
            sum += wave(step, 14.0, 0.0, 300.0).round();
            (step < 40).then_some(sum)
        })
        .collect();
    let allocations = [LimitFrom { from_ms: FROM_MS, limit: 10_000, plan: String::from("Lite") }];
    let steps = Steps { now_ms: FROM_MS + 40 * 43_200_000 - 1, ..steps(43_200, 60) };
    chart::credits(
        &Head { lines: None, ..head("credits", "Credits used in the cycle", steps) },
        &chart::Credits { used: &used, allocations: &allocations },
    )
}

fn lost_chart() -> Chart {
    let none = vec![None; 240];
    chart::slots(
        &head("lost", "Slots in use <script>", steps(15, 240)),
        &chart::Slots { peak: &none, mean: &none, refused: &[], limits: &[] },
    )
}

fn gallery(theme: &'static str, drawer: bool) -> Gallery {
    let bar = |label: &str, value| chart::Bar { label: label.into(), value, link: Some("#".into()) };
    let line = |tone, word, code, took, key| {
        let credits = if code == "200" { "3" } else { "0" };
        Line { tone, word, endpoint: "chatgpt", code, took, credits, key }
    };
    Gallery {
        theme,
        drawer,
        pages: PAGES,
        tones: TONES,
        lines: vec![
            line("ok", "answered", "200", "812 ms", "batch worker"),
            line("warn", "no free slot", "TOO_MANY_REQUESTS", "0.4 ms", "batch worker"),
            line("bad", "failed", "PROVIDER_TIMEOUT", "120 s", "a name of forty characters, as long as it"),
            line("mute", "cancelled", "499", "31 s", "laptop"),
            line("run", "in progress", "", "2.1 s", "laptop"),
        ],
        meter_usual: chart::meter(7, 10, "Slots in use"),
        meter_full: chart::meter(50, 50, "Slots in use"),
        meter_queue: chart::meter(99_000, 100_000, "Queued tasks"),
        slots: slots_chart(),
        outcomes: outcomes_chart("outcomes", false),
        latency: latency_chart(false),
        depth: depth_chart(),
        credits: credits_chart(),
        empty: latency_chart(true),
        lost: lost_chart(),
        small: outcomes_chart("small", true),
        bars: chart::bars(&[bar("urgent", 12), bar("usual", 81_240), bar("whenever", 18_748)]),
    }
}
