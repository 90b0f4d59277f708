//! Tasks as they come in (contract sections 6.1 and 6.2).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Faults, malformed, part};
use crate::endpoint::Endpoint;
use crate::problem::FieldFault;
use crate::question::Question;
use crate::task::{IDEMPOTENCY_KEY_CHARS_MAX, Priority};

/// The members of a task, in the contract's order.
const NAMES: [&str; 5] = ["taskType", "payload", "priority", "idempotencyKey", "webhook"];
/// Unknown members that are named in faults.
const UNKNOWN_MAX: usize = 20;

/// A task that may be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRequest<'a> {
    /// What is asked.
    pub question: Question,
    /// The same as it came: JSON.
    pub payload: &'a str,
    /// 1 to 10.
    pub priority: Priority,
    /// 1 to 255 characters.
    pub idempotency_key: Option<String>,
    /// Where to tell of the end.
    pub webhook: Option<String>,
}

/// The task in `body`, or all that is wrong with it. `webhook` judges an address and says what is wrong with it.
///
/// The lenient reading takes null for an optional member that is not there.
///
/// # Errors
/// At least one fault; those of the payload have fields that begin with `payload`.
///
/// Source: docs/tasks.md#creating-a-task
pub fn task<'a>(
    body: &'a [u8],
    strict: bool,
    webhook: impl Fn(&str) -> Result<(), String>,
) -> Result<TaskRequest<'a>, Vec<FieldFault>> {
    let mut faults = Faults::at("", strict);
    let members: Raw<'a> = match serde_json::from_slice(body) {
        Ok(members) => members,
        Err(error) => {
            faults.add("", malformed(&error, "a JSON object"));
            return faults.none_or(None);
        }
    };
    let [kind, payload, priority, key, hook] = members.known;
    let present = |raw: Option<&'a RawValue>| raw.filter(|raw| strict || raw.get() != "null");
    let endpoint = endpoint(kind, &mut faults);
    let payload = payload.map(RawValue::get);
    if payload.is_none() {
        faults.add("payload", "is required");
    }
    let priority = present(priority).map_or(Some(Priority::DEFAULT), |raw| {
        let number = serde_json::from_str::<f64>(raw.get()).ok().filter(|number| number.fract() == 0.0);
        let priority = number.and_then(|number| Priority::new(number as i64)); // Saturates, and so stays out.
        if priority.is_none() {
            faults.add("priority", "must be a whole number from 1 to 10");
        }
        priority
    });
    let idempotency_key = present(key).and_then(|raw| idempotency_key(raw, &mut faults));
    let webhook = present(hook).and_then(|raw| address(raw, strict, &webhook, &mut faults));
    if strict {
        for name in &members.unknown {
            faults.add(name, "is not a field of this request");
        }
    }
    let question = match (endpoint, payload) {
        (Some(endpoint), Some(payload)) => {
            let mut json = serde_json::Deserializer::from_str(payload);
            match part(endpoint, &mut json, "payload", strict) {
                Ok(question) => Some(question),
                Err(more) => {
                    let mut all = more;
                    all.extend(faults.none_or(None::<()>).err().unwrap_or_default());
                    return Err(all);
                }
            }
        }
        _ => None,
    };
    let task = question.zip(payload).zip(priority).map(|((question, payload), priority)| TaskRequest {
        question,
        payload,
        priority,
        idempotency_key,
        webhook,
    });
    faults.none_or(task)
}

/// The items of a batch, each to be judged alone.
///
/// # Errors
/// The body is no array of 1 to `tasks_max` items.
///
/// Source: docs/tasks.md#batches
pub fn batch(body: &[u8], tasks_max: usize) -> Result<Vec<&RawValue>, Vec<FieldFault>> {
    let fault = |message: String| vec![FieldFault { field: String::new(), message }];
    let items: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|error| fault(malformed(&error, "an array of tasks")))?;
    if items.is_empty() || items.len() > tasks_max {
        return Err(fault(format!("must be an array of 1 to {tasks_max} tasks, not {}", items.len())));
    }
    Ok(items)
}

fn endpoint(raw: Option<&RawValue>, faults: &mut Faults<'_>) -> Option<Endpoint> {
    let Some(raw) = raw else {
        faults.add("taskType", "is required");
        return None;
    };
    let name = serde_json::from_str::<Cow<'_, str>>(raw.get()).ok();
    let found = name.and_then(|name| Endpoint::ALL.into_iter().find(|endpoint| endpoint.task_type() == name));
    if found.is_none() {
        faults
            .add("taskType", format!("must be one of {}", Endpoint::ALL.map(Endpoint::task_type).join(", ")));
    }
    found
}

fn idempotency_key(raw: &RawValue, faults: &mut Faults<'_>) -> Option<String> {
    let key = serde_json::from_str::<String>(raw.get()).ok();
    let good = |key: &String| {
        (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&key.chars().count()) && !key.chars().any(char::is_control)
    };
    let key = key.filter(good);
    if key.is_none() {
        faults.add(
            "idempotencyKey",
            format!(
                "must be a string of 1 to {IDEMPOTENCY_KEY_CHARS_MAX} characters without control characters"
            ),
        );
    }
    key
}

