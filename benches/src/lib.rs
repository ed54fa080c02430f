//! One criterion bench per layer; see `benches/`.
