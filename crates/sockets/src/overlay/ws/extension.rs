//! Grammar of Sec-WebSocket-Extensions (RFC 6455 9.1): a list of names with parameters, as offers and answers have it.
//!
//! Without I/O and for both roles. What a parameter means is up to its extension ([`super::deflate`]). Values may be quoted
//! and must be tokens all the same; blanks may stand between any two parts, and list elements may be empty, as HTTP allows.

use std::borrow::Cow;

/// The value of Sec-WebSocket-Extensions is not what RFC 6455 9.1 describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Sec-WebSocket-Extensions is malformed")]
pub struct Malformed;

/// One element: a name with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    pub name: &'a str,
    /// In their order, repeated ones too. A value was quoted or not; here it is without quotes.
    pub parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

impl Extension<'_> {
    /// Names are compared without regard to case, as HTTP tokens of this kind are.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// All elements of a value. Several header fields of that name are one list: join them with commas.
pub fn parse(value: &[u8]) -> Result<Vec<Extension<'_>>, Malformed> {
    //= 6455-9.1-1
    //= 6455-9.1-3
    let mut input = Input(value);
    let mut elements = Vec::new();
    loop {
        if input.skip(b',') {
            continue;
        }
        if input.is_empty() {
            return Ok(elements);
        }
        let name = input.token()?;
        let mut parameters = Vec::new();
        while input.skip(b';') {
            let name = input.token()?;
            //= 6455-9.1-2
            let value = if input.skip(b'=') { Some(input.value()?) } else { None };
            parameters.push((name, value));
        }
        elements.push(Extension { name, parameters });
        if !input.is_empty() && !input.skip(b',') {
            return Err(Malformed);
        }
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn is_empty(&mut self) -> bool {
        self.blanks();
        self.0.is_empty()
    }

    /// Takes this byte, if it comes next.
    fn skip(&mut self, byte: u8) -> bool {
        self.blanks();
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.blanks();
        let len = self.0.iter().take_while(|b| is_token(**b)).count();
        let (token, rest) = self.0.split_at_checked(len).filter(|_| len > 0).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(token).map_err(|_| Malformed)
    }

    /// A token, or a quoted string that is one.
    //= 6455-4.3-3
    fn value(&mut self) -> Result<Cow<'a, str>, Malformed> {
        if !self.skip(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        loop {
            let (byte, rest) = match self.0 {
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.0 = rest;
                    return Ok(Cow::Owned(value));
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(Malformed),
            };
            if !is_token(byte) {
                return Err(Malformed);
            }
            value.push(char::from(byte));
            self.0 = rest;
        }
    }
}

/// `tchar` of RFC 9110 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Result<String, Malformed> {
        let elements = parse(value.as_bytes())?;
        let one = |e: &Extension<'_>| {
            let parameters = e.parameters.iter().map(|(name, value)| match value {
                Some(value) => format!(" {name}=<{value}>"),
                None => format!(" {name}"),
            });
            format!("{}{}", e.name, parameters.collect::<String>())
        };
        Ok(elements.iter().map(one).collect::<Vec<_>>().join(" / "))
    }

    //= 6455-9.1-1 test
    //= 6455-9.1-2 test
    //= 6455-9.1-3 test
    //= 6455-4.3-3 test
    #[test]
    fn lists_of_names_with_parameters() {
        for (value, elements) in [
            ("", ""),
            (" , ,", ""),
            ("a", "a"),
            ("a,b", "a / b"),
            (" a ; b=1 ;c , , d\t", "a b=<1> c / d"),
            ("a;b = \"1,2\"", "-"),
            ("a;b=\"12\", c", "a b=<12> / c"),
            ("a; b=\"1\\2\"", "a b=<12>"),
            ("a;b;b=1;b", "a b b=<1> b"),
            ("!#$%&'*+-.^_`|~0Az;x", "!#$%&'*+-.^_`|~0Az x"),
            (";", "-"),
            (",,x=", "-"),
            ("a;b=", "-"),
            ("a;", "-"),
            ("a;;b", "-"),
            ("a;b=\"1", "-"),
            ("a;b=\"\"", "-"),
            ("a;b=\"1\\", "-"),
            ("a;b=\" 1\"", "-"),
            ("a b", "-"),
            ("a=b", "-"),
            ("a;b c", "-"),
            ("a;b=1 2", "-"),
            ("a/b", "-"),
            ("\"a\"", "-"),
            ("ä", "-"),
            ("a;b=\"ä\"", "-"),
        ] {
            assert_eq!(shown(value).unwrap_or("-".into()), elements, "{value}");
        }
        assert_eq!(parse(b"a\0"), Err(Malformed));
    }
}
