//! The two messages of a client (RFC 5802 section 7).

/// `n,[a=AUTHZID],n=NAME,r=NONCE`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    /// The part before the message proper, which the final message repeats.
    pub(super) gs2_header: &'a str,
    /// The message proper.
    pub(super) bare: &'a str,
    pub(super) username: String,
    pub(super) nonce: &'a str,
}

/// `c=BINDING,r=NONCE,p=PROOF`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: &'a str,
    pub(super) nonce: &'a str,
    pub(super) proof: &'a str,
    /// Everything before the proof.
    pub(super) without_proof: &'a str,
}

/// The longest message that is looked at, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
const NONCE_BYTES: core::ops::RangeInclusive<usize> = 8..=256;

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let text = text(data)?;
        let mut parts = text.splitn(3, ',');
        let (binding, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        // Without channel binding: `p=` asks for it, and there is none to offer.
        if !matches!(binding, "n" | "y") || !authzid.is_empty() {
            return None;
        }
        let gs2_header = &text[..text.len() - bare.len()];
        let mut attributes = bare.split(',');
        let username = decode_name(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        // Extensions that must be understood begin with `m=`, before the name; others may follow.
        let extensions_ok = attributes.all(|attribute| attribute.as_bytes().get(1) == Some(&b'='));
        (extensions_ok && is_nonce(nonce)).then_some(Self { gs2_header, bare, username, nonce })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(data: &'a [u8]) -> Option<Self> {
        let text = text(data)?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next()?.strip_prefix("c=")?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let extensions_ok = attributes.all(|attribute| attribute.as_bytes().get(1) == Some(&b'='));
        extensions_ok.then_some(Self { binding, nonce, proof, without_proof })
    }
}

fn text(data: &[u8]) -> Option<&str> {
    if data.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    core::str::from_utf8(data).ok().filter(|text| !text.contains('\0'))
}

fn is_nonce(nonce: &str) -> bool {
    NONCE_BYTES.contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `=2C` is a comma and `=3D` an equals sign; any other `=` is a mistake.
fn decode_name(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut decoded = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = match part.as_bytes() {
            [b'2', b'C', ..] => (',', &part[2..]),
            [b'3', b'D', ..] => ('=', &part[2..]),
            _ => return None,
        };
        decoded.push(character);
        decoded.push_str(rest);
    }
    (!decoded.is_empty()).then_some(decoded)
}
