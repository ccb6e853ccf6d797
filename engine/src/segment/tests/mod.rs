//! Segments against a naive oracle (a list of rows), and against damage.

mod damage;
mod golden;
mod round_trip;
mod sizes;
mod support;
