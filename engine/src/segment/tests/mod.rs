//! Segments against a naive oracle (a list of rows), and against damage.

#![allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]

mod damage;
mod golden;
mod round_trip;
mod sizes;
mod support;
