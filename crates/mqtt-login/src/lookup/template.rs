//! Texts with places for what a client shows. What stands there is always one value: it never becomes part of a command.

/// Whose entry is looked up.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// User name as the client shows it.
    pub username: &'a str,
    /// Client identifier.
    pub client_id: &'a str,
}

impl Who<'_> {
    /// All that is shown, so that no two clients with different values give the same bytes.
    pub(super) fn with(&self, password: &[u8]) -> Vec<u8> {
        let lengths = format!("{}:{}:", self.username.len(), self.client_id.len());
        [lengths.as_bytes(), self.username.as_bytes(), self.client_id.as_bytes(), password].concat()
    }

    pub(super) fn value(&self, variable: Variable) -> &str {
        match variable {
            Variable::Username => self.username,
            Variable::ClientId => self.client_id,
        }
    }
}

/// What may stand in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Username,
    ClientId,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    Variable(Variable),
}

/// Splits a text at `${username}` and `${clientid}`.
///
/// # Errors
/// Something else stands in `${...}`, as a sentence.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("has a `${` without a `}`")?;
        let variable = match name {
            "username" => Variable::Username,
            "clientid" => Variable::ClientId,
            _ => return Err(format!("has ${{{name}}}; there are ${{username}} and ${{clientid}}")),
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(Piece::Variable(variable));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_at_its_places() {
        let text = |text: &str| Piece::Text(text.into());
        let (name, client) = (Piece::Variable(Variable::Username), Piece::Variable(Variable::ClientId));
        assert_eq!(pieces("a:${username}:b"), Ok(vec![text("a:"), name.clone(), text(":b")]));
        assert_eq!(pieces("${clientid}${username}"), Ok(vec![client, name]));
        assert_eq!(pieces("{x} $"), Ok(vec![text("{x} $")]));
        for wrong in ["${user}", "${username", "${}"] {
            assert!(pieces(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_two_logins_look_the_same() {
        let with =
            |username, client_id, password: &str| Who { username, client_id }.with(password.as_bytes());
        assert_ne!(with("ab", "c", "d"), with("a", "bc", "d"));
        assert_ne!(with("a", "b", "cd"), with("a", "bc", "d"));
    }
}
