//! Addresses and networks.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr};

/// A network such as `10.0.0.0/8` or `2001:db8::/32`, or a single address.
///
/// IPv4 addresses that come mapped into IPv6 (`::ffff:10.0.0.1`), as they do from sockets that serve both, count as IPv4.
///
/// ```
/// use mqtt_access::Network;
///
/// let house: Network = "192.0.2.0/24".parse()?;
/// assert!(house.contains("192.0.2.7".parse().expect("an address")));
/// assert!("192.0.0.0/16".parse::<Network>()?.covers(&house));
/// # Ok::<(), mqtt_access::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl Network {
    /// The network of this many leading bits around an address; `None` if the address has fewer.
    #[must_use]
    pub fn around(address: IpAddr, bits: u8) -> Option<Self> {
        let address = address.to_canonical();
        (bits <= width(address)).then(|| Self { address: masked(address, bits), bits })
    }

    /// The network of a single address.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, bits: width(address) }
    }

    /// Whether an address belongs to it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == self.address
    }

    /// Whether it is one of IPv4, and how many leading bits its addresses share.
    pub(crate) fn prefix(&self) -> (bool, u8) {
        (self.address.is_ipv4(), self.bits)
    }

    /// Whether every address of another network belongs to it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let Some(bits) = bits else { return Ok(Self::of_address(address)) };
        let bits = bits.parse().map_err(|_| NetworkError)?;
        Self::around(address, bits).ok_or(NetworkError)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.address) {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither an IP address nor a network such as 10.0.0.0/8")
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_its_networks_and_to_no_other() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("10.0.0.1", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8::/32", "2001:db9::", false),
        ] {
            let parsed: Network = network.parse().expect("a network");
            assert_eq!(
                parsed.contains(address.parse().expect("an address")),
                expected,
                "{network} {address}"
            );
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "host"] {
            assert_eq!(text.parse::<Network>(), Err(NetworkError), "{text}");
        }
    }
}
