//! Properties of MQTT 5: the table, a single property, the validated block, and the owned block under construction.

mod block;
mod buf;
mod table;
mod value;

pub use block::{Properties, PropertiesIter, SubscriptionIdentifiers, UserProperties};
pub use buf::PropertiesBuf;
pub use table::{PropertyId, PropertyPlace, PropertyRow, PropertyType};
pub use value::Property;

pub(crate) use table::row_of_number;
