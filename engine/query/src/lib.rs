//! SQL on the engine: the only crate that knows DataFusion. Read docs/ARCHITECTURE.md first.
