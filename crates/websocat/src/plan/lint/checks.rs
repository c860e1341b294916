//! What is looked at: both sides as typed, then what will be run, then the parts of a composed line.

use super::super::{Plan, unused::unused};
use super::{
    CONTRADICTION, CUT_DATAGRAMS, ENDS_BEFORE_REPLIES, EXPOSED_PROCESS, EXPOSED_TO_PAGES, FIRST_TAKES_ALL, Finding,
    Findings, JOINS_NOTHING, LISTENER_ON_THE_RIGHT, MIXED_BYTES, NO_HOST, ODD_ADDRESS, OLD_SPELLING, PLAIN_ON_TLS_PORT,
    PREDICTABLE_KEYS, SECRET_IN_THE_CLEAR, TEXT_OF_BYTES, UNUSED_OPTION,
};
use crate::{
    cli::{Args, Join, Part, Tree},
    endpoints::{Endpoint, udp::Place},
    overlays::Overlay,
    spec::{SocketKind, Stack, url::is_local},
};

/// What fits into an Ethernet frame with IPv4 and UDP.
const USUAL_DATAGRAM: u64 = 1472;

/// On both sides as typed.
pub fn before(plan: &mut Plan) {
    let found = as_typed(plan);
    plan.findings.extend(found);
}

fn as_typed(plan: &Plan) -> Findings {
    let mut found = Findings::for_plan(plan);
    listeners(plan, &mut found);
    session(plan, &mut found);
    joined_sockets(plan, &mut found);
    processes(plan, &mut found);
    addresses(plan, &mut found);
    found
}

/// Which directions there are, and for how long.
fn session(plan: &Plan, found: &mut Findings) {
    let session = &plan.args.session;
    if session.global_timeout_ms.is_none() && session.global_timeout_force_exit {
        found.add(&UNUSED_OPTION, "--global-timeout-force-exit does nothing without --global-timeout-ms");
    }
    if session.unidirectional && session.unidirectional_reverse {
        found.add(
            &CONTRADICTION,
            "-u and -U together move nothing at all; one of them says which direction is left out",
        );
    }
    let one_way = session.unidirectional || session.unidirectional_reverse;
    if session.unidirectional_late_drop && !one_way {
        found.add(&UNUSED_OPTION, "--unidirectional-late-drop has no effect without -u or -U");
    }
    if session.unidirectional && !plan.reverse_filters.is_empty() {
        found.add(&UNUSED_OPTION, "--filter-reverse has no effect: with -u nothing is moved from right to left");
    }
    if session.unidirectional_reverse && !plan.filters.is_empty() {
        found.add(&UNUSED_OPTION, "--filter has no effect: with -U nothing is moved from left to right");
    }
}

fn listeners(plan: &Plan, found: &mut Findings) {
    if plan.right.is_multi() && !plan.left.is_multi() {
        found.add(
            &LISTENER_ON_THE_RIGHT,
            "a listener on the right side serves one connection only; it belongs on the left",
        );
    }
    let limits = &plan.args.endpoints.client_limits;
    if limits.is_limited() && (!plan.left.is_multi() || plan.args.session.oneshot) {
        found.add(
            &UNUSED_OPTION,
            "--conncap and --max-conns-per-ip have no effect: nothing here takes more than one connection",
        );
    }
    let has_ip = matches!(plan.left.endpoint, Endpoint::TcpListen(_) | Endpoint::WsListen(_));
    if limits.max_clients_per_ip.is_some() && plan.left.is_multi() && !has_ip {
        found.add(&UNUSED_OPTION, "--max-conns-per-ip has no effect: clients of what listens here have no IP address");
    }
    let listen = &plan.args.endpoints.listen;
    if listen.accept_from_fd {
        found.add(
            &OLD_SPELLING,
            "--accept-from-fd only explains: inherited sockets are unix-listen-fd:3, seqpacket-listen-fd:3, …",
        );
    }
    if listen.exec_after_listen_append_port && listen.exec_after_listen.is_none() {
        found.add(&UNUSED_OPTION, "--exec-after-listen-append-port has no effect without --exec-after-listen");
    }
    if listen.exec_after_listen_append_port && matches!(plan.left.endpoint, Endpoint::UnixListen(_)) {
        found.add(&UNUSED_OPTION, "--exec-after-listen-append-port has no effect: a UNIX socket has no port");
    }
    if plan.args.endpoints.socket_file.contradicts_itself() {
        found.add(&CONTRADICTION, "of several --chmod options only the one for the fewest people counts");
    }
}

