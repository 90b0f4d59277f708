use super::steps::TIME_LABELS_MAX;
use super::*;

const FROM_MS: i64 = 1_795_522_920_000; // 24 November 2026, 12:22 UTC.
const CHART_BYTES_MAX: usize = 12 * 1024;

/// Steps that all lie in the past.
fn past(step_ms: i64, count: usize) -> Steps {
    Steps { from_ms: FROM_MS, step_ms, count, now_ms: FROM_MS + step_ms * count as i64, offset_minutes: 60 }
}

fn head(steps: Steps) -> Head<'static> {
    Head { id: "c", title: "A chart", steps, lines: Some("/logs?status=429") }
}

fn depth_of(values: &[Option<f64>]) -> Chart {
    depth(&head(past(60_000, values.len())), &Depth { queued: values })
}

fn slots_of(steps: Steps, peak: &[Option<f64>]) -> Chart {
    let limits = [LimitFrom { from_ms: 0, limit: 10, plan: String::from("Lite") }];
    slots(&head(steps), &Slots { peak, mean: peak, refused: &[], limits: &limits })
}

fn outcomes_of(steps: Steps, counts: &[Option<OutcomeCounts>], lost: &[u64], small: bool) -> Chart {
    outcomes(&head(steps), &Outcomes { counts, lost, links: &[], small })
}

/// A value that changes at every step, so that nothing can be drawn together.
fn restless(step: usize) -> f64 {
    ((step * 7_919) % 97_001) as f64
}

/// Every kind of chart at its most steps, with numbers as long as they get.
fn worst() -> Vec<Chart> {
    let count = STEPS_MAX;
    let steps = past(7_200_000, count);
    let values: Vec<_> = (0..count).map(|step| Some(restless(step))).collect();
    let every_other: Vec<_> = (0..count).map(|step| (step % 2 == 0).then(|| restless(step))).collect();
    let refused: Vec<u64> = (0..count).map(|step| restless(step) as u64).collect();
    let counts: Vec<_> = (0..count).map(|step| Some([restless(step) as u64; 6])).collect();
    let answers: Vec<_> = (0..count).map(|step| Some(restless(step) as u64)).collect();
    let limits = [LimitFrom { from_ms: 0, limit: 97_000, plan: String::from("Lite") }];
    vec![
        slots(&head(steps), &Slots { peak: &values, mean: &values, refused: &refused, limits: &limits }),
        slots(
            &head(steps),
            &Slots { peak: &every_other, mean: &every_other, refused: &refused, limits: &limits },
        ),
        depth(&head(steps), &Depth { queued: &values }),
        credits(&head(steps), &Credits { used: &values, allocations: &limits }),
        outcomes_of(steps, &counts, &refused, false),
        latency(
            &head(steps),
            &Latency {
                p50: &values,
                p95: &values,
                p99: &values,
                answers: &answers,
                overall: Percentiles::default(),
            },
        ),
    ]
}

