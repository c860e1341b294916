#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websocat::fuzz::script_literal(data));
