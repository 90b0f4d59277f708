//! Parts: the request log.

use super::part::Kind::{Bytes, Int2, Int4, Int8, Uuid};
use super::part::{File, PLAIN, Part, Shape, made, same, sum};

const OF_LOG: Part = Part { file: File::Log, ..PLAIN };

/// Lines, their counts, and kept texts.
pub(super) const LOG: &[Part] = &[
    Part {
        name: "log lines",
        table: "blocks",
        from: "blocks",
        key: &["last_seq"],
        columns: &[
            same("last_seq", Int8),
            same("first_seq", Int8),
            same("account", Int8),
            same("first_at", Int8),
            same("last_at", Int8),
            same("lines", Int4),
            same("data", Bytes),
        ],
        shape: Shape::Block,
        // A block may become two.
        count: "sum(lines)",
        ..OF_LOG
    },
    Part {
        name: "log runs",
        table: "runs",
        from: "runs r",
        key: &["last_seq"],
        columns: &[
            same("first_seq", Int8),
            same("last_seq", Int8),
            same("first_at", Int8),
            same("last_at", Int8),
            same("lines", Int8),
            // What its blocks take: data, row and index entries.
            made(
                "bytes",
                Int8,
                "(SELECT coalesce(sum(octet_length(b.data) + 140), 0) FROM blocks b
                  WHERE b.last_seq BETWEEN r.first_seq AND r.last_seq)",
            ),
        ],
        shape: Shape::Run,
        sums: &[sum("lines", "lines")],
        ..OF_LOG
    },
    Part {
        name: "log gaps",
        table: "gaps",
        from: "gaps",
        key: &["id"],
        columns: &[same("first_at", Int8), same("last_at", Int8), same("lines", Int8)],
        sums: &[sum("lines", "lines")],
        ..OF_LOG
    },
    Part {
        name: "log counts",
        table: "rollups",
        from: "rollups",
        key: &["level", "start", "account"],
        columns: &[same("account", Int8), same("level", Int2), same("start", Int8), same("data", Bytes)],
        sums: &[sum("bytes", "octet_length(data)")],
        ..OF_LOG
    },
    Part {
        name: "uses of keys",
        table: "key_uses",
        from: "key_uses",
        key: &["account", "key"],
        columns: &[same("account", Int8), same("key", Int8), same("last_at", Int8)],
        ..OF_LOG
    },
    Part {
        name: "kept texts",
        table: "texts",
        from: "texts",
        key: &["request"],
        columns: &[
            same("request", Uuid),
            same("account", Int8),
            same("at", Int8),
            same("question_bytes", Int8),
            same("plain_bytes", Int8),
            same("data", Bytes),
        ],
        sums: &[sum("bytes", "plain_bytes"), sum("bytes packed", "octet_length(data)")],
        ..OF_LOG
    },
];
