//! Who may start now.
