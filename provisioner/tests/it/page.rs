//! The page in a real browser against this program, with a simulated node behind it.

use std::time::Duration;

use weft_server::simnode::{Heard, SimSession};
use weft_types::VsId;
use weft_wire::agent::{ToNode, VsState};
use weft_wire::record::Desired;

use crate::browser::run;
use crate::common::{Appliance, Made, sim};

const PROMPT: &str = "guest:~# ";

/// The one guest of the simulated node: it answers each line with the same words.
#[derive(Default)]
struct Guest {
    id: Option<VsId>,
    instance: u64,
    offset: u64,
    line: Vec<u8>,
}

impl Guest {
    async fn print(&mut self, session: &mut SimSession, text: &str) {
        let Some(id) = self.id else { return };
        session.console(id, self.instance, self.offset, text.as_bytes()).await.expect("sent");
        self.offset += text.len() as u64;
    }

    async fn hear(&mut self, session: &mut SimSession, heard: Heard) {
        match heard {
            Heard::Config(config) => {
                // Of those that a job is to wait for it says nothing.
                let mut servers = config.servers.iter().filter(|server| !server.name.ends_with("-held"));
                let Some(server) = servers.next() else { return };
                let runs = server.desired == Desired::Running;
                let state = if runs { VsState::Running } else { VsState::Stopped };
                session.status(server.id, server.generation, server.instance, state).await.expect("sent");
                if runs && self.instance != server.instance {
                    *self = Self { id: Some(server.id), instance: server.instance, ..Self::default() };
                    self.print(session, &format!("Linux version 6.1\r\n{PROMPT}")).await;
                }
            }
            Heard::Message(ToNode::ConsoleInput { bytes, .. }) => {
                for byte in bytes {
                    let echo = if byte == b'\r' { "\r\n".to_string() } else { char::from(byte).to_string() };
                    self.print(session, &echo).await;
                    if byte != b'\r' {
                        self.line.push(byte);
                    } else if std::mem::take(&mut self.line).starts_with(b"echo ") {
                        self.print(session, &format!("e2e-42\r\n{PROMPT}")).await;
                    }
                }
            }
            Heard::Message(_) | Heard::Standing(_) | Heard::Refused(_) => {}
        }
    }
}

async fn serve(mut session: SimSession) {
    let mut guest = Guest::default();
    let mut uptime_ms = 0;
    loop {
        match tokio::time::timeout(Duration::from_secs(1), session.next()).await {
            Ok(Ok(heard)) => guest.hear(&mut session, heard).await,
            Ok(Err(_)) => return,
            Err(_) => {
                uptime_ms += 1000;
                if session.beat(uptime_ms).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_admits_a_node_and_uses_a_guest_in_the_browser() {
    let (folder, appliance, client, file) = Appliance::with_image().await;
    let node = sim(1, &file);
    let session = appliance.connect(&node).await;
    let name = client.node(&node).await["name"].as_str().expect("a name").to_string();
    let served = tokio::spawn(serve(session));
    let kernel = folder.path().join("vmlinuz");
    std::fs::write(&kernel, b"a kernel".repeat(9000)).expect("written");
    let image = folder.path().join("next.efi");
    let next = Made { generation: 8, ..Made::default() };
    std::fs::write(&image, next.file()).expect("written");
    let companion = folder.path().join("next.bios");
    let multiboot = [b"multiboot ", next.payload.as_slice(), b" end"].concat();
    std::fs::write(&companion, &multiboot).expect("written");
    let fingerprint = node.fingerprint();
    let [image, companion, kernel] = [image, companion, kernel].map(|path| path.display().to_string());
    let variables = [
        ("WEFT_NODE", name.as_str()),
        ("WEFT_FINGERPRINT", fingerprint.as_str()),
        ("WEFT_IMAGE", image.as_str()),
        ("WEFT_COMPANION", companion.as_str()),
        ("WEFT_KERNEL", kernel.as_str()),
        ("WEFT_GUEST_PROMPT", PROMPT.trim_end()),
        ("WEFT_HOLDS", "1"),
    ];
    println!("{}", run("e2e/run.mjs", &appliance, folder.path(), &variables).await);
    served.abort();
    assert!(crate::publish::http(appliance.http, "weft.bios") == (200, multiboot), "the companion is served");
}
