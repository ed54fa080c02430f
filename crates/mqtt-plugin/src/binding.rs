//! What `wit/plugin.wit` says, as types.

wasmtime::component::bindgen!({ path: "wit", world: "plugin" });
