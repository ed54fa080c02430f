//! A line cut into words.

/// One word. A quoted one means exactly what it says: no lists, no wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) quoted: bool,
}

/// Cuts a line at its blanks. Between `"` blanks belong to the word, and `\` takes the next character as it is.
///
/// # Errors
/// A quotation that does not end.
pub(super) fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                let word = word.get_or_insert_with(Word::empty);
                word.quoted = true;
                quotation(&mut characters, &mut word.text)?;
            }
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_with(Word::empty).text.push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quotation(characters: &mut core::str::Chars<'_>, into: &mut String) -> Result<(), String> {
    loop {
        match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => into.extend(characters.next()),
            Some(other) => into.push(other),
            None => return Err("a quotation does not end".to_owned()),
        }
    }
}

impl Word {
    fn empty() -> Self {
        Self { text: String::new(), quoted: false }
    }
}
