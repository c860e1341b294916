#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wsframe::fuzz::utf8(data));
