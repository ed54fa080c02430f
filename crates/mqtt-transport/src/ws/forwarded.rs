//! Who is behind a proxy: `Forwarded` (RFC 7239) and `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The client's address, if the peer is a proxy that is believed and names one. Of a chain of proxies the last one that is
/// not believed itself counts: what stands before it may be made up.
pub(super) fn address(
    peer: IpAddr,
    headers: &[httparse::Header<'_>],
    trusted: &[IpNet],
) -> Option<SocketAddr> {
    if !is_trusted(peer, trusted) {
        return None;
    }
    let standard = values(headers, "Forwarded").flat_map(|line| line.split(',')).map(of_standard);
    let chain: Vec<_> = standard.collect();
    let chain = if chain.is_empty() {
        values(headers, "X-Forwarded-For").flat_map(|line| line.split(',')).map(node).collect()
    } else {
        chain
    };
    // An entry that cannot be read ends what can be believed.
    let known = chain.into_iter().rev().map_while(|address| address);
    let mut farthest = None;
    for address in known {
        farthest = Some(address);
        if !is_trusted(address.ip(), trusted) {
            break;
        }
    }
    farthest
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address.to_canonical()))
}

fn values<'h>(headers: &'h [httparse::Header<'_>], name: &str) -> impl Iterator<Item = &'h str> {
    let named = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    headers.iter().filter(named).filter_map(|header| std::str::from_utf8(header.value).ok())
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`.
fn of_standard(element: &str) -> Option<SocketAddr> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim().trim_matches('"'))
}

/// An address with or without a port.
fn node(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let alone = text.parse::<IpAddr>().ok().or_else(|| bracketed().map(IpAddr::V6));
    alone.map(|address| SocketAddr::new(address, 0)).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &[(&str, &str)], expected: Option<&str>) {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a net"));
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let found = address(peer.parse().expect("an address"), &lines, &trusted);
        assert_eq!(found, expected.map(|address| address.parse().expect("an address")), "{headers:?}");
    }

    #[test]
    fn a_proxy_that_is_believed_tells_who_is_behind_it() {
        check("10.0.0.1", &[("X-Forwarded-For", "192.0.2.1")], Some("192.0.2.1:0"));
        check("10.0.0.1", &[("x-forwarded-for", "2001:db8::1")], Some("[2001:db8::1]:0"));
        check("::1", &[("Forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1")], Some("192.0.2.1:0"));
        check("::1", &[("Forwarded", "For=\"[2001:db8::1]:4711\"")], Some("[2001:db8::1]:4711"));
        check("::ffff:10.0.0.1", &[("Forwarded", "for=192.0.2.1:99")], Some("192.0.2.1:99"));
    }

    #[test]
    fn nobody_else_is_believed() {
        check("192.0.2.9", &[("X-Forwarded-For", "192.0.2.1")], None);
        check("10.0.0.1", &[], None);
        check("10.0.0.1", &[("Forwarded", "for=unknown"), ("X-Forwarded-For", "192.0.2.1")], None);
    }

    #[test]
    fn what_a_client_made_up_before_its_proxy_does_not_count() {
        let made_up = "1.1.1.1, 192.0.2.7, 10.0.0.2";
        check("10.0.0.1", &[("X-Forwarded-For", made_up)], Some("192.0.2.7:0"));
        check(
            "10.0.0.1",
            &[("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "192.0.2.7")],
            Some("192.0.2.7:0"),
        );
        check("10.0.0.1", &[("X-Forwarded-For", "1.1.1.1, rubbish, 10.0.0.2")], Some("10.0.0.2:0"));
        check("10.0.0.1", &[("X-Forwarded-For", "10.0.0.3, 10.0.0.2")], Some("10.0.0.3:0"));
    }
}
