//! Statements from text to engine.
