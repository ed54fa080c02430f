//! What can be sent: anything that knows its bytes in a protocol version.

use mqtt_codec::{Packet, Version, encode};

/// Something that has bytes on the wire.
pub trait ToWire {
    /// The bytes in `version`. Builders that carry a version of their own, such as CONNECT, ignore it.
    fn to_wire(&self, version: Version) -> Vec<u8>;

    /// The version that the connection speaks once this has been sent; CONNECT alone decides it.
    fn decides_version(&self) -> Option<Version> {
        None
    }
}

impl ToWire for Packet<'_> {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(self, version, &mut bytes).expect("a packet of a test can be encoded");
        bytes
    }

    fn decides_version(&self) -> Option<Version> {
        match self {
            Packet::Connect(connect) => Some(connect.version),
            _ => None,
        }
    }
}

impl ToWire for [u8] {
    fn to_wire(&self, _: Version) -> Vec<u8> {
        self.to_vec()
    }
}

impl<const N: usize> ToWire for [u8; N] {
    fn to_wire(&self, _: Version) -> Vec<u8> {
        self.to_vec()
    }
}

impl ToWire for Vec<u8> {
    fn to_wire(&self, _: Version) -> Vec<u8> {
        self.clone()
    }
}

impl<T: ToWire + ?Sized> ToWire for &T {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        (**self).to_wire(version)
    }

    fn decides_version(&self) -> Option<Version> {
        (**self).decides_version()
    }
}
