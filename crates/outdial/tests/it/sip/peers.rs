//! Programs beside SIPp that calls go to or through: baresip, a telephone; Kamailio, a proxy.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::bench::{Bench, LIMIT, all_at_once, ended, home, with};
use super::certificate::Certificate;
use super::sipp::{Play, Sipp, free_port, holds};
use crate::harness::{PATIENCE, lines_in, run, wait_for};

#[test]
fn sip_other_programs() {
    let home = home(&[]);
    let server = home.serve();
    all_at_once(
        &home,
        &server,
        &[
            ("baresip answers", baresip_answers),
            ("through a proxy, hung up by the callee", proxied_bye),
            ("through a proxy, hung up by us", proxied_talk_limit),
            ("through a proxy, canceled", proxied_cancel),
            ("through a proxy, busy", proxied_busy),
        ],
    );
}

/// A telephone that takes the call by itself and talks until we hang up.
fn baresip_answers(bench: &Bench<'_>) {
    let telephone = Baresip::start("+13105550199");
    let trunk = bench.trunk_to(telephone.port, &json!({ "maxCallMs": 3_000 }));
    let number = bench.number(&[&trunk]);
    let batch = bench.server.make_batch(&number, &json!({}));
    let body = json!({ "batchId": batch, "call_data": [{ "phoneNumber": "13105550199" }] });
    bench.server.post("/api/call/addCallsToBatch", &body).expect(200);
    bench.server.wait_completed(&batch, LIMIT);
    let call = bench.now(&batch);
    ended(&call, "completed", "answered");
    let talk = call["phoneLogs"][0]["callDuration"].as_u64();
    assert!(matches!(talk, Some(3 | 4)), "3 s, more or less: {call}");
    wait_for("the telephone hung up", PATIENCE, || telephone.said("terminated").then_some(()));
    assert!(telephone.said("Call established"));
    // It decodes what it hears; what it cannot, it complains of.
    assert!(telephone.said("Set audio decoder: PCM"));
}

/// A call through the proxy; `more` are fields of the trunk, `callee` is behind it.
fn through_proxy(bench: &Bench<'_>, callee: &Sipp, more: &Value) -> Value {
    let proxy = Proxy::start(callee.port, None);
    let by_proxy = json!({ "outboundProxy": format!("127.0.0.1:{}", proxy.udp) });
    // The carrier itself is nowhere: only the proxy knows the way.
    let trunk = bench.trunk_to(free_port(), &with(by_proxy, more));
    let batch = bench.call_over(&[&trunk], &json!({}));
    let call = bench.over(&batch, &[callee]);
    let invite = callee.wait_for("INVITE");
    assert_eq!(invite.all("Via").len(), 2, "through the proxy: {}", invite.text);
    assert!(invite.all("Route").is_empty(), "the proxy took its own: {}", invite.text);
    assert!(!invite.all("Record-Route").is_empty(), "{}", invite.text);
    call
}

fn proxied_bye(bench: &Bench<'_>) {
    let callee = Play::of("answer-bye").start();
    ended(&through_proxy(bench, &callee, &json!({})), "completed", "answered");
    let ack = callee.wait_for("ACK");
    assert!(ack.line().starts_with("ACK sip:callee@"), "to the contact: {}", ack.text);
    assert_eq!(ack.all("Via").len(), 2, "by the route: {}", ack.text);
    callee.went_as_written();
}

fn proxied_talk_limit(bench: &Bench<'_>) {
    let callee = Play::of("answer-wait").start();
    let call = through_proxy(bench, &callee, &json!({ "maxCallMs": 1_000 }));
    ended(&call, "completed", "answered");
    assert_eq!(callee.wait_for("BYE").all("Via").len(), 2, "by the route");
    callee.went_as_written();
}

fn proxied_cancel(bench: &Bench<'_>) {
    let callee = Play::of("ring").fill("provisional", "180 Ringing").start();
    let call = through_proxy(bench, &callee, &json!({ "ringTimeoutMs": 1_500 }));
    ended(&call, "no-answer", "ring_timeout");
    callee.went_as_written();
}

fn proxied_busy(bench: &Bench<'_>) {
    let callee = super::outcomes::busy().start();
    ended(&through_proxy(bench, &callee, &json!({})), "busy", "busy");
    callee.went_as_written();
}

