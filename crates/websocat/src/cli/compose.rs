//! `--compose`: several command lines in one, joined by `&` (at the same time), `;` (one after another) and `^` (the first
//! one that is over ends the others), grouped by `(` and `)`.
//!
//! Here the line is taken apart; what the parts say is not looked at. Every error names the argument, counted from 1 as the
//! shell counts, and its text.

use crate::error::Error;
use std::{ffi::OsString, fmt, iter::Peekable, ops::RangeInclusive};

/// The option that must be the first argument.
pub const COMPOSE: &str = "--compose";
/// Groups inside of groups. People need two or three; each is a function inside of a function of the script.
const MAX_DEPTH: usize = 32;
/// Command lines in one. Each is read, planned and written into the script by itself, which may take milliseconds.
const MAX_PARTS: usize = 1000;

/// How the parts of a level run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `&`: at the same time; it is over when all are.
    Parallel,
    /// `;`: one after another, whether they fail or not.
    Sequential,
    /// `^`: at the same time; it is over when one is.
    Race,
}

impl Join {
    fn of(word: &str) -> Option<Self> {
        match word {
            "&" => Some(Self::Parallel),
            ";" => Some(Self::Sequential),
            "^" => Some(Self::Race),
            _ => None,
        }
    }
}

/// Arguments from here to there, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub RangeInclusive<usize>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "argument {first}") } else { write!(f, "arguments {first} to {last}") }
    }
}

/// A part or a level of parts, each with what was made of its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree<T> {
    Part(T),
    Joined(Join, Vec<Tree<T>>),
}

impl<T> Tree<T> {
    /// Its parts, from left to right.
    pub fn parts(&self) -> Vec<&T> {
        match self {
            Self::Part(part) => vec![part],
            Self::Joined(_, trees) => trees.iter().flat_map(Self::parts).collect(),
        }
    }
}

/// The words of one part, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    pub words: Vec<OsString>,
    pub place: Place,
}

/// What stands behind `--compose`.
#[derive(Debug, PartialEq, Eq)]
pub struct Composed {
    /// Words between it and a first `(`: options of the whole.
    pub global: Option<Words>,
    pub tree: Tree<Words>,
}

/// Takes apart what follows `--compose`, which is argument 1.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Composed, Error> {
    let mut reader = Reader { tokens: tokens(words).into_iter().peekable(), parts: 0, end: COMPOSE.to_owned() };
    let mut global = None;
    let mut tree = None;
    if let Some(Token::Words(words)) = reader.tokens.next_if(|token| matches!(token, Token::Words(_))) {
        match reader.tokens.peek() {
            Some(Token::Open(_)) => global = Some(words),
            _ => {
                reader.parts = 1;
                tree = Some(Tree::Part(words));
            }
        }
    }
    let first = match tree {
        Some(tree) => tree,
        None => reader.operand(0)?,
    };
    let tree = reader.level(first, 0)?;
    match reader.tokens.next() {
        Some(token) => Err(wrong(&token, "closes nothing: there is no `(` for it")),
        None => Ok(Composed { global, tree }),
    }
}

#[derive(Debug)]
enum Token {
    Words(Words),
    /// Its argument number.
    Open(usize),
    Close(usize),
    Join(Join, usize),
}

fn tokens(words: impl IntoIterator<Item = OsString>) -> Vec<Token> {
    let mut tokens: Vec<Token> = vec![];
    for (word, at) in words.into_iter().zip(2..) {
        match word.to_str() {
            Some("(") => tokens.push(Token::Open(at)),
            Some(")") => tokens.push(Token::Close(at)),
            Some(text) if Join::of(text).is_some() => tokens.extend(Join::of(text).map(|join| Token::Join(join, at))),
            _ => match tokens.last_mut() {
                Some(Token::Words(part)) => {
                    part.words.push(word);
                    part.place = Place(*part.place.0.start()..=at);
                }
                _ => tokens.push(Token::Words(Words { words: vec![word], place: Place(at..=at) })),
            },
        }
    }
    tokens
}

/// Names a token by number and text.
fn named(token: &Token) -> String {
    let (at, text) = match token {
        Token::Words(part) => (*part.place.0.start(), part.words[0].to_string_lossy().into_owned()),
        Token::Open(at) => (*at, "(".to_owned()),
        Token::Close(at) => (*at, ")".to_owned()),
        Token::Join(join, at) => (*at, symbol(*join).to_owned()),
    };
    format!("argument {at}, `{text}`")
}

fn symbol(join: Join) -> &'static str {
    match join {
        Join::Parallel => "&",
        Join::Sequential => ";",
        Join::Race => "^",
    }
}

fn wrong(token: &Token, what: &str) -> Error {
    Error::usage(format!("{COMPOSE}: {} {what}", named(token)))
}

struct Reader<T: Iterator<Item = Token>> {
    tokens: Peekable<T>,
    /// How many command lines there were.
    parts: usize,
    /// The token read last, for errors at the end of the line.
    end: String,
}