/// `tee:` and `write-splitoff:`.
fn joined_sockets(plan: &Plan, found: &mut Findings) {
    let splits = &plan.args.overlays.write_splitoff;
    if splits.write_splitoff_omit_shutdown && splits.write_splitoff.is_none() {
        found.add(&UNUSED_OPTION, "--write-splitoff-omit-shutdown has no effect without --write-splitoff");
    }
    let joins = plan.stacks().flat_map(|stack| &stack.overlays).any(|overlay| matches!(overlay, Overlay::Tee(_)));
    if joins && plan.tees.is_empty() {
        found.add(&JOINS_NOTHING, "tee: joins nothing; name with --tee SPEC what is to be joined");
    }
    if !joins && plan.tees.is_empty() && plan.args.overlays.tee.is_used() {
        found.add(&UNUSED_OPTION, "options of tee: have no effect: there is neither tee: nor --tee");
    }
}

fn processes(plan: &Plan, found: &mut Findings) {
    let process = &plan.args.endpoints.process;
    if process.modifies_dup2() && process.exec_dup2.is_none() {
        found.add(
            &UNUSED_OPTION,
            "--exec-dup2-keep-nonblocking and --exec-dup2-execve have no effect without --exec-dup2",
        );
    }
    if process.exec_dup2.is_some() && process.exec_monitor_exits {
        found.add(
            &UNUSED_OPTION,
            "--exec-monitor-exits has no effect with --exec-dup2: there only the child's end ends the session",
        );
    }
}

fn addresses(plan: &Plan, found: &mut Findings) {
    if let Some(address) = plan.stacks().find_map(|stack| stack.endpoint.path_like_abstract_name()) {
        found.add(
            &ODD_ADDRESS,
            format!("{address} is a file whose name begins with @; abstract names have prefixes that say so"),
        );
    }
    for stack in plan.stacks() {
        let Endpoint::WsUrl(ws) = &stack.endpoint else { continue };
        if let Some(hint) = ws.url.scheme_hint() {
            found.add(&PLAIN_ON_TLS_PORT, hint);
        }
    }
    if let Some(text) = plan.stacks().find_map(|stack| exposes_a_secret(stack, &plan.args)) {
        found.add(&SECRET_IN_THE_CLEAR, text);
    }
}

/// Headers whose values let in whoever has them.
const SECRETS: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// A WebSocket client that lets everybody on the way read what should let in only its user.
fn exposes_a_secret(stack: &Stack, args: &Args) -> Option<&'static str> {
    let request = &args.overlays.ws_request;
    let by_header = request.header.iter().any(|h| SECRETS.iter().any(|name| name.eq_ignore_ascii_case(&h.name)));
    let (host, by_uri, text) = match &stack.endpoint {
        Endpoint::WsUrl(ws) if !ws.url.tls => (
            ws.url.authority.host.clone(),
            ws.url.authority.authorization.is_some(),
            "everybody on the way can read the password or token: ws:// does not encrypt; wss:// does",
        ),
        Endpoint::TcpConnect(tcp) => {
            let asks = |overlay: &Overlay| matches!(overlay, Overlay::WsConnect(_) | Overlay::WsRequest(_));
            let below = &stack.overlays[..stack.overlays.iter().position(asks)?];
            if below.iter().any(|overlay| matches!(overlay, Overlay::Tls(_))) {
                return None;
            }
            (
                tcp.target.host(),
                request.uri().is_some_and(|uri| uri.authorization.is_some()),
                "everybody on the way can read the password or token: tcp: does not encrypt; tls:tcp: does",
            )
        }
        _ => return None,
    };
    ((by_header || by_uri) && !is_local(&host)).then_some(text)
}

/// On what will be run.
pub fn after(plan: &mut Plan) {
    let found = as_run(plan);
    plan.findings.extend(found);
}

