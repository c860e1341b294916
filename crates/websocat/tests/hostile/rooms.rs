//! Rooms of a hub: more names than are wanted, and members that never read.

use super::{
    client::{BINARY, Client, FIN, frame, tcp},
    server::{Server, allow_descriptors},
};

/// KiB beside what may wait: pools, and what the allocator holds back.
const POOLS: u64 = 4 << 10;

/// A server where the header says which room; `slow` is the policy.
fn server(slow: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rooms.rhai");
    let script = r#"let rooms = hub(#{slow: "POLICY", max_rooms: 100});
listen_tcp(#{addr: "127.0.0.1:0", autospawn: true}, |addr| {
  print_stdout("LISTEN proto=tcp,ip=" + addr.get_ip() + ",port=" + str(addr.get_port()) + "\n");
  dummy_task()
}, |tcp, from| {
  http1_serve(#{timeout_ms: 10000}, tcp, |rq, hup, fd| {
    let member = ();
    try { member = rooms.join(#{name: str(from)}, request_header(rq, "x-room")); } catch (why) { return http_reply(503, #{}, why); }
    ws_accept(#{}, #{}, rq, hup, fd, |raw| {
      let ws = ws_wrap(#{client: false, answer_close: true, close_code: 1000, require_close: true, own_control: true}, raw);
      exchange_packets(#{linger_ms: 1000, end_on_error: true}, ws, member)
    })
  })
})"#;
    std::fs::write(&path, script.replace("POLICY", slow)).unwrap();
    Server::start(&["-x", path.to_str().unwrap()])
}

fn join(server: &Server, room: &str) -> Client {
    Client::open(server, &format!("X-Room: {room}\r\n"))
}

/// What one says the other hears.
fn assert_talk(one: &mut Client, other: &mut Client) {
    one.send(&frame(FIN | BINARY, b"still there?"));
    assert_eq!(other.data(12), b"still there?");
}

#[test]
fn names_without_end() {
    allow_descriptors(500);
    let mut server = server("disconnect");
    let idle = server.descriptors();
    let mut members: Vec<_> = (0..100).map(|n| join(&server, &format!("room {n}"))).collect();
    for n in 100..1000 {
        let mut client = Client::raw(tcp(&server));
        client.send(
            format!(
                "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Room: {}\r\n\r\n",
                if n % 2 == 0 { format!("room {n}") } else { "long ".repeat(1000) }
            )
            .as_bytes(),
        );
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    }
    assert_talk(&mut join(&server, "room 7"), &mut members[7]);
    drop(members);
    server.wait_for_descriptors(idle);
    // Their names are free again.
    let (mut one, mut other) = (join(&server, "new"), join(&server, "new"));
    assert_talk(&mut one, &mut other);
    server.assert_growth(POOLS + 100 * 12);
}

#[test]
fn a_member_that_never_reads_costs_the_others_nothing() {
    const ROUNDS: usize = 200;
    const BATCH: usize = 256;
    for policy in ["disconnect", "drop-oldest"] {
        let mut server = server(policy);
        let (stuck, mut listener, mut speaker) = (join(&server, "x"), join(&server, "x"), join(&server, "x"));
        let joined = server.descriptors();
        let batch = frame(FIN | BINARY, &[b'd'; 1000]).repeat(BATCH);
        // 50 MB, more than any kernel buffers for it; the others go on together, however busy the machine is.
        for _ in 0..ROUNDS {
            speaker.send(&batch);
            listener.data(1000 * BATCH);
        }
        match policy {
            "disconnect" => {
                server.wait_for_log("is disconnected: it does not keep up", 1);
                assert!(server.logged("hub: member 127.0.0.1:") > 0, "the log says who");
                // And it really is: two seconds later nothing is left of it, though it still reads nothing.
                server.wait_for_descriptors(joined - 1);
            }
            _ => {
                server.wait_for_log("messages were dropped", 1);
                assert!(server.logged("messages were dropped") < 20, "the log is bounded as well");
            }
        }
        assert_talk(&mut listener, &mut speaker);
        server.assert_growth(POOLS + (2 << 10));
        drop(stuck);
    }
}

#[test]
fn a_room_that_waits_for_one_is_bounded_and_goes_on_when_it_leaves() {
    let mut server = server("block");
    let (stuck, mut listener, mut speaker) = (join(&server, "x"), join(&server, "x"), join(&server, "x"));
    let (mut one, mut other) = (join(&server, "y"), join(&server, "y"));
    let message = frame(FIN | BINARY, &[b'd'; 1000]);
    let flood = message.repeat(50_000);
    let sent = speaker.stuff(&flood);
    assert!(sent < flood.len(), "nobody waits for the slow one");
    server.assert_growth(POOLS + (2 << 10));
    // Another room does not wait.
    assert_talk(&mut one, &mut other);
    drop(stuck);
    let whole = sent / message.len();
    listener.data(1000 * whole);
    speaker.send(&flood[sent..(whole + 1) * message.len()]);
    listener.data(1000);
    assert_talk(&mut listener, &mut speaker);
}

#[test]
fn the_end_of_the_program_is_told_to_members() {
    let server = server("disconnect");
    let (mut one, mut other) = (join(&server, "x"), join(&server, "x"));
    assert_talk(&mut one, &mut other);
    server.signal(rustix::process::Signal::TERM);
    for member in [&mut one, &mut other] {
        assert_eq!(member.next().unwrap(), (0x88, vec![3, 0xe9]), "Close 1001");
    }
}
