//! Urgent data ("out of band") through exchanges of bytes over loopback TCP, spliced and copied: part of the stream where
//! SO_OOBINLINE asks for it, left out otherwise, and in no case the end of anything.

mod tcp;

use socket2::SockRef;
use sockets::{copy::ExchangeBytes, exchange::ExchangeBytesOptions, net::sockopts::StreamOptions, stop::Stop};
use tcp::{PATIENCE, pair, stream_socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

async fn forwarded(inline: bool, splices: bool) -> String {
    let ((mut client, left), (mut server, right)) = (pair().await, pair().await);
    let options = StreamOptions { out_of_band_inline: inline, ..StreamOptions::default() };
    options.apply(&SockRef::from(&left)).unwrap();
    let (left, right) = (stream_socket(left, splices), stream_socket(right, splices));
    let session = tokio::spawn(ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new()));
    let talk = async {
        let mut got = String::new();
        client.write_all(b"be").await.unwrap();
        got.push(server.read_u8().await.unwrap().into());
        got.push(server.read_u8().await.unwrap().into());
        // Alone, when nothing else is there to be read, and then with more behind it.
        SockRef::from(&client).send_out_of_band(b"X").unwrap();
        if inline {
            got.push(server.read_u8().await.unwrap().into());
        }
        client.write_all(b"tween").await.unwrap();
        while !got.ends_with("tween") {
            got.push(server.read_u8().await.unwrap().into());
        }
        SockRef::from(&client).send_out_of_band(b"Y").unwrap();
        client.write_all(b"!").await.unwrap();
        SockRef::from(&client).send_out_of_band(b"Z").unwrap();
        client.shutdown().await.unwrap();
        server.read_to_string(&mut got).await.unwrap();
        server.write_all(b"heard").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "heard");
        got
    };
    let got = timeout(PATIENCE, talk).await.unwrap_or_else(|_| panic!("inline {inline}, spliced {splices}: it hangs"));
    timeout(PATIENCE, session).await.unwrap().unwrap().unwrap();
    got
}

#[tokio::test]
async fn urgent_data_is_in_its_place_when_it_is_asked_for() {
    for splices in [false, true] {
        assert_eq!(forwarded(true, splices).await, "beXtweenY!Z", "spliced: {splices}");
    }
}

#[cfg(target_os = "linux")] // elsewhere the byte before the last mark may stay in the stream
#[tokio::test]
async fn urgent_data_is_left_out_otherwise() {
    for splices in [false, true] {
        // Each further urgent byte makes the one before it an ordinary one, unless that has been passed already: the last
        // one is always left out, and whatever is sent as data is there.
        let got = forwarded(false, splices).await;
        let plain: String = got.chars().filter(|c| !"XYZ".contains(*c)).collect();
        assert_eq!(plain, "between!", "spliced: {splices}");
        assert!(!got.contains('Z'), "spliced: {splices}: {got}");
    }
}

#[tokio::test]
async fn nothing_hides_behind_urgent_data() {
    for (inline, splices) in [(false, false), (false, true), (true, false), (true, true)] {
        let ((mut client, left), (mut server, right)) = (pair().await, pair().await);
        let options = StreamOptions { out_of_band_inline: inline, ..StreamOptions::default() };
        options.apply(&SockRef::from(&left)).unwrap();
        // All of it is there before the first read, which ends at the mark.
        client.write_all(b"before").await.unwrap();
        SockRef::from(&client).send_out_of_band(b"!").unwrap();
        client.write_all(b"behind").await.unwrap();
        timeout(PATIENCE, left.readable()).await.unwrap().unwrap();
        let (left, right) = (stream_socket(left, splices), stream_socket(right, splices));
        let session = tokio::spawn(ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new()));
        let mut got = String::new();
        while !got.ends_with("behind") {
            let next = timeout(PATIENCE, server.read_u8()).await;
            let next = next.unwrap_or_else(|_| panic!("inline {inline}, spliced {splices}: it hangs after {got}"));
            got.push(next.unwrap().into());
        }
        assert_eq!(got, if inline { "before!behind" } else { "beforebehind" });
        session.abort();
    }
}