fn as_run(plan: &Plan) -> Findings {
    let mut found = Findings::for_plan(plan);
    let accepts = plan.left.accepts_websockets() || plan.right.accepts_websockets();
    if !accepts && plan.args.overlays.ws_accept.restricts() {
        found.add(&UNUSED_OPTION, "--allow-origin and --restrict-uri have no effect: no side is a WebSocket server");
    }
    for (options, what) in unused(plan) {
        found.add(&UNUSED_OPTION, format!("without effect, since there is no {what} here: {options}"));
    }
    let framer = &plan.args.overlays.ws_framer;
    if framer.print_ping_rtts && !plan.stacks().any(|stack| stack.sends_pings(framer)) {
        found.add(&UNUSED_OPTION, "--print-ping-rtts has no effect: no pings are sent here without --ping-interval");
    }
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    if plan.kind() == SocketKind::Stream && many && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        found.add(&MIXED_BYTES, "connections share the right side without any order: --oneshot takes one only, lines: or chunks: makes messages");
    }
    let lines = |s: &Stack| s.overlays.iter().any(|o| matches!(o, Overlay::LineChunks(_)));
    if plan.args.overlays.has_separator_options() && !plan.stacks().any(|stack| stack.any(&lines)) {
        found.add(&UNUSED_OPTION, "separator options have no effect: nothing is cut into lines here (-t, lines:)");
    }
    let typed = |name: &str| plan.args.typed.iter().any(|typed| typed.name == name);
    if typed("--linger") && !(plan.kind() == SocketKind::Datagram && plan.is_complete()) {
        found.add(&UNUSED_OPTION, "--linger has no effect: it is for ws://, wss://, ws-l:, ws-c: and ws-u:");
    }
    let joins = |s: &Stack| s.overlays.iter().any(|o| matches!(o, Overlay::Defragment(_)));
    if plan.args.overlays.defragment.defragment_max_size.is_some() && !plan.stacks().any(|stack| stack.any(&joins)) {
        found.add(&UNUSED_OPTION, "--defragment-max-size has no effect: defragment: stands nowhere");
    }
    let byte_mirror = |s: &Stack| matches!(&s.endpoint, Endpoint::Mirror(m) if m.kind == Some(SocketKind::Stream));
    if plan.args.endpoints.mirror.mirror_bufsize.is_some() && !plan.stacks().any(|stack| stack.any(&byte_mirror)) {
        found.add(&UNUSED_OPTION, "--mirror-bufsize has no effect: no mirror: of bytes is here");
    }
    let connects = |s: &Stack| matches!(&s.endpoint, Endpoint::RegistryStream(part) if !part.listens);
    if plan.args.endpoints.registry.registry_connect_bufsize.is_some()
        && !plan.stacks().any(|stack| stack.any(&connects))
    {
        found.add(&UNUSED_OPTION, "--registry-connect-bufsize has no effect: registry-stream-connect: stands nowhere");
    }
    if plan.args.overlays.compress.is_wanted() && !plan.left.compresses() && !plan.right.compresses() {
        found.add(
            &UNUSED_OPTION,
            "compression options have no effect: only ws://, wss://, ws-l:, ws-c: and ws-u: compress",
        );
    }
    let hostless = |o: &Overlay| matches!(o, Overlay::WsRequest(request) if request.lacks_host(&plan.args));
    if plan.stacks().any(|stack| stack.any(&|s| s.overlays.iter().any(hostless))) {
        found.add(
            &NO_HOST,
            "ws-request: sends no Host header, which servers insist on: --ws-c-uri ws://HOST/PATH gives one",
        );
    }
    dangers(plan, many, &mut found);
    losses(plan, many, &mut found);
    found
}