impl<T: Iterator<Item = Token>> Reader<T> {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.next();
        if let Some(token) = &token {
            self.end = named(token);
        }
        token
    }

    /// Words or a group.
    fn operand(&mut self, depth: usize) -> Result<Tree<Words>, Error> {
        match self.next() {
            Some(token @ Token::Words(_)) if self.parts == MAX_PARTS => {
                Err(wrong(&token, &format!("begins command line {}: there can be {MAX_PARTS}", MAX_PARTS + 1)))
            }
            Some(Token::Words(words)) => {
                self.parts += 1;
                Ok(Tree::Part(words))
            }
            Some(open @ Token::Open(_)) => {
                if depth == MAX_DEPTH {
                    return Err(wrong(&open, &format!("is in {MAX_DEPTH} other groups: that is too deep")));
                }
                let first = self.operand(depth + 1)?;
                let tree = self.level(first, depth + 1)?;
                match self.next() {
                    Some(Token::Close(_)) => Ok(tree),
                    _ => Err(wrong(&open, "is never closed: there is no `)` for it")),
                }
            }
            Some(Token::Close(at)) => Err(wrong(&Token::Close(at), "comes where a command line should stand")),
            Some(join @ Token::Join(..)) => Err(wrong(&join, "has no command line in front of it")),
            None => Err(Error::usage(format!("{COMPOSE}: a command line should follow behind {}", self.end))),
        }
    }

    /// What is joined to the first operand of a level.
    fn level(&mut self, first: Tree<Words>, depth: usize) -> Result<Tree<Words>, Error> {
        let mut trees = vec![first];
        let mut joined: Option<(Join, String)> = None;
        loop {
            match self.tokens.peek() {
                None | Some(Token::Close(_)) => break,
                Some(Token::Join(join, _)) => {
                    let join = *join;
                    let Some(token) = self.next() else { break };
                    match &joined {
                        Some((other, first)) if *other != join => {
                            let what = format!("stands beside {first}: put parentheses around what belongs together");
                            return Err(wrong(&token, &what));
                        }
                        Some(_) => {}
                        None => joined = Some((join, named(&token))),
                    }
                    trees.push(self.operand(depth)?);
                }
                Some(token) => return Err(wrong(token, "needs `&`, `;` or `^` in front of it")),
            }
        }
        match (joined, trees.pop()) {
            // Parentheses around a single part.
            (None, Some(only)) => Ok(only),
            (Some((join, _)), Some(last)) => {
                trees.push(last);
                Ok(Tree::Joined(join, trees))
            }
            (_, None) => Err(Error::usage(format!("{COMPOSE}: a command line is missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Composed, Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    /// The tree with the operators in front.
    fn shape(tree: &Tree<Words>) -> String {
        match tree {
            Tree::Part(part) => {
                let words: Vec<_> = part.words.iter().map(|word| word.to_str().unwrap()).collect();
                format!("{}@{}-{}", words.join("."), part.place.0.start(), part.place.0.end())
            }
            Tree::Joined(join, trees) => {
                format!("{}[{}]", symbol(*join), trees.iter().map(shape).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn levels_and_groups() {
        for (line, expected) in [
            ("a b", "a.b@2-3"),
            ("a & b", "&[a@2-2 b@4-4]"),
            ("-b a ; b x y ; c", ";[-b.a@2-3 b.x.y@5-7 c@9-9]"),
            ("( a )", "a@3-3"),
            ("( ( a ) ) ^ b", "^[a@4-4 b@8-8]"),
            ("a & ( b ; c ) & d", "&[a@2-2 ;[b@5-5 c@7-7] d@10-10]"),
            ("( a ^ b ) ; ( c & ( d ; e ) )", ";[^[a@3-3 b@5-5] &[c@9-9 ;[d@12-12 e@14-14]]]"),
            // Only whole words are operators.
            ("a&b ;c (d", "a&b.;c.(d@2-4"),
        ] {
            let composed = parsed(line).unwrap();
            assert_eq!((shape(&composed.tree), composed.global), (expected.to_owned(), None), "{line}");
        }
        let composed = parsed("--dump-spec -v ( a & b )").unwrap();
        assert_eq!(shape(&composed.tree), "&[a@5-5 b@7-7]");
        assert_eq!(composed.global.unwrap().place, Place(2..=3));
    }

    #[test]
    fn errors_point_at_the_argument() {
        for (line, expected) in [
            ("", "a command line should follow behind --compose"),
            ("& a", "argument 2, `&` has no command line in front of it"),
            ("a &", "a command line should follow behind argument 3, `&`"),
            ("a & & b", "argument 4, `&` has no command line in front of it"),
            ("a & b ; c", "argument 5, `;` stands beside argument 3, `&`: put parentheses around"),
            ("a & ( b", "argument 4, `(` is never closed"),
            ("a ) & b", "argument 3, `)` closes nothing"),
            ("( a & b ) )", "argument 7, `)` closes nothing"),
            ("( )", "argument 3, `)` comes where a command line should stand"),
            ("a & ( b ) c", "argument 7, `c` needs `&`, `;` or `^` in front of it"),
            ("a & b ( c )", "argument 5, `(` needs"),
            ("(", "a command line should follow behind argument 2, `(`"),
        ] {
            let e = parsed(line).unwrap_err();
            assert_eq!(e.exit_code(), 2);
            assert!(e.to_string().starts_with(&format!("--compose: {expected}")), "{line}: {e}");
        }
    }

    #[test]
    fn groups_too_deep_and_too_many_parts_are_refused() {
        let nested = |n: usize| parsed(&format!("{} a {}", "( ".repeat(n), " )".repeat(n)));
        assert!(nested(MAX_DEPTH).is_ok());
        assert!(nested(100_000).unwrap_err().to_string().contains("argument 34, `(` is in 32 other groups"));
        let long = |n: usize| parsed(&format!("a{}", " & a".repeat(n - 1)));
        assert_eq!(long(MAX_PARTS).unwrap().tree.parts().len(), MAX_PARTS);
        let e = long(30_001).unwrap_err().to_string();
        assert!(e.contains("argument 2002, `a` begins command line 1001: there can be 1000"), "{e}");
        let grouped = |n: usize| parsed(&format!("( a{} )", " ^ ( b ; c )".repeat(n)));
        assert!(grouped(499).is_ok());
        assert!(grouped(500).unwrap_err().to_string().contains("`c` begins command line 1001"));
    }
}
