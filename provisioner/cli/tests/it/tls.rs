//! Whom the program trusts.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::double::{Double, ready_node, router};
use crate::run::Shell;

struct Secure {
    url: String,
    leaf: CertificateDer<'static>,
    ca_pem: String,
    leaf_pem: String,
    double: Double,
}

/// The double behind TLS, with a certificate for `name` from an authority of its own.
fn secure(name: &str) -> Secure {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("key")).expect("authority");
    let key = KeyPair::generate().expect("key");
    let leaf = CertificateParams::new(vec![name.to_owned()])
        .expect("parameters")
        .signed_by(&key, &authority)
        .expect("leaf");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .expect("certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = double.runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("address"));
    let app = router(Arc::clone(&double.world));
    double.runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, app) = (acceptor.clone(), app.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let service = TowerToHyperService::new(app);
                    let builder = hyper::server::conn::http1::Builder::new();
                    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                }
            });
        }
    });
    Secure { url, leaf: leaf.der().clone(), ca_pem: authority.pem(), leaf_pem: leaf.pem(), double }
}

fn shell(secure: &Secure) -> Shell {
    let mut shell = Shell::new(&secure.double);
    shell.url.clone_from(&secure.url);
    shell
}

fn pin(der: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    format!("sha256:{}", digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn nobody_is_trusted_unasked_and_the_fingerprint_is_shown() {
    let secure = secure("127.0.0.1");
    let result = shell(&secure).run(&["node", "list"]);
    assert_eq!(result.code, 6);
    assert!(result.err.contains(&pin(&secure.leaf)), "{}", result.err);
    assert!(
        result.err.contains("next: compare the fingerprint with the appliance's console"),
        "{}",
        result.err
    );
}

#[test]
fn a_pinned_authority_is_trusted_for_its_names() {
    let secure = secure("127.0.0.1");
    let shell = shell(&secure);
    let ca = shell.file("ca.pem", secure.ca_pem.as_bytes());
    let result = shell.run(&["--ca", &ca, "node", "list"]);
    assert_eq!(result.code, 0, "{}", result.err);
}

#[test]
fn a_pinned_authority_is_not_trusted_for_other_names() {
    let secure = secure("weft.example");
    let shell = shell(&secure);
    let ca = shell.file("ca.pem", secure.ca_pem.as_bytes());
    let result = shell.run(&["--ca", &ca, "node", "list"]);
    assert_eq!(result.code, 6, "{}", result.out);
    assert!(result.err.contains("not trusted"), "{}", result.err);
}

#[test]
fn a_pinned_certificate_is_trusted_behind_a_forwarder() {
    let secure = secure("weft.example");
    let shell = shell(&secure);
    let leaf = shell.file("leaf.pem", secure.leaf_pem.as_bytes());
    assert_eq!(shell.run(&["--ca", &leaf, "node", "list"]).code, 0);
    assert_eq!(shell.run(&["--ca", &pin(&secure.leaf), "node", "list"]).code, 0);
}

#[test]
fn another_certificate_than_the_pinned_one_is_refused() {
    let (one, other) = (secure("127.0.0.1"), secure("127.0.0.1"));
    let result = shell(&one).run(&["--ca", &pin(&other.leaf), "node", "list"]);
    assert_eq!(result.code, 6, "{}", result.out);
    let shell = shell(&one);
    let ca = shell.file("ca.pem", other.ca_pem.as_bytes());
    assert_eq!(shell.run(&["--ca", &ca, "node", "list"]).code, 6);
    assert!(one.double.world().heard.is_empty());
}

#[test]
fn a_console_goes_over_tls_too() {
    let secure = secure("127.0.0.1");
    secure.double.world().vs = vec![crate::double::server("web", "running")];
    secure.double.world().history = "# ";
    let shell = shell(&secure);
    let args = ["--ca", &pin(&secure.leaf), "vs", "console", "web", "--wait-for", "ran: id"];
    let result = shell.run_with_input(&args, "id\n");
    assert_eq!(result.code, 0, "{}", result.err);
}

#[test]
fn a_unix_socket_is_an_address() {
    let double = Double::start();
    double.world().nodes = vec![ready_node("node-1")];
    let mut shell = Shell::new(&double);
    let path = shell.home.path().join("weft.sock");
    let app = router(Arc::clone(&double.world));
    let listener =
        double.runtime.block_on(async { tokio::net::UnixListener::bind(&path) }).expect("a socket");
    double.runtime.spawn(async move { axum::serve(listener, app).await });
    shell.url = format!("unix:{}", path.display());
    let result = shell.run(&["node", "list", "-o", "json"]);
    assert_eq!(result.code, 0, "{}", result.err);
    assert!(result.out.contains("node-1"));
}