/// What lets in more people than was probably meant.
fn dangers(plan: &Plan, many: bool, found: &mut Findings) {
    let client = |s: &Stack| s.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(framer) if framer.client));
    if plan.args.program.random_seed.is_some() && plan.stacks().any(|stack| stack.any(&client)) {
        found.add(&PREDICTABLE_KEYS, "--random-seed makes WebSocket keys and masks predictable; it is for tests only");
    }
    let everywhere = match &plan.left.endpoint {
        Endpoint::TcpListen(tcp) => tcp.address.is_everywhere(),
        Endpoint::UdpServer(udp) => matches!(&udp.place, Place::Address(address) if address.is_everywhere()),
        _ => false,
    };
    if many && everywhere && plan.right.any(&|s| matches!(s.endpoint, Endpoint::Process(_))) {
        found.add(
            &EXPOSED_PROCESS,
            "everybody who reaches this machine can use the process on the right; listen on 127.0.0.1 if that is not meant",
        );
    }
    let any_page = plan.args.overlays.ws_accept.allow_origin.iter().any(|origin| origin == "*");
    if any_page && plan.left.accepts_websockets() && plan.right.is_private() {
        found.add(
            &EXPOSED_TO_PAGES,
            "--allow-origin * lets every web page that somebody on this machine opens use the right side; name an origin",
        );
    }
}

/// What probably loses data.
fn losses(plan: &Plan, many: bool, found: &mut Findings) {
    let session = &plan.args.session;
    if plan.kind() == SocketKind::Datagram && many && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        found.add(
            &FIRST_TAKES_ALL,
            "the first client keeps the right side to itself; reuse-raw: in front of it lets all of them share it",
        );
    }
    let one_way = session.unidirectional || session.unidirectional_reverse;
    if session.exit_on_eof
        && !one_way
        && [(&plan.left, &plan.right), (&plan.right, &plan.left)]
            .into_iter()
            .any(|(side, other)| side.endpoint.ends_by_itself() && !other.endpoint.says_nothing())
    {
        found.add(
            &ENDS_BEFORE_REPLIES,
            "-E ends the session when all of the text or file is sent, before any reply; leave it out, or add -u or -U",
        );
    }
    let lines = |o: &Overlay| matches!(o, Overlay::LineChunks(_));
    let bytes =
        |s: &Stack| matches!(s.endpoint, Endpoint::Random(_) | Endpoint::Zero(_)) && s.overlays.iter().any(lines);
    if plan.stacks().any(|stack| stack.any(&bytes)) {
        found.add(&TEXT_OF_BYTES, "random: and zero: give no text, but lines: makes text of it; use -b");
    }
    let small = |size: u64| size < USUAL_DATAGRAM;
    let udp = plan.stacks().any(|stack| stack.any(&|s| s.endpoint.is_udp()));
    if udp && session.buffer_size.is_some_and(|size| small(size.0)) {
        found.add(
            &CUT_DATAGRAMS,
            format!("-B cuts messages that are shorter than usual datagrams ({USUAL_DATAGRAM} bytes)"),
        );
    }
    if plan.args.endpoints.udp.udp_server_buffer_size.is_some_and(|size| small(size as u64)) {
        found.add(
            &CUT_DATAGRAMS,
            format!("--udp-server-buffer-size cuts what is shorter than usual datagrams ({USUAL_DATAGRAM} bytes)"),
        );
    }
}

/// On the parts of a composed line; `plans` are those of its parts from left to right.
pub fn together(sessions: &Tree<Part>, plans: &[Plan]) -> Option<Finding> {
    if plans.iter().any(|plan| plan.args.program.no_lints) {
        return None;
    }
    let mut plans = plans.iter();
    let uses_stdio = &mut |_: &Part| plans.next().is_some_and(|plan| plan.stacks().any(|stack| stack.reaches_stdio()));
    let text = "parts of --compose that run at the same time share standard input and output without any order";
    shares_stdio(sessions, uses_stdio).1.then(|| Finding { lint: &MIXED_BYTES, text: text.to_owned() })
}

/// Whether some part uses standard input and output, and whether several do so at the same time.
fn shares_stdio(sessions: &Tree<Part>, uses_stdio: &mut impl FnMut(&Part) -> bool) -> (bool, bool) {
    match sessions {
        Tree::Part(part) => (uses_stdio(part), false),
        Tree::Joined(join, trees) => {
            let below: Vec<_> = trees.iter().map(|tree| shares_stdio(tree, uses_stdio)).collect();
            let users = below.iter().filter(|(uses, _)| *uses).count();
            (users > 0, below.iter().any(|(_, shares)| *shares) || users > 1 && *join != Join::Sequential)
        }
    }
}