fn address(
    raw: &RawValue,
    strict: bool,
    judge: impl Fn(&str) -> Result<(), String>,
    faults: &mut Faults<'_>,
) -> Option<String> {
    let Ok(mut members) =
        serde_json::from_str::<std::collections::BTreeMap<Cow<'_, str>, &RawValue>>(raw.get())
    else {
        faults.add("webhook", "must be an object with a url");
        return None;
    };
    let url = members.remove("url");
    if strict {
        for name in members.keys().take(UNKNOWN_MAX) {
            faults.add(&format!("webhook.{name}"), "is not a field of this request");
        }
    }
    let Some(url) = url.and_then(|url| serde_json::from_str::<String>(url.get()).ok()) else {
        faults.add("webhook.url", "must be a string");
        return None;
    };
    match judge(&url) {
        Ok(()) => Some(url),
        Err(message) => {
            faults.add("webhook.url", message);
            None
        }
    }
}

/// The members of a task, each as it stands there; of a name that stands twice, the last one counts.
#[derive(Default)]
struct Raw<'a> {
    known: [Option<&'a RawValue>; NAMES.len()],
    unknown: Vec<String>,
}

impl<'de> serde::Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                let mut members = Raw::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    if let Some(index) = NAMES.iter().position(|known| *known == name) {
                        members.known[index] = Some(map.next_value()?);
                        continue;
                    }
                    map.next_value::<IgnoredAny>()?;
                    if members.unknown.len() < UNKNOWN_MAX {
                        members.unknown.push(name.chars().take(64).collect());
                    }
                }
                Ok(members)
            }
        }

        from.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str, strict: bool) -> Result<TaskRequest<'_>, Vec<String>> {
        let judge = |url: &str| if url.starts_with("http") { Ok(()) } else { Err("is bad".to_owned()) };
        let faults = |faults: Vec<FieldFault>| faults.into_iter().map(|fault| fault.field).collect();
        task(body.as_bytes(), strict, judge).map_err(faults)
    }

    #[test]
    fn a_task_with_everything_is_read() {
        let body = r#"{"taskType":"GEMINI","payload":{"prompt":"hi","country":"DE"},"priority":10,
            "idempotencyKey":"job-77","webhook":{"url":"https://a.example/?token=1"}}"#;
        for strict in [false, true] {
            let task = read(body, strict).unwrap();
            assert_eq!((task.question.endpoint, task.question.country.as_str()), (Endpoint::Gemini, "DE"));
            assert_eq!(task.payload, r#"{"prompt":"hi","country":"DE"}"#);
            assert_eq!((task.priority.get(), task.idempotency_key.as_deref()), (10, Some("job-77")));
            assert_eq!(task.webhook.as_deref(), Some("https://a.example/?token=1"));
        }
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let task = read(r#"{"taskType":"GROK","payload":{"prompt":"hi"}}"#, false).unwrap();
        assert_eq!((task.priority.get(), task.idempotency_key, task.webhook), (1, None, None));
    }

    #[test]
    fn a_priority_is_a_whole_number_however_it_is_written() {
        let with = |priority: &str| {
            let body = format!(r#"{{"taskType":"GROK","payload":{{"prompt":"hi"}},"priority":{priority}}}"#);
            read(&body, false).map(|task| task.priority.get())
        };
        assert_eq!([with("8"), with("8.0"), with("1e1")], [Ok(8), Ok(8), Ok(10)]);
        for bad in ["0", "11", "1.5", "-1", "1e300", "\"8\"", "true", "[]"] {
            assert_eq!(with(bad), Err(vec!["priority".to_owned()]), "{bad}");
        }
    }

    #[test]
    fn null_is_absent_unless_strict() {
        let body = r#"{"taskType":"GROK","payload":{"prompt":"hi","country":"US"},"priority":null,
            "idempotencyKey":null,"webhook":null}"#;
        assert!(read(body, false).is_ok());
        assert_eq!(
            read(body, true),
            Err(["priority", "idempotencyKey", "webhook"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn every_fault_is_found_at_once_with_its_path() {
        let body = r#"{"taskType":"GEMINI","payload":{"prompt":"","country":"XX"},"priority":11,
            "idempotencyKey":"","webhook":{"url":"ftp"}}"#;
        let mut faults = read(body, false).unwrap_err();
        faults.sort();
        let all = ["idempotencyKey", "payload.country", "payload.prompt", "priority", "webhook.url"];
        assert_eq!(faults, all.map(str::to_owned));
    }

    #[test]
    fn a_body_that_is_no_task_is_one_clear_fault() {
        for (body, field) in [("[]", ""), ("1", ""), ("{", ""), ("{\"taskType\":1}", "payload"), ("", "")] {
            assert!(read(body, false).unwrap_err().contains(&field.to_owned()), "{body}");
        }
        assert_eq!(read(r#"{"taskType":"GEMINI","payload":3}"#, false), Err(vec!["payload".to_owned()]));
        assert_eq!(read(r#"{"taskType":"gemini","payload":{}}"#, false), Err(vec!["taskType".to_owned()]));
    }

    #[test]
    fn unknown_members_are_faults_only_when_strict() {
        let body = r#"{"taskType":"GROK","payload":{"prompt":"hi","country":"US"},"extra":{"deep":[1]}}"#;
        assert!(read(body, false).is_ok());
        assert_eq!(read(body, true), Err(vec!["extra".to_owned()]));
    }

    #[test]
    fn a_batch_is_an_array_of_one_to_its_bound() {
        assert_eq!(batch(b"[{},{}]", 2).unwrap().len(), 2);
        for bad in ["[]", "{}", "[1,2,3]", "[", "null"] {
            assert_eq!(batch(bad.as_bytes(), 2).unwrap_err().len(), 1, "{bad}");
        }
    }
}
