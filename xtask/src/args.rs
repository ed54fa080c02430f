//! Command-line arguments: flags and `--name value` or `--name=value` pairs, taken one by one until none is left.

/// The words that no option has taken yet.
pub(crate) struct Args(Vec<String>);

impl Args {
    pub(crate) fn from_env() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Takes the first word, whatever it is.
    pub(crate) fn command(&mut self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// Takes a flag and says whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() != before
    }

    /// Takes an option with its value; an option without one is an error.
    pub(crate) fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let joined = format!("{name}=");
        let Some(at) = self.0.iter().position(|word| word == name || word.starts_with(&joined)) else {
            return Ok(None);
        };
        let word = self.0.remove(at);
        if let Some(value) = word.strip_prefix(&joined) {
            return Ok(Some(value.to_owned()));
        }
        if at == self.0.len() {
            return Err(format!("{name} needs a value"));
        }
        Ok(Some(self.0.remove(at)))
    }

    /// Ends the parsing: words that nobody took are an error.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.as_slice() {
            [] => Ok(()),
            rest => Err(format!("not understood: {}", rest.join(" "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(line: &str) -> Args {
        Args(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn values_stand_after_the_name_or_after_an_equals_sign() {
        let mut args = args("--paho here --only=ws --quick");
        assert_eq!(args.value("--only"), Ok(Some("ws".to_owned())));
        assert_eq!(args.value("--paho"), Ok(Some("here".to_owned())));
        assert_eq!(args.value("--binary"), Ok(None));
        assert!(args.flag("--quick"));
        assert!(!args.flag("--quick"));
        assert_eq!(args.finish(), Ok(()));
    }

    #[test]
    fn a_missing_value_and_a_stray_word_are_errors() {
        assert!(args("--paho").value("--paho").is_err());
        assert!(args("strange").finish().is_err());
    }
}
