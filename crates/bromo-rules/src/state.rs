//! The states of the United States (contract section 9.2).
