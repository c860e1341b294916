//! From arguments to script text: parse, rewrite, print.
