//! What cannot be said to the option parser: `--exec-args` takes the rest of the line, whatever it looks like.

use std::ffi::OsString;

/// The command line in a form that the option parser reads as meant: each word after `--exec-args` becomes a value of its
/// own, `--exec-args=WORD`; without any word the option is left out, since no arguments are the default.
pub fn arguments(line: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out = vec![];
    let mut rest = false;
    for word in line {
        if rest {
            let mut value = OsString::from("--exec-args=");
            value.push(word);
            out.push(value);
        } else if word == "--exec-args" {
            rest = true;
        } else {
            out.push(word);
        }
    }
    #[cfg(feature = "without-option")]
    let out = super::without_option::remove_named(out);
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rest_belongs_to_the_program() {
        let line = ["websocat", "-b", "exec:ls", "--exec-args", "-l", "--", "--help"].map(Into::into);
        let got = super::arguments(line.into_iter());
        assert_eq!(got, ["websocat", "-b", "exec:ls", "--exec-args=-l", "--exec-args=--", "--exec-args=--help"]);
    }
}
