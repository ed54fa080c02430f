//! One version of a plug-in: its compiled code and its instances.

use parking_lot::Mutex;
use wasmtime::component::Component;
use wasmtime::{Engine, Store};

use crate::binding::exports::martlet::plugin::hooks::Events;
use crate::binding::{Plugin, PluginPre};
use crate::error::{Failure, PluginError};
use crate::instance::{self, Inside, Instance};
use crate::plugin::PluginOptions;

/// Instances that wait for a question; one more is thrown away when it has answered. There are as many at work as
/// threads that ask.
const IDLE_INSTANCES_MAX: usize = 64;

pub(crate) struct Loaded {
    pre: PluginPre<Inside>,
    name: Box<str>,
    options: PluginOptions,
    /// What it wants to be asked.
    pub(crate) events: Events,
    idle: Mutex<Vec<Instance>>,
}

impl Loaded {
    /// Compiles a component and starts its first instance.
    pub(crate) fn new(
        engine: &Engine,
        name: &str,
        bytes: &[u8],
        options: &PluginOptions,
    ) -> Result<Self, PluginError> {
        let no_component = |error: wasmtime::Error| PluginError::NoComponent(format!("{error:#}"));
        let other = |error: wasmtime::Error| PluginError::Interface(format!("{error:#}"));
        let component = Component::from_binary(engine, bytes).map_err(no_component)?;
        let linker = instance::linker(engine).map_err(other)?;
        let pre = linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(other)?;
        let (name, options) = (name.into(), options.clone());
        let mut loaded = Self { pre, name, options, events: Events::empty(), idle: Mutex::default() };
        let (first, events) = loaded.start()?;
        loaded.events = events;
        loaded.put_back(first);
        Ok(loaded)
    }

    fn start(&self) -> Result<(Instance, Events), PluginError> {
        let started = Instance::new(&self.pre, &self.name, self.options.limits);
        let mut instance = started.map_err(PluginError::Start)?;
        let answer = instance
            .ask(|guest, store| guest.martlet_plugin_hooks().call_start(store, &self.options.settings));
        let events = answer.map_err(PluginError::Start)?.map_err(PluginError::Settings)?;
        Ok((instance, events))
    }

    /// Asks an instance that has nothing to do, or a new one.
    pub(crate) fn ask<T>(
        &self,
        ask: impl FnOnce(&Plugin, &mut Store<Inside>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let mut instance = self.take()?;
        let answer = instance.ask(ask)?;
        self.put_back(instance);
        Ok(answer)
    }

    fn take(&self) -> Result<Instance, Failure> {
        if let Some(instance) = self.idle.lock().pop() {
            return Ok(instance);
        }
        match self.start() {
            Ok((instance, _)) => Ok(instance),
            Err(PluginError::Start(failure)) => Err(failure),
            Err(error) => Err(Failure::Trap(error.to_string())),
        }
    }

    fn put_back(&self, instance: Instance) {
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_INSTANCES_MAX {
            idle.push(instance);
        }
    }
}
