//! Commands as Redis reads them, and answers as it writes them: arrays of whole numbers.

use redis::{Cmd, Value};

use bromo_rules::credit::Credits;
use bromo_rules::id::AccountId;
use bromo_rules::standing::SlotStanding;

use crate::Denial;
use crate::ask::Facts;
use crate::redis::command::{Answer, Command, Look, Outcome, Script};
use crate::redis::scripts::Scripts;

/// All keys of an account share a hash tag, so that they live on one shard of a Redis Cluster.
pub(crate) fn tag(prefix: &str, account: AccountId) -> String {
    format!("{prefix}{{{:016x}}}", account.to_i64())
}

pub(crate) fn encode(command: &Command, scripts: &Scripts, prefix: &str) -> Cmd {
    let tag = tag(prefix, command.account);
    let mut cmd = Cmd::with_capacity(24, 512);
    cmd.arg("FCALL").arg(scripts.name(&command.script));
    let key = |suffix: &str| format!("{tag}{suffix}");
    let fourth = match &command.script {
        Script::Admit { key: of, route, .. } => Some(format!("{tag}:w:{:x}.{}", of.to_i64(), route.get())),
        Script::Register { .. } => Some(key(":n")),
        _ => None,
    };
    cmd.arg(if fourth.is_some() { 4 } else { 3 }).arg(key(":a")).arg(key(":l")).arg(key(":u"));
    if let Some(fourth) = fourth {
        cmd.arg(fourth);
    }
    match command.now {
        Some(now) => cmd.arg(now.millis()),
        None => cmd.arg(""),
    };
    cmd.arg(&*command.process.0).arg(format!("{:016x}", command.node.to_i64()));
    match &command.script {
        Script::Open(facts) => add_facts(&mut cmd, facts),
        Script::Announce { facts, doubts } => {
            add_facts(&mut cmd, facts);
            cmd.arg(*doubts);
        }
        Script::Admit { facts, rate, lease, .. } => {
            add_facts(&mut cmd, facts);
            cmd.arg(rate.requests);
            match lease {
                Some(lease) => {
                    cmd.arg(lease.id.to_string()).arg(lease.id.hold.get().max(0)).arg(lease.usual_ms)
                }
                None => cmd.arg(""),
            };
        }
        Script::Start { facts, leases } => {
            add_facts(&mut cmd, facts);
            for lease in leases {
                cmd.arg(lease.id.to_string()).arg(lease.id.hold.get().max(0)).arg(lease.usual_ms);
            }
        }
        Script::Release { lease, settled } => {
            cmd.arg(lease.to_string());
            match settled {
                Some(settled) => cmd.arg(settled.balance.get()).arg(settled.ledger_seq),
                None => cmd.arg(""),
            };
        }
        Script::Renew { leases } => {
            for lease in leases {
                cmd.arg(lease.to_string());
            }
        }
        Script::Register { facts, living, leases } => {
            match facts {
                Some(facts) => add_facts(&mut cmd, facts),
                None => _ = cmd.arg("").arg("").arg("").arg(""),
            }
            cmd.arg(living.len());
            for node in living {
                cmd.arg(format!("{:016x}", node.to_i64()));
            }
            for lease in leases {
                cmd.arg(lease.id.to_string()).arg(lease.usual_ms);
            }
        }
        Script::Look { compare } => _ = cmd.arg(u8::from(*compare)),
    }
    cmd
}

fn add_facts(cmd: &mut Cmd, facts: &Facts) {
    cmd.arg(facts.version).arg(facts.slots).arg(facts.balance.get()).arg(facts.ledger_seq);
}

/// None for what no script of ours answers.
pub(crate) fn decode(script: &Script, value: &Value) -> Option<Answer> {
    let Value::Array(values) = value else { return None };
    let number = |place: usize| match values.get(place) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    let flag = |place| number(place).map(|number| number != 0);
    let count = |place| number(place).and_then(|number| u32::try_from(number.max(0)).ok());
    let ms = |place| number(place).and_then(|number| u64::try_from(number.max(0)).ok());
    let places = |from: usize| -> Option<Vec<usize>> {
        (from..values.len()).map(|place| number(place).and_then(|n| usize::try_from(n).ok())).collect()
    };
    let slots = |place| Some(SlotStanding { limit: count(place)?, current: count(place + 1)? });
    match number(0)? {
        0 => {}
        1 => return Some(Answer::Stale),
        2 => return Some(Answer::Lost),
        3 => return Some(Answer::Opening { in_ms: ms(1)? }),
        4 => return Some(Answer::Doubtful { doubts: ms(1)? }),
        _ => return None,
    }
    Some(match script {
        Script::Open(_) | Script::Announce { .. } | Script::Release { .. } => Answer::Done { woke: flag(1)? },
        Script::Admit { .. } => Answer::Judged {
            outcome: match number(1)? {
                0 => Outcome::Counted,
                1 => Outcome::Admitted,
                code => Outcome::Denied(denial(code, count(6)?)?),
            },
            left: count(2)?,
            slots: slots(3)?,
            balance: Credits::new(number(5)?),
            woke: flag(7)?,
        },
        Script::Start { .. } => Answer::Started {
            taken: usize::try_from(number(1)?).ok()?,
            slots: slots(2)?,
            denial: match number(4)? {
                0 => None,
                code => Some(denial(code, count(5)?)?),
            },
            woke: flag(6)?,
            expires_in_ms: ms(7)?,
        },
        Script::Renew { .. } => Answer::Renewed { woke: flag(1)?, gone: places(2)? },
        Script::Register { .. } => {
            Answer::Registered { woke: flag(1)?, opens_in_ms: ms(2)?, gone: places(3)? }
        }
        Script::Look { .. } => Answer::Looked(Look {
            woke: flag(1)?,
            slots: slots(2)?,
            held: Credits::new(number(4)?),
            balance: Credits::new(number(5)?),
            expires_in_ms: ms(6)?,
            repaired: flag(7)?,
            opens_in_ms: ms(8)?,
        }),
    })
}

const fn denial(code: i64, retry_after_s: u32) -> Option<Denial> {
    match code {
        2 => Some(Denial::Rate),
        3 => Some(Denial::Credits { held: false }),
        4 => Some(Denial::Credits { held: true }),
        5 => Some(Denial::Slots { retry_after_s }),
        _ => None,
    }
}
