#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sockets::fuzz::length_prefixed(data));
