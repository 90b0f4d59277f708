//! HTML for people: one struct and one template a page. Holds no rule and no SQL: it reads the store and writes through
//! the engine.
