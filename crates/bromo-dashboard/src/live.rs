//! Live pages.
