//! The small model in this process.
