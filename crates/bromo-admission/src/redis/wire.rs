//! Commands as Redis reads them, and answers as it writes them: one packed argument, one packed answer.

use redis::{Cmd, Value};

use bromo_rules::credit::Credits;
use bromo_rules::id::{AccountId, KeyId, NodeId};
use bromo_rules::standing::SlotStanding;

use crate::Denial;
use crate::ask::{Facts, RouteIndex};
use crate::redis::command::{Answer, Command, Lease, LeaseId, Look, Outcome, Script, Seen};
use crate::redis::packed::{Packed, numbers};
use crate::redis::scripts::Scripts;

/// The one key of an account. Its hash tag is for a Redis Cluster, and for scripts, which tell others the account.
pub(crate) fn key(prefix: &str, account: AccountId) -> String {
    format!("{prefix}{{{}}}", hash_tag(account))
}

pub(crate) fn hash_tag(account: AccountId) -> String {
    format!("{:016x}", account.to_i64())
}

pub(crate) fn encode(command: &Command, scripts: &Scripts, prefix: &str) -> Cmd {
    let packed = pack(command);
    let mut cmd = Cmd::with_capacity(5, 128 + packed.bytes().len());
    cmd.arg("FCALL").arg(scripts.name(&command.script)).arg("1").arg(key(prefix, command.account));
    cmd.arg(packed.bytes());
    cmd
}

fn pack(command: &Command) -> Packed {
    let mut packed = Packed::with_capacity(256);
    packed.number(command.now.map_or(0, bromo_rules::time::Timestamp::millis));
    packed.text(command.process.0.as_bytes()).text(&node_name(command.node));
    match &command.script {
        Script::Open(facts) => add_facts(&mut packed, facts),
        Script::Announce { facts, doubts } => {
            add_facts(&mut packed, facts);
            packed.count(*doubts);
        }
        Script::Admit { facts, key, route, rate, lease } => {
            add_facts(&mut packed, facts);
            packed.text(&window_field(*key, *route)).count(rate.requests.into());
            match lease {
                Some(lease) => {
                    packed.text(&lease_field(lease.id)).number(hold(lease.id)).number(lease.usual_ms)
                }
                None => packed.flag(false),
            };
        }
        Script::Start { facts, leases } => {
            add_facts(&mut packed, facts);
            add_leases(&mut packed, leases);
        }
        Script::Release { leases, settled } => {
            packed.list(leases, |packed, lease| _ = packed.text(&lease_field(*lease)));
            packed.list(leases, |packed, lease| _ = packed.number(hold(*lease)));
            packed.flag(settled.is_some());
            if let Some(settled) = settled {
                packed.number(settled.balance.get()).count(settled.ledger_seq);
            }
        }
        Script::Renew { leases } => {
            packed.list(leases, |packed, lease| _ = packed.text(&lease_field(*lease)));
        }
        Script::Register { seen, facts, living, leases } => {
            packed.count(seen.0);
            match facts {
                Some(facts) => add_facts(&mut packed, facts),
                None => _ = packed.flag(false).flag(false).flag(false).flag(false),
            }
            packed.list(living, |packed, node| _ = packed.text(&node_name(*node)));
            add_leases(&mut packed, leases);
        }
        Script::Look { compare } => _ = packed.flag(*compare),
    }
    packed
}

fn add_facts(packed: &mut Packed, facts: &Facts) {
    packed.count(facts.version).count(facts.slots.into());
    packed.number(facts.balance.get()).count(facts.ledger_seq);
}

fn add_leases(packed: &mut Packed, leases: &[Lease]) {
    packed.list(leases, |packed, lease| _ = packed.text(&lease_field(lease.id)));
    packed.list(leases, |packed, lease| _ = packed.number(hold(lease.id)));
    packed.list(leases, |packed, lease| _ = packed.number(lease.usual_ms));
}

fn hold(lease: LeaseId) -> i64 {
    lease.hold.get().max(0)
}

fn lease_field(lease: LeaseId) -> [u8; 17] {
    let mut field = [b'l'; 17];
    field[1..9].copy_from_slice(&lease.node.to_i64().to_be_bytes());
    field[9..].copy_from_slice(&lease.number.to_be_bytes());
    field
}

fn window_field(key: KeyId, route: RouteIndex) -> [u8; 10] {
    let mut field = [b'w'; 10];
    field[1..9].copy_from_slice(&key.to_i64().to_be_bytes());
    field[9] = u8::try_from(route.get()).unwrap_or(u8::MAX);
    field
}

/// As publications name it.
fn node_name(node: NodeId) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut name = [0; 16];
    for (digits, byte) in name.chunks_exact_mut(2).zip(node.to_i64().to_be_bytes()) {
        digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
    name
}

/// None for what no script of ours answers.
pub(crate) fn decode(script: &Script, value: &Value) -> Option<Answer> {
    let Value::BulkString(bytes) = value else { return None };
    let values = numbers(bytes)?;
    let number = |place: usize| values.get(place).copied();
    let flag = |place| number(place).map(|number| number != 0);
    let count = |place| number(place).and_then(|number| u32::try_from(number.max(0)).ok());
    let ms = |place| number(place).and_then(|number| u64::try_from(number.max(0)).ok());
    let places = |from: usize| -> Option<Vec<usize>> {
        values.get(from..)?.iter().map(|place| usize::try_from(*place).ok()).collect()
    };
    let slots = |place| Some(SlotStanding { limit: count(place)?, current: count(place + 1)? });
    match number(0)? {
        0 => {}
        1 => return Some(Answer::Stale),
        2 => return Some(Answer::Lost { seen: Seen(ms(1)?) }),
        3 => return Some(Answer::Opening { in_ms: ms(1)?, seen: Seen(ms(2)?) }),
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
