//! Programs around an embedded broker; see `examples/`. `tests/examples.rs` runs each of them as it stands.
