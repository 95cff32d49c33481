//! gRPC over TCP with certificates on both sides, as a person sets it up.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::serve::Daemon;
use super::{TempDir, code, run, stderr};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A folder with certificates.
struct Office {
    dir: TempDir,
}

impl Office {
    fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.dir.file(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let made = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write(&format!("{name}.pem"), &made.pem(), 0o644);
        made
    }

    /// The files of a certificate for this machine and of its key.
    fn certificate(&self, name: &str, by: &Authority) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, by).unwrap();
        [
            self.write(&format!("{name}.pem"), &certificate.pem(), 0o644),
            self.write(&format!("{name}.key"), &key.serialize_pem(), 0o600),
        ]
    }

    fn config(&self, tls: &str) -> String {
        let text = format!(
            "data = \"data\"\n[api]\ngrpc = \"127.0.0.1:0\"\n{tls}\n[[node]]\nnetwork = \"zcash\"\n\
             chain = \"regtest\"\nlisten = []\nseeds.table = false\n"
        );
        self.write("peerage.toml", &text, 0o644)
    }
}

#[test]
fn a_certificate_opens_the_door_and_nothing_else_does() {
    let office = Office {
        dir: TempDir::new("tls"),
    };
    let (ours, other) = (office.authority("clients"), office.authority("others"));
    office.certificate("api", &ours);
    let [client, client_key] = office.certificate("client", &ours);
    let [stranger, stranger_key] = office.certificate("stranger", &other);
    let ca = office.dir.file("clients.pem");
    let tls = "tls = { cert = \"api.pem\", key = \"api.key\", client_ca = \"clients.pem\" }";
    let mut daemon = Daemon::start(&["--config", &office.config(tls)]);
    let place = daemon.wait("api")["grpc"].as_str().unwrap().to_owned();
    let list = |more: &[&str]| run(&[&["peers", "list", "--api", &*place][..], more].concat());
    let with = |ca: &str, certificate: &str, key: &str| {
        list(&["--tls-ca", ca, "--tls-cert", certificate, "--tls-key", key])
    };
    let right = with(&ca, &client, &client_key);
    // Nobody is there, and that is the answer.
    assert_eq!(code(&right), 1, "{}", stderr(&right));
    assert!(
        stderr(&right).contains("no peers now"),
        "{}",
        stderr(&right)
    );
    for (wrong, what) in [
        (list(&[]), "no TLS"),
        (
            with(&ca, &stranger, &stranger_key),
            "a stranger's certificate",
        ),
        (
            with(&office.dir.file("others.pem"), &client, &client_key),
            "another daemon's authority",
        ),
        (
            list(&[
                "--tls-ca",
                &ca,
                "--tls-cert",
                &client,
                "--tls-key",
                &client_key,
                "--tls-name",
                "x.example",
            ]),
            "a certificate for another name",
        ),
    ] {
        assert_eq!(code(&wrong), 3, "{what}: {}", stderr(&wrong));
        assert!(wrong.stdout.is_empty());
    }
    let half = list(&["--tls-ca", &ca]);
    assert_eq!(code(&half), 2, "{}", stderr(&half));
    let swapped = with(&ca, &client_key, &client);
    assert_eq!(code(&swapped), 2, "{}", stderr(&swapped));
    assert!(
        stderr(&swapped).contains("holds no certificate"),
        "{}",
        stderr(&swapped)
    );
    assert_eq!(daemon.end("-TERM").0, 0);
}

#[test]
fn what_is_wrong_with_certificates_is_said_before_anything_runs() {
    let office = Office {
        dir: TempDir::new("tls-wrong"),
    };
    let ours = office.authority("clients");
    office.certificate("api", &ours);
    office.certificate("other", &ours);
    office.write("open.key", "x", 0o644);
    office.write("empty.pem", "", 0o644);
    let tls = |cert: &str, key: &str, ca: &str| {
        format!("tls = {{ cert = \"{cert}\", key = \"{key}\", client_ca = \"{ca}\" }}")
    };
    for (tls, words) in [
        (tls("absent.pem", "api.key", "clients.pem"), "cannot read"),
        (tls("api.pem", "open.key", "clients.pem"), "chmod 600"),
        (
            tls("empty.pem", "api.key", "clients.pem"),
            "empty.pem holds no certificate",
        ),
        (
            tls("api.pem", "other.key", "clients.pem"),
            "do not belong together",
        ),
        (
            tls("api.pem", "api.key", "api.key"),
            "api.key holds no certificate",
        ),
        ("tls.cert = \"api.pem\"".to_owned(), "missing field"),
    ] {
        let refused = run(&["serve", "--for", "60s", "--config", &office.config(&tls)]);
        assert_eq!(code(&refused), 2, "{tls}: {}", stderr(&refused));
        assert!(
            stderr(&refused).contains(words),
            "{tls}: {}",
            stderr(&refused)
        );
    }
    // Where there is no host there is nobody to show a certificate to.
    let config = office.config(&tls("api.pem", "api.key", "clients.pem"));
    let socket = format!("unix:{}", office.dir.file("api.sock"));
    let unix = run(&[
        "serve", "--for", "60s", "--config", &config, "--grpc", &socket,
    ]);
    assert_eq!(code(&unix), 2);
    assert!(stderr(&unix).contains("unix socket"), "{}", stderr(&unix));
}