#[test]
fn a_gap_is_hatched_and_the_line_is_broken_there() {
    let chart = depth_of(&[Some(4.0), Some(4.0), None, None, Some(4.0)]);
    assert!(chart.drawing.contains(r#"d="M0 64h8M16 64h4""#), "{}", chart.drawing);
    assert!(chart.drawing.contains(r#"d="M8 0h8v320h-8z""#), "the gap is two steps wide and of full height");
    assert!(chart.table.contains("<td>no data"));
}

#[test]
fn zero_lies_on_the_floor_and_is_not_hatched() {
    let chart = depth_of(&[Some(0.0), Some(0.0)]);
    assert!(chart.drawing.contains(r#"d="M0 320h8""#), "{}", chart.drawing);
    assert!(!chart.drawing.contains("pattern"));
    assert!(depth_of(&[None, None]).drawing.contains("pattern"));
}

#[test]
fn a_percentile_line_is_broken_but_not_hatched_where_nothing_was_answered() {
    let values = [Some(800.0), None, Some(800.0), Some(900.0)];
    let data =
        |answers| Latency { p50: &values, p95: &[], p99: &[], answers, overall: Percentiles::default() };
    let quiet = latency(&head(past(60_000, 4)), &data(&[Some(9), Some(0), Some(9), Some(9)]));
    assert!(!quiet.drawing.contains("pattern"));
    assert_eq!(quiet.drawing.matches('M').count(), 2, "{}", quiet.drawing);
    let lost = latency(&head(past(60_000, 4)), &data(&[Some(9), None, Some(9), Some(9)]));
    assert!(lost.drawing.contains("pattern"));
}

#[test]
fn the_unfinished_step_is_pale_and_steps_to_come_are_empty() {
    let steps = Steps { now_ms: FROM_MS + 90_000, ..past(60_000, 4) };
    let chart = slots_of(steps, &[Some(3.0), Some(5.0), None, None]);
    assert!(chart.drawing.contains(r#"class="area pale""#));
    assert!(!chart.drawing.contains("pattern"), "what is still to come is not missing");
    assert_eq!(chart.table.matches("<tr>").count(), 3, "one head, two steps");
    assert!(chart.table.contains("13:23 so far"), "{}", chart.table);
}

#[test]
fn lines_that_were_not_kept_are_a_hatched_cap_with_their_count() {
    let chart = outcomes_of(past(60_000, 2), &[Some([5, 0, 0, 0, 0, 0]), Some([5; 6])], &[312, 0], false);
    assert!(chart.drawing.contains("pattern") && chart.drawing.contains(">312</text>"));
    assert!(chart.sentence.contains("312 lines were not kept"));
}

#[test]
fn a_limit_is_drawn_at_every_change_of_plan() {
    let limits = [
        LimitFrom { from_ms: FROM_MS, limit: 10, plan: String::from("Lite") },
        LimitFrom { from_ms: FROM_MS + 120_000, limit: 20, plan: String::from("Pro") },
    ];
    let peak = [Some(3.0); 4];
    let chart =
        slots(&head(past(60_000, 4)), &Slots { peak: &peak, mean: &peak, refused: &[0, 2], limits: &limits });
    for part in [">limit 10 (Lite)<", ">limit 20 (Pro)<", r#"x1="50%" x2="50%""#, r#"class="tick""#] {
        assert!(chart.drawing.contains(part), "{part} in {}", chart.drawing);
    }
    assert_eq!(chart.sentence, "Peak 3 of 20 at 13:22; 2 refused for want of a slot");
}

#[test]
fn four_hundred_points_stay_under_twelve_kilobytes() {
    for chart in worst() {
        let bytes = chart.to_string().len() - chart.table.len();
        assert!(bytes <= CHART_BYTES_MAX, "{bytes} bytes: {}…", &chart.drawing[..200]);
    }
}

#[test]
fn a_histogram_whose_bars_are_links_costs_at_most_two_charts() {
    let counts: Vec<_> = (0..STEPS_MAX).map(|step| Some([restless(step) as u64; 6])).collect();
    let chart = outcomes_of(past(7_200_000, STEPS_MAX), &counts, &[], true);
    assert!(chart.drawing.matches("<a ").count() > 60);
    assert!(chart.drawing.len() <= 2 * CHART_BYTES_MAX, "{} bytes", chart.drawing.len());
}

#[test]
fn the_table_of_a_chart_costs_at_most_two_charts() {
    for chart in worst() {
        assert!(chart.table.len() <= 2 * CHART_BYTES_MAX, "{} bytes", chart.table.len());
    }
}

#[test]
fn the_time_axis_never_has_more_than_five_labels() {
    for (step_ms, count) in [(15_000, 240), (60_000, 360), (300_000, 288), (1_800_000, 336), (7_200_000, 360)]
    {
        for shift in [0, 1_000, 777_000, 40_000_000] {
            for offset_minutes in [-210, 0, 60, 345] {
                let steps = Steps { from_ms: FROM_MS + shift, offset_minutes, ..past(step_ms, count) };
                let labels = steps.labels();
                assert!((2..=TIME_LABELS_MAX).contains(&labels.len()), "{labels:?}");
            }
        }
    }
}

#[test]
fn there_are_never_more_than_five_grid_lines() {
    for highest in 0..2_000 {
        for scale in [scale::Linear::round(f64::from(highest)), scale::Linear::with_room(f64::from(highest))]
        {
            assert!((2..=5).contains(&scale.grid().len()), "{highest}: {:?}", scale.grid());
        }
    }
}

#[test]
fn moments_are_written_in_the_zone_of_the_chart_and_addresses_in_utc() {
    let chart = outcomes_of(past(60_000, 2), &[Some([5; 6]); 2], &[], true);
    assert!(chart.table.contains("<tr><th>13:22"));
    let address = "/logs?status=429&amp;from=2026-11-24T12:22:00Z&amp;to=2026-11-24T12:23:00Z";
    assert!(chart.drawing.contains(address), "{}", chart.drawing);
}

#[test]
fn hostile_text_is_escaped_wherever_it_stands() {
    let hostile = r#""><script>alert('&')</script>"#;
    let limits = [LimitFrom { from_ms: 0, limit: 1, plan: hostile.to_owned() }];
    let links = [hostile.to_owned()];
    let head = Head { id: hostile, title: hostile, steps: past(60_000, 1), lines: Some(hostile) };
    let item = Bar { label: hostile.to_owned(), value: 1, link: Some(hostile.to_owned()) };
    let counts = [Some([1; 6])];
    for html in [
        slots(&head, &Slots { peak: &[], mean: &[], refused: &[], limits: &limits }).to_string(),
        outcomes(&head, &Outcomes { counts: &counts, lost: &[], links: &links, small: true }).to_string(),
        bars(&[item]).to_string(),
        meter(1, 2, hostile).to_string(),
    ] {
        assert!(!html.contains("<script") && !html.contains(r#"="">"#), "{html}");
        assert!(html.contains("&lt;script&gt;"));
    }
}

#[test]
fn no_chart_carries_a_style_the_policy_would_block() {
    for chart in worst() {
        let html = chart.to_string();
        assert!(!html.contains("style=") && !html.contains("<style") && !html.contains("NaN"), "{html}");
    }
}

#[test]
fn numbers_that_are_none_are_no_data() {
    let chart = depth_of(&[Some(f64::NAN), Some(f64::INFINITY), Some(1.0)]);
    assert!(chart.drawing.contains(r#"d="M0 0h8v320h-8z""#), "{}", chart.drawing);
}

#[test]
fn a_chart_without_steps_still_says_so() {
    for chart in
        [depth_of(&[]), slots_of(past(60_000, 0), &[]), outcomes_of(past(60_000, 0), &[], &[], false)]
    {
        assert!(!chart.to_string().contains("NaN"));
    }
}

#[test]
fn a_meter_has_one_cell_a_slot_up_to_fifty_and_is_marked_when_full() {
    let cells = |html: &str| html.matches('M').count();
    assert_eq!(cells(&meter(7, 10, "Slots").to_string()), 10);
    assert_eq!(cells(&meter(0, 50, "Slots").to_string()), 50);
    assert_eq!(cells(&meter(60, 200, "Slots").to_string()), 2);
    assert!(meter(12, 10, "Slots").to_string().contains(r#"class="meter full""#));
    assert!(!meter(0, 0, "Slots").to_string().contains("full"));
}

#[test]
fn durations_have_two_significant_digits() {
    for (millis, text) in
        [(4.0, "4 ms"), (812.0, "810 ms"), (2_410.0, "2.4 s"), (31_400.0, "31 s"), (252_000.0, "4.2 min")]
    {
        assert_eq!(crate::markup::duration(millis), text);
    }
    assert_eq!(crate::markup::grouped(1_234_567), "1,234,567");
}
