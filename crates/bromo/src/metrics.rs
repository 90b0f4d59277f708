//! Metrics in the OpenMetrics text form, collected when they are asked for: nothing is counted twice.

use std::fmt;
use std::sync::Arc;

use bromo_admission::Usage;
use bromo_engine::Engine;
use bromo_providers::ProviderError;
use bromo_providers::catalog::LATENCY_BOUNDS_MS;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as they are now.
pub(crate) async fn text(engine: &Arc<Engine>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("bromo");
    // While the counts are out of reach their metrics are missing, and no others.
    let usage = engine.admission().usage().await.unwrap_or_default();
    registry.register_collector(Box::new(Now { engine: Arc::clone(engine), usage }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Now {
    engine: Arc<Engine>,
    usage: Vec<Usage>,
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let engine = &self.engine;
        let (counters, later) = (engine.counters(), &engine.later().counters);
        slots(&self.usage, &mut encoder)?;
        let mut ends =
            encoder.encode_descriptor("calls", "Calls by how they ended", None, MetricType::Counter)?;
        for (end, counter) in [
            ("answered", &counters.answered),
            ("failed", &counters.failed),
            ("canceled", &engine.log().canceled),
        ] {
            ConstCounter::new(counter.get()).encode(ends.encode_family(&[("end", end)])?)?;
        }
        let mut refusals =
            encoder.encode_descriptor("refusals", "Requests refused, by cause", None, MetricType::Counter)?;
        for (cause, counter) in [
            ("rate", &counters.refused_rate),
            ("credits", &counters.refused_credits),
            ("slots", &counters.refused_slots),
            ("undecided", &counters.undecided),
        ] {
            ConstCounter::new(counter.get()).encode(refusals.encode_family(&[("cause", cause)])?)?;
        }
        for (name, help, value) in [
            ("credits_charged", "Credits charged", counters.credits_charged.get()),
            (
                "charges_short",
                "Charges the store refused although they were held; must stay 0",
                counters.charges_short.get(),
            ),
            ("charges_failed", "Charges whose commit failed", counters.charges_failed.get()),
            ("slot_repairs", "Slots freed by a sweep; must stay 0", engine.admission().repairs()),
            ("tasks_submitted", "Tasks accepted", later.submitted.get()),
            ("tasks_recovered", "Tasks that a dead process left running", engine.store().recovered()),
            ("tasks_handed_back", "Attempts that a shutdown cut", later.handed_back.get()),
            ("task_attempts_retried", "Attempts that failed and are made again", later.retried.get()),
            ("task_claims_lost", "Ends refused because another has the task", later.lost.get()),
            ("log_lines_written", "Log lines written", engine.log().written.get()),
            ("log_lines_lost", "Log lines lost", engine.log().lost.get()),
            (
                "log_texts_lost",
                "Questions and answers lost that were to be kept",
                engine.log().texts_lost.get(),
            ),
        ] {
            let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(descriptor)?;
        }
        let waiting = i64::try_from(engine.log().len()).unwrap_or(i64::MAX);
        let descriptor = encoder.encode_descriptor(
            "log_lines_waiting",
            "Log lines not yet written",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(waiting).encode(descriptor)?;
        tasks(engine, &mut encoder)?;
        lines(engine, &mut encoder)
    }
}

fn tasks(engine: &Engine, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (store, later) = (engine.store(), &engine.later().counters);
    let (queued, processing) = store.totals();
    for (name, help, value) in [
        ("tasks_queued", "Tasks waiting", queued),
        ("tasks_processing", "Tasks running", processing),
        ("deliveries_pending", "Deliveries waiting or under way", store.pending()),
    ] {
        let descriptor = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(descriptor)?;
    }
    let mut ends =
        encoder.encode_descriptor("tasks", "Tasks by how they ended", None, MetricType::Counter)?;
    for (end, counter) in [("completed", &later.completed), ("failed", &later.failed)] {
        ConstCounter::new(counter.get()).encode(ends.encode_family(&[("end", end)])?)?;
    }
    let mut outcomes = encoder.encode_descriptor(
        "delivery_attempts",
        "Webhook attempts by outcome",
        None,
        MetricType::Counter,
    )?;
    for (outcome, counter) in [
        ("delivered", &later.delivered),
        ("failed", &later.delivery_failed),
        ("forbidden", &later.forbidden),
        ("given_up", &later.given_up),
    ] {
        ConstCounter::new(counter.get()).encode(outcomes.encode_family(&[("outcome", outcome)])?)?;
    }
    Ok(())
}

fn slots(usage: &[Usage], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help) in [("slots_limit", "Slots of an account"), ("slots_in_use", "Slots an account uses")] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for usage in usage {
            let value = if name == "slots_limit" { usage.slots.limit } else { usage.slots.current };
            let labels = [("account", usage.account.to_string())];
            ConstGauge::new(i64::from(value)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn lines(engine: &Engine, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let lines: Vec<_> = engine
        .catalog()
        .lines()
        .map(|(name, line)| (name, line.figures(), line.is_closed(), line.gate.waiting()))
        .collect();
    let mut attempts = encoder.encode_descriptor(
        "provider_attempts",
        "Provider attempts by outcome",
        None,
        MetricType::Counter,
    )?;
    for (endpoint, figures, ..) in &lines {
        let mut outcomes = vec![
            ("answered", figures.answered),
            ("cancelled", figures.cancelled),
            ("full", figures.turned_away_full),
            ("circuit_open", figures.turned_away_open),
        ];
        outcomes.extend(ProviderError::KINDS.into_iter().zip(figures.failed));
        for (outcome, count) in outcomes {
            let labels = [("endpoint", *endpoint), ("outcome", outcome)];
            ConstCounter::new(count).encode(attempts.encode_family(&labels)?)?;
        }
    }
    let mut latency = encoder.encode_descriptor(
        "provider_latency_seconds",
        "Time of provider attempts",
        None,
        MetricType::Histogram,
    )?;
    for (endpoint, figures, ..) in &lines {
        let bounds = LATENCY_BOUNDS_MS.iter().map(|ms| *ms as f64 / 1000.0).chain([f64::MAX]);
        let buckets: Vec<_> = bounds.zip(figures.latency).collect();
        let count = figures.latency.iter().sum();
        let labels = [("endpoint", *endpoint)];
        let mut family = latency.encode_family(&labels)?;
        family.encode_histogram::<[(&str, &str); 1]>(
            figures.latency_us as f64 / 1e6,
            count,
            &buckets,
            None,
        )?;
    }
    let mut closed = encoder.encode_descriptor(
        "provider_circuit_closed",
        "1 where calls are let through",
        None,
        MetricType::Gauge,
    )?;
    for (endpoint, _, is_closed, _) in &lines {
        ConstGauge::new(i64::from(*is_closed)).encode(closed.encode_family(&[("endpoint", *endpoint)])?)?;
    }
    let mut waiting = encoder.encode_descriptor(
        "provider_queue_depth",
        "Calls in line for a provider",
        None,
        MetricType::Gauge,
    )?;
    for (endpoint, .., depth) in &lines {
        let depth = i64::try_from(*depth).unwrap_or(i64::MAX);
        ConstGauge::new(depth).encode(waiting.encode_family(&[("endpoint", *endpoint)])?)?;
    }
    Ok(())
}
