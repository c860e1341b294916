#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| websocat::fuzz::http_head(data));