/// A baresip that takes the calls of one number.
struct Baresip {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Baresip {
    fn start(user: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        let settings = format!(
            "sip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\naudio_source aubridge,x\n\
             audio_player aubridge,x\naudio_alert aubridge,x\nmodule_path {}\nmodule g711.so\n\
             module aubridge.so\nmodule_app account.so\nmodule_app menu.so\n",
            modules("baresip", "g711.so").display()
        );
        let account = format!("<sip:{user}@127.0.0.1:{port}>;regint=0;answermode=auto\n");
        for (name, text) in [("config", &*settings), ("accounts", &*account), ("contacts", "")] {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let said = File::create(directory.path().join("said.log")).unwrap();
        let mut command = Command::new("baresip");
        command.arg("-f").arg(directory.path()).stdin(Stdio::null());
        command.stdout(said.try_clone().unwrap()).stderr(said);
        let child = command.spawn().expect("baresip is installed");
        let telephone = Self { child, directory, port };
        wait_for("baresip is ready", PATIENCE, || telephone.said("baresip is ready").then_some(()));
        telephone
    }

    fn said(&self, words: &str) -> bool {
        let text = std::fs::read(self.directory.path().join("said.log")).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(words)
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- baresip:\n{}",
                lines_in(&self.directory.path().join("said.log")).join("\n")
            );
        }
    }
}

/// Where a program's modules are: in a folder of its name under one of the library folders.
fn modules(program: &str, one: &str) -> PathBuf {
    let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib", triple.as_str()];
    let mut places =
        folders.iter().map(|folder| PathBuf::from(folder).join(program).join("modules"));
    places.find(|p| p.join(one).exists()).unwrap_or_else(|| panic!("no modules of {program}"))
}

/// A Kamailio that records its route and sends every call to one port of this machine, by UDP.
pub(crate) struct Proxy {
    child: Child,
    directory: TempDir,
    pub(crate) udp: u16,
    /// Listens with TLS, if it has a certificate.
    pub(crate) tls: u16,
}

impl Proxy {
    pub(crate) fn start(next: u16, certificate: Option<&Certificate>) -> Self {
        let (directory, udp, tls) = (tempfile::tempdir().unwrap(), free_port(), free_port());
        let settings = directory.path().join("kamailio.cfg");
        std::fs::write(&settings, settings_of(udp, tls, next, certificate)).unwrap();
        let said = File::create(directory.path().join("said.log")).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("kamailio");
        // A daemon: not on everybody's path.
        command.env("PATH", format!("{path}:/usr/sbin")).args(["-DD", "-E", "-m", "16", "-M", "4"]);
        command.arg("-f").arg(&settings).arg("-w").arg(directory.path());
        command.arg("-Y").arg(directory.path()).stdin(Stdio::null());
        command.stdout(said.try_clone().unwrap()).stderr(said).process_group(0);
        let child = command.spawn().expect("kamailio is installed");
        let mut proxy = Self { child, directory, udp, tls };
        wait_for("Kamailio listens", PATIENCE, || {
            assert!(proxy.child.try_wait().unwrap().is_none(), "Kamailio ended");
            let is_ready = holds(&proxy.child, "udp", udp)
                && (certificate.is_none() || holds(&proxy.child, "tcp", tls));
            is_ready.then_some(())
        });
        proxy
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        let _gone = run(Command::new("kill").args([name, "--", &group]));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // By its group: its workers would outlive it.
        self.signal("-KILL");
        let _gone = self.child.wait();
        if std::thread::panicking() {
            let lines = lines_in(&self.directory.path().join("said.log"));
            let last: Vec<&str> = lines.iter().map(String::as_str).rev().take(60).collect();
            eprintln!("--- Kamailio, latest first:\n{}", last.join("\n"));
        }
    }
}

fn settings_of(udp: u16, tls: u16, next: u16, certificate: Option<&Certificate>) -> String {
    let tls_settings = certificate.map_or(String::new(), |files| {
        let (leaf, key) = (files.leaf.display(), files.key.display());
        format!(
            "enable_tls=yes\nlisten=tls:127.0.0.1:{tls}\nloadmodule \"tls.so\"\n\
             modparam(\"tls\", \"certificate\", \"{leaf}\")\n\
             modparam(\"tls\", \"private_key\", \"{key}\")\n\
             modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")\n"
        )
    });
    let load: String = ["pv", "tm", "sl", "rr", "siputils", "textops"]
        .map(|module| format!("loadmodule \"{module}.so\"\n"))
        .concat();
    format!(
        "#!KAMAILIO\ndebug=2\nlog_stderror=yes\nchildren=1\ntcp_children=1\nauto_aliases=no\n\
         listen=udp:127.0.0.1:{udp}\n{load}{tls_settings}
request_route {{
    if (is_method(\"CANCEL\")) {{
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        if (loose_route() || t_check_trans()) t_relay();
        exit;
    }}
    t_check_trans();
    remove_hf(\"Route\");
    record_route();
    $du = \"sip:127.0.0.1:{next}\";
    t_relay();
}}
"
    )
}
