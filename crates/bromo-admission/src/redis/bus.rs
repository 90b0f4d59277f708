//! What nodes and scripts tell each other, over publish/subscribe: lines of a node, a word and what it is about.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bromo_rules::id::{AccountId, NodeId};
use futures_util::StreamExt;

use crate::bus::Message;
use crate::redis::command::Seen;
use crate::redis::driver::wait;
use crate::redis::server::Server;
use crate::redis::shared::Shared;
use crate::sync::lock;

/// Lines of one publication.
const LINES_MAX: usize = 256;
/// From one publication to the next: what is told meanwhile goes along with it. Every node hears each, this one too.
const GAP: Duration = Duration::from_millis(2);
/// How long subscribing, and the answer to a ping, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Told(Message),
    /// A task of the account was denied, and what it waited for may have come.
    Woke(AccountId),
    /// A node found no record of the account that counts, and made this one.
    Lost(AccountId, Seen),
    /// The account is open again.
    Opened(AccountId),
}

fn write_line(text: &mut String, node: NodeId, message: Message) {
    let (node, account) = (node.to_i64(), |account: AccountId| account.to_i64());
    let written = match message {
        Message::Tasks(about) => writeln!(text, "{node:016x} T {:016x}", account(about)),
        Message::Deliveries => writeln!(text, "{node:016x} D -"),
        Message::Lines(about) => writeln!(text, "{node:016x} L {:016x}", account(about)),
        Message::Cancel(place) => writeln!(text, "{node:016x} C {place}"),
    };
    debug_assert!(written.is_ok(), "a text takes everything");
}

/// None for a line that no version of ours wrote.
fn read_line(line: &str) -> Option<(NodeId, Word)> {
    let mut parts = line.split(' ');
    let (node, word, about) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |hex: &str| i64::from_str_radix(hex, 16).ok();
    let account = || number(about).map(AccountId::from_i64);
    let word = match word {
        "T" => Word::Told(Message::Tasks(account()?)),
        "D" => Word::Told(Message::Deliveries),
        "L" => Word::Told(Message::Lines(account()?)),
        "C" => Word::Told(Message::Cancel(about.parse().ok()?)),
        "W" => Word::Woke(account()?),
        "R" => Word::Lost(account()?, Seen(parts.next()?.parse().ok()?)),
        "O" => Word::Opened(account()?),
        _ => return None,
    };
    Some((NodeId::from_i64(number(node)?), word))
}

/// Sends what is told, all of it at once.
pub(super) async fn speak(shared: &Shared) {
    let channel = shared.channel();
    loop {
        shared.telling.notified().await;
        let told: Vec<_> = lock(&shared.told).drain().collect();
        let Some(link) = shared.shards.any_link() else { continue };
        for messages in told.chunks(LINES_MAX) {
            let mut text = String::new();
            for message in messages {
                write_line(&mut text, shared.settings.node, *message);
            }
            if let Err(error) = link.publish(&channel, &text).await {
                tracing::debug!(%error, "told the other nodes nothing");
            }
        }
        tokio::time::sleep(GAP).await;
    }
}

/// Hears the others, again and again.
pub(super) async fn listen(shared: &Arc<Shared>) {
    let mut tries = 0;
    let mut turn = 0;
    loop {
        // The servers of a cluster pass on what is said to any of them.
        let shards = shared.shards.all();
        let there: Vec<_> = shards.iter().filter(|shard| shard.is_connected()).collect();
        turn += 1;
        let server = &there.get(turn % there.len().max(1)).map_or(&shards[0], |shard| *shard).server;
        if let Err(error) = hear(server, shared, &mut tries).await {
            tracing::debug!(%error, "hears nothing of the other nodes");
        }
        tokio::time::sleep(wait(shared.settings.retry, tries)).await;
        tries += 1;
    }
}

async fn hear(server: &Server, shared: &Arc<Shared>, tries: &mut u32) -> redis::RedisResult<()> {
    let away = || redis::RedisError::from((redis::ErrorKind::Io, "no answer in time"));
    let subscribe = async {
        let mut pubsub = server.subscriptions().await?;
        pubsub.subscribe(shared.channel()).await?;
        redis::RedisResult::Ok(pubsub)
    };
    let pubsub = tokio::time::timeout(PATIENCE, subscribe).await.map_err(|_| away())??;
    *tries = 0;
    // What was said meanwhile is unknown: whoever waits looks again.
    let waiting: Vec<_> = lock(&shared.waiting).keys().copied().collect();
    for account in waiting {
        shared.call_out(account);
    }
    shared.opened.notify_waiters();
    let (mut sink, mut messages) = pubsub.split();
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => message.get_payload_bytes().split(|byte| *byte == b'\n').for_each(|line| {
                    if let Some((node, word)) = std::str::from_utf8(line).ok().and_then(read_line)
                        && node != shared.settings.node
                    {
                        heard(shared, word);
                    }
                }),
                None => return Ok(()),
            },
            () = tokio::time::sleep(PATIENCE) => {
                tokio::time::timeout(PATIENCE, sink.ping::<redis::Value>()).await.map_err(|_| away())??;
            }
        }
    }
}

fn heard(shared: &Shared, word: Word) {
    match word {
        Word::Told(message) => {
            if let Some(hear) = shared.hear.get() {
                hear(message);
            }
        }
        Word::Woke(account) => shared.call_out(account),
        Word::Lost(account, made) => {
            shared.node().heard_of_loss(shared.boot.now(), account, made);
            shared.kick();
        }
        Word::Opened(_) => shared.opened.notify_waiters(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_what_was_written() {
        let (node, account) = (NodeId::from_random(u64::MAX), AccountId::from_random(7));
        for message in
            [Message::Tasks(account), Message::Deliveries, Message::Lines(account), Message::Cancel(i64::MAX)]
        {
            let mut text = String::new();
            write_line(&mut text, node, message);
            assert_eq!(read_line(text.trim_end()), Some((node, Word::Told(message))));
        }
    }

    #[test]
    fn a_line_of_another_version_is_passed_over() {
        for line in ["", "x", "0000000000000001 Z -", "0000000000000001 T x", "0000000000000001"] {
            assert_eq!(read_line(line), None, "{line}");
        }
    }
}
