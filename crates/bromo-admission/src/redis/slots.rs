//! Which server has which account: all of them the one that there is, or in a Redis Cluster each its slots.

use std::collections::BTreeSet;
use std::sync::Arc;

use bromo_rules::id::AccountId;
use redis::{FromRedisValue, RedisError, Value};

use crate::redis::wire;

/// The slots of a Redis Cluster.
pub(crate) const SLOTS: usize = 16_384;

/// A server among those of this process; a number is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShardId(pub(crate) u32);

/// Which shard has which account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SlotMap {
    /// All are at one.
    One(ShardId),
    /// By slot; none where nobody serves it.
    Slots(Arc<[Option<ShardId>]>),
}

impl SlotMap {
    pub(crate) fn shard(&self, account: AccountId) -> Option<ShardId> {
        match self {
            Self::One(shard) => Some(*shard),
            Self::Slots(slots) => slots.get(usize::from(slot(account))).copied().flatten(),
        }
    }

    /// Those that have any.
    pub(crate) fn shards(&self) -> BTreeSet<ShardId> {
        match self {
            Self::One(shard) => BTreeSet::from([*shard]),
            Self::Slots(slots) => slots.iter().copied().flatten().collect(),
        }
    }
}

/// CRC16 (XMODEM) of the hash tag: what a Redis Cluster goes by.
///
/// Source: docs/scale-out.md#redis-cluster
pub(crate) fn slot(account: AccountId) -> u16 {
    let crc = wire::hash_tag(account).bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| (crc << 1) ^ (0x1021 * (crc >> 15)))
    });
    crc % 16_384
}

/// A cluster as one of its servers sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Of two views that with the larger one knows more.
    pub(crate) epoch: u64,
    pub(crate) ranges: Vec<Range>,
}

/// Slots and the primary that serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// None: the server that was asked.
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
}

impl View {
    /// Reads answers to `CLUSTER INFO` and `CLUSTER SLOTS`. None if the server knows itself that it does not know: it sees
    /// too few of the others.
    pub(crate) fn read(info: &str, slots: Value) -> Result<Option<Self>, RedisError> {
        let field = |name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
        let (Some("ok"), Some(epoch)) = (field("cluster_state"), epoch) else { return Ok(None) };
        let ranges = Vec::<Value>::from_redis_value(slots)?.into_iter().map(Range::read);
        Ok(Some(Self { epoch, ranges: ranges.collect::<Result<_, _>>()? }))
    }
}

impl Range {
    fn read(value: Value) -> Result<Self, RedisError> {
        let parts = Vec::<Value>::from_redis_value(value)?;
        let mut parts = parts.into_iter();
        let mut next = || parts.next().unwrap_or(Value::Nil);
        let (first, last) = (u16::from_redis_value(next())?, u16::from_redis_value(next())?);
        let mut primary = Vec::<Value>::from_redis_value(next())?.into_iter();
        let host = Option::<String>::from_redis_value(primary.next().unwrap_or(Value::Nil))?;
        let port = u16::from_redis_value(primary.next().unwrap_or(Value::Nil))?;
        Ok(Self { first, last, host: host.filter(|host| !host.is_empty() && host != "?"), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_where_redis_looks_for_its_key() {
        // CLUSTER KEYSLOT of the same keys.
        for (number, expected) in [(0, 4_083), (1, 8_146), (0x1234_5678_9abc_def0, 3_446), (i64::MAX, 14_131)]
        {
            assert_eq!(slot(AccountId::from_i64(number)), expected, "{number:x}");
        }
    }

    #[test]
    fn a_server_that_sees_too_few_of_the_others_says_nothing() {
        let view = View::read("cluster_state:fail\r\ncluster_current_epoch:7\r\n", Value::Array(Vec::new()));
        assert_eq!(view.unwrap(), None);
    }

    #[test]
    fn a_view_names_the_primary_of_each_range() {
        let server =
            |host: Value, port| Value::Array(vec![host, Value::Int(port), Value::SimpleString("id".into())]);
        let range = |first, last, primary| {
            let replica = server(Value::BulkString(b"replica".to_vec()), 1);
            Value::Array(vec![Value::Int(first), Value::Int(last), primary, replica])
        };
        let slots = Value::Array(vec![
            range(0, 99, server(Value::BulkString(b"one".to_vec()), 7000)),
            range(100, 16_383, server(Value::Nil, 7001)),
        ]);
        let info = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_current_epoch:7\r\n";
        let view = View::read(info, slots).unwrap().unwrap();
        let expected = [
            Range { first: 0, last: 99, host: Some("one".to_owned()), port: 7000 },
            Range { first: 100, last: 16_383, host: None, port: 7001 },
        ];
        assert_eq!((view.epoch, &*view.ranges), (7, &expected[..]));
    }
}
