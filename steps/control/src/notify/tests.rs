//! Each notifier against a small server of the test's own on 127.0.0.1.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use cutover_core::plan::StoredFiles;
use cutover_core::{BuildContext, BuildError, Notice, Notifier, NotifierKind, Occasion};
use serde_json::{Value, json};

use super::webhook::{hex, hmac};
use super::{NotifyFile, NotifySmtp, NotifyWebhook};

fn notice() -> Notice {
    Notice {
        version: 1,
        on: Occasion::Failed,
        at: "2026-01-02T03:04:05Z".to_owned(),
        plan: "shop".to_owned(),
        run: "r-1".to_owned(),
        host: "h".to_owned(),
        text: "plan shop: step x failed".to_owned(),
        phase: None,
        steps: vec!["x".to_owned()],
        message: Some("it broke: ü".to_owned()),
        help: None,
        next: Some("cutover apply shop".to_owned()),
    }
}

fn built<K: NotifierKind>(with: Value) -> Result<K, BuildError> {
    let (targets, vars, files) = (BTreeMap::new(), BTreeMap::new(), StoredFiles::default());
    K::build(serde_json::from_value(with).unwrap(), &BuildContext::new("", None, &targets, &vars, &files))
}

/// A server that answers one connection by `serve`, and what that one heard.
fn server(serve: fn(TcpStream) -> String) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, std::thread::spawn(move || serve(listener.accept().unwrap().0)))
}

/// Reads one request; its head and its body, an empty line between them.
fn request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    format!("{head}\n{}", String::from_utf8(body).unwrap())
}

fn answering(mut stream: TcpStream) -> String {
    let heard = request(&stream);
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    heard
}

#[test]
fn a_webhook_gets_the_notice_as_json_with_a_signature_that_its_secret_proves() {
    let (port, heard) = server(answering);
    let with =
        json!({ "url": format!("http://127.0.0.1:{port}/hook"), "secret": "s3cret", "headers": { "X-To": "ops" } });
    built::<NotifyWebhook>(with).unwrap().tell(&notice(), Path::new("/")).unwrap();
    let heard = heard.join().unwrap();
    let (head, body) = heard.split_once("\n\n").unwrap_or_else(|| heard.split_once("\r\n\n").unwrap());
    assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), serde_json::to_value(notice()).unwrap());
    let signature = format!("sha256={}", hex(&hmac(b"s3cret", body.as_bytes())));
    let head = head.to_ascii_lowercase();
    assert!(head.contains(&format!("cutover-signature: {signature}")), "{head}");
    assert!(head.contains("x-to: ops") && head.contains("content-type: application/json"), "{head}");
}

#[test]
fn the_signature_is_hmac_sha256_as_rfc_4231_has_it() {
    let known = [
        (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (
            b"Jefe".to_vec(),
            "what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 131],
            "Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, message, digest) in known {
        assert_eq!(hex(&hmac(&key, message.as_bytes())), digest);
    }
}

#[test]
fn a_webhook_that_says_no_or_nothing_was_not_reached() {
    let (port, heard) = server(|mut stream| {
        let heard = request(&stream);
        stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n").unwrap();
        heard
    });
    let to = |port: u16| json!({ "url": format!("http://127.0.0.1:{port}/"), "timeout": "300ms" });
    let error = built::<NotifyWebhook>(to(port)).unwrap().tell(&notice(), Path::new("/")).unwrap_err();
    assert!(error.chain().contains("answered 302"), "{}", error.chain());
    heard.join().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = built::<NotifyWebhook>(to(silent.local_addr().unwrap().port())).unwrap();
    let error = hook.tell(&notice(), Path::new("/")).unwrap_err();
    assert!(error.chain().contains("timeout"), "{}", error.chain());
}

/// A mail server that takes one mail and says nothing about TLS.
fn mail(mut stream: TcpStream) -> String {
    let mut heard = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    stream.write_all(b"220 sink\r\n").unwrap();
    let mut in_mail = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return heard;
        }
        heard.push_str(&line);
        let answer = match line.split([' ', '\r']).next().unwrap_or_default() {
            "." if in_mail => {
                in_mail = false;
                "250 taken"
            }
            _ if in_mail => continue,
            "DATA" => {
                in_mail = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 sink",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
    }
}

fn by_mail(port: u16, tls: &str) -> Value {
    json!({ "host": "127.0.0.1", "port": port, "tls": tls, "from": "Cutover <c@example.org>", "to": ["ops@example.org"], "timeout": "2s" })
}

#[test]
fn a_mail_has_a_subject_and_a_line_for_each_thing_that_is_known() {
    let (port, heard) = server(mail);
    built::<NotifySmtp>(by_mail(port, "none")).unwrap().tell(&notice(), Path::new("/")).unwrap();
    let heard = heard.join().unwrap();
    for wanted in [
        "MAIL FROM:<c@example.org>",
        "RCPT TO:<ops@example.org>",
        "Subject: plan shop: step x failed",
        "next: cutover apply shop",
        "it broke: ",
    ] {
        assert!(heard.contains(wanted), "{wanted}: {heard}");
    }
}

#[test]
fn nothing_is_mailed_where_the_server_offers_no_tls() {
    let (port, heard) = server(mail);
    let error = built::<NotifySmtp>(by_mail(port, "starttls")).unwrap().tell(&notice(), Path::new("/")).unwrap_err();
    assert!(error.chain().contains("was not taken"), "{}", error.chain());
    assert!(!heard.join().unwrap().contains("MAIL FROM"));
}

#[test]
fn a_file_gets_a_line_for_each_notice_and_nobody_elses_file_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = built::<NotifyFile>(json!({ "path": "told/notices.jsonl" })).unwrap();
    file.tell(&notice(), folder.path()).unwrap();
    file.tell(&notice(), folder.path()).unwrap();
    let text = fs::read_to_string(folder.path().join("told/notices.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert_eq!(serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["on"], "failed");
    fs::create_dir(folder.path().join("away")).unwrap();
    std::os::unix::fs::symlink("/tmp", folder.path().join("out")).unwrap();
    let out = built::<NotifyFile>(json!({ "path": "out/notices.jsonl" })).unwrap();
    assert!(out.tell(&notice(), folder.path()).is_err());
}

#[test]
fn mistakes_in_a_plan_are_told() {
    let told = |error: BuildError| format!("{}: {}", error.field, error.message);
    let hook = |with: Value| told(built::<NotifyWebhook>(with).unwrap_err());
    assert!(hook(json!({ "url": "ftp://x" })).starts_with("url: "));
    assert!(hook(json!({ "url": "http://x", "timeout": "1h" })).contains("the end of the run waits"));
    assert!(hook(json!({ "url": "http://x", "secret": "" })).starts_with("secret: "));
    let smtp = |more: Value| {
        let mut with = by_mail(25, "none");
        more.as_object().unwrap().iter().for_each(|(k, v)| with[k] = v.clone());
        told(built::<NotifySmtp>(with).unwrap_err())
    };
    assert!(smtp(json!({ "user": "u" })).contains("belong together"));
    assert!(smtp(json!({ "user": "u", "password": "p" })).contains("in the open"));
    assert!(smtp(json!({ "to": [] })).contains("nobody gets it"));
    assert!(smtp(json!({ "from": "nobody" })).starts_with("from: "));
    assert!(told(built::<NotifyFile>(json!({ "path": "../x" })).unwrap_err()).starts_with("path: "));
}
