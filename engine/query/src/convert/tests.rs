//! Conversions there and back.
