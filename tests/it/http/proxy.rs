//! The server behind real proxies, configured as in `deploy/`: nginx, Apache, Caddy and HAProxy.
//!
//! `scripts/system-env` installs them, and curl.

use crate::test_hub::TestApp;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sisepan::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const NGINX: &str = include_str!("../../../deploy/nginx.conf");
const APACHE: &str = include_str!("../../../deploy/apache.conf");
const CADDY: &str = include_str!("../../../deploy/Caddyfile");
const HAPROXY: &str = include_str!("../../../deploy/haproxy.cfg");

/// Common nginx settings beside the recipe: nginx compresses uncompressed responses.
const NGINX_GZIP: &str =
    "gzip on; gzip_vary on; gzip_proxied any; gzip_types application/json text/css text/javascript;";

/// A running proxy with its own folder.
struct Proxy {
    child: Child,
    folder: PathBuf,
    address: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Proxy {
    /// Starts a proxy on a free port. `make` writes the configuration for a port and returns the command.
    async fn start(name: &str, make: impl Fn(u16, &PathBuf) -> Command) -> Self {
        for attempt in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let folder = std::env::temp_dir().join(format!("sisepan-{name}-{}-{port}-{attempt}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let log = std::fs::File::create(folder.join("log")).unwrap();
            let child = make(port, &folder).stdout(log).spawn();
            let child = child.unwrap_or_else(|error| panic!("{name}: {error}; scripts/system-env installs it"));
            let mut proxy = Self { child, folder, address: format!("127.0.0.1:{port}") };
            if proxy.has_started().await {
                return proxy;
            }
        }
        panic!("{name} did not start");
    }

    /// Waits until the proxy accepts connections; returns `false` if it exited instead.
    async fn has_started(&mut self) -> bool {
        let waiting = async {
            loop {
                if TcpStream::connect(&self.address).await.is_ok() {
                    return self.child.try_wait().unwrap().is_none();
                }
                if self.child.try_wait().unwrap().is_some() {
                    return false;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the proxy starts or ends")
    }

    async fn nginx(upstream: &str, http: &str, location: &str) -> Self {
        Self::nginx_with(NGINX, upstream, http, location, "").await
    }

    /// As [`Self::nginx`], with another recipe and additional directives in the `server` block.
    async fn nginx_with(recipe: &str, upstream: &str, http: &str, location: &str, server: &str) -> Self {
        Self::start("nginx", |port, folder| {
            let listen = format!("listen 127.0.0.1:{port}; {server}");
            let recipe = recipe.replace("listen 80;", &listen).replace("127.0.0.1:8080", upstream);
            let recipe = recipe.replace("proxy_http_version 1.1;", &format!("proxy_http_version 1.1; {location}"));
            let at = folder.display();
            let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {at}/{kind};"))
                .concat();
            let config = format!(
                "daemon off; master_process off; pid {at}/pid; error_log stderr crit; events {{}} http {{ access_log off; {temp} {http} {recipe} }}"
            );
            std::fs::write(folder.join("nginx.conf"), config).unwrap();
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
            command.env("PATH", format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default()));
            command
        })
        .await
    }

    /// Starts Apache with a recipe. It serves pages from `site` in its folder.
    async fn apache(recipe: &str, upstream: &str) -> Self {
        Self::start("apache2", |port, folder| {
            let at = folder.display();
            std::fs::create_dir_all(folder.join("site")).unwrap();
            let modules =
                ["mpm_event", "authz_core", "alias", "mime", "filter", "proxy", "proxy_http", "headers", "include"]
                    .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                    .concat();
            let recipe = recipe.replace("*:80", &format!("127.0.0.1:{port}"));
            let recipe = recipe.replace("127.0.0.1:8080", upstream).replace("/var/www/html", &format!("{at}/site"));
            let config = format!(
                "ServerRoot {at}\nServerName news.example.com\nListen 127.0.0.1:{port}\nPidFile {at}/pid\n\
                 ErrorLog {at}/errors\nDefaultRuntimeDir {at}\nThreadsPerChild 8\nServerLimit 1\nMaxRequestWorkers 8\n\
                 {modules}TypesConfig /dev/null\nAddType text/html .shtml\n{recipe}"
            );
            std::fs::write(folder.join("apache.conf"), config).unwrap();
            let mut command = Command::new("apache2");
            command.arg("-X").arg("-f").arg(folder.join("apache.conf"));
            command.env("PATH", format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default()));
            command
        })
        .await
    }

    async fn caddy(upstream: &str) -> Self {
        Self::start("caddy", |port, folder| {
            let site = format!("http://127.0.0.1:{port} {{\n\tbind 127.0.0.1");
            let recipe = CADDY.replace("news.example.com {", &site).replace("127.0.0.1:8080", upstream);
            std::fs::write(folder.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{recipe}")).unwrap();
            let mut command = Command::new("caddy");
            command.arg("run").arg("--config").arg(folder.join("Caddyfile")).stderr(Stdio::null());
            command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
            command
        })
        .await
    }

    async fn haproxy(upstream: &str) -> Self {
        Self::start("haproxy", |port, folder| {
            let recipe = HAPROXY.replace("bind :80", &format!("bind 127.0.0.1:{port}"));
            let recipe = recipe.replace("127.0.0.1:8080", upstream);
            // Logs the results of health checks.
            let recipe =
                recipe.replace("    mode http\n", "    mode http\n    log global\n    option log-health-checks\n");
            let config = format!("global\n    log stdout format raw local0\n{recipe}");
            std::fs::write(folder.join("haproxy.cfg"), config).unwrap();
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg")).stderr(Stdio::null());
            command.env("PATH", format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default()));
            command
        })
        .await
    }

    /// Returns what the proxy has logged to its standard output.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Sends a request with curl and returns status, head in lower case, and decompressed body.
    async fn curl(&self, path: &str, headers: &[&str]) -> (u16, String, String) {
        let mut command = tokio::process::Command::new("curl");
        command.args(["--silent", "--include", "--max-time", "40"]);
        for header in headers {
            command.args(["--header", header]);
        }
        let out = command.arg(format!("http://{}{path}", self.address)).output().await.expect("curl is installed");
        let split = out.stdout.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(out.stdout[..split].to_vec()).unwrap().to_lowercase();
        let body = &out.stdout[split + 4..];
        let mut plain = String::new();
        if head.contains("content-encoding: gzip") {
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(body), &mut plain).unwrap();
        } else {
            plain = String::from_utf8(body.to_vec()).unwrap();
        }
        (head[9..12].parse().unwrap(), head, plain)
    }
}

fn line<'a>(head: &'a str, name: &str) -> &'a str {
    let start = format!("{name}: ");
    head.lines().find_map(|line| line.strip_prefix(start.as_str())).unwrap_or_default()
}

fn app() -> TestApp {
    app_under("/prices")
}

fn app_under(base_path: &str) -> TestApp {
    let site = Site { base_path: base_path.to_owned(), ..Site::default() };
    app_state_with_site(&hub_with_rows(), Limits { per_ipv4_max: 4, ..Limits::default() }, site)
}

/// Checks pages, sockets and events behind a proxy.
async fn assert_serves(proxy: &Proxy, app: &TestApp) {
    let (status, head, _) = proxy.curl("/prices?lang=ko", &[]).await;
    assert_eq!(status, 308, "{head}");
    assert!(line(&head, "location").contains("/prices/"), "{head}");
    for path in ["/prices/", "/prices/embed/board", "/prices/sisepan.js", "/prices/api/v1/snapshot?board=krw"] {
        assert_eq!(proxy.curl(path, &[]).await.0, 200, "{path}");
    }

    // A socket passes and receives changes.
    let url = format!("ws://{}/prices/api/v1/stream?board=krw&interval_ms=0", proxy.address);
    let connecting = tokio_tungstenite::connect_async(url);
    let (socket, _) = tokio::time::timeout(DEADLINE, connecting).await.unwrap().expect("the upgrade passes");
    let mut socket = Client(socket);
    assert_eq!(socket.json().await["type"], "welcome");
    assert_eq!(socket.json().await["type"], "snapshot");
    app.hub.publish(changed([quote("ETH-KRW", "5000001")]));
    assert_eq!(socket.json().await["rows"][0]["last"], "5000001");
    drop(socket);

    // Each event arrives before the next one is published, so that no proxy can buffer it.
    let mut events = TcpStream::connect(&proxy.address).await.unwrap();
    let request = format!(
        "GET /prices/api/v1/events?board=small&interval_ms=0 HTTP/1.1\r\nhost: {}\r\naccept-encoding: gzip, br\r\n\r\n",
        proxy.address
    );
    events.write_all(request.as_bytes()).await.unwrap();
    let mut received = String::new();
    for (wanted, next) in
        [("\"snapshot\"", "5000002"), ("\"last\":\"5000002\"", "5000003"), ("\"last\":\"5000003\"", "5")]
    {
        let reading = async {
            while !received.contains(wanted) {
                let mut buffer = [0; 4096];
                let count = events.read(&mut buffer).await.unwrap();
                assert!(count > 0, "ended: {received}");
                received.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("buffered: {wanted} after {received}"));
        app.hub.publish(changed([quote("XRP-KRW", next)]));
    }
    let head = received.split("\r\n\r\n").next().unwrap().to_lowercase();
    assert!(head.contains("content-type: text/event-stream") && !head.contains("content-encoding"), "{head}");
}

/// Checks `ETag`, `304` and `Vary` behind a proxy, whether the proxy or the server compresses.
async fn assert_caching(proxy: &Proxy) {
    for path in ["/prices/api/v1/snapshot?board=krw&lang=ko", "/prices/sisepan.css"] {
        let (_, plain_head, plain) = proxy.curl(path, &[]).await;
        let tag = line(&plain_head, "etag").to_owned();
        assert!(tag.starts_with("w/\""), "{plain_head}");
        let (_, compressed_head, decompressed) = proxy.curl(path, &["Accept-Encoding: gzip"]).await;
        assert_eq!(line(&compressed_head, "content-encoding"), "gzip", "{path}");
        assert_eq!((line(&compressed_head, "etag"), decompressed), (tag.as_str(), plain), "{path}");
        // The head is in lower case here; the real tag begins with a capital W.
        let weak = tag.replacen("w/", "W/", 1);
        for value in [weak.clone(), weak.trim_start_matches("W/").to_owned(), format!("\"x\", {weak}")] {
            let condition = format!("If-None-Match: {value}");
            let (status, head, body) = proxy.curl(path, &["Accept-Encoding: gzip", &condition]).await;
            assert_eq!((status, body.as_str()), (304, ""), "{condition}");
            for name in ["etag", "cache-control"] {
                assert_eq!(line(&head, name), line(&plain_head, name), "{name}");
            }
            assert!(line(&head, "vary").contains("accept-encoding"), "{head}");
        }
        assert!(line(&compressed_head, "vary").contains("accept-encoding"));
    }
}

/// Checks that limits apply to the address of each client, which a client can't forge.
async fn assert_counts_clients(proxy: &Proxy, app: &TestApp) {
    let mut held = Vec::new();
    let open = async |forged: &str| {
        let mut socket = TcpStream::connect(&proxy.address).await.unwrap();
        let request = format!("GET /prices/api/v1/events HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {forged}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        tokio::time::timeout(DEADLINE, socket.read_exact(&mut status)).await.unwrap().unwrap();
        (String::from_utf8_lossy(&status[9..]).into_owned(), socket)
    };
    // This machine is both proxy and client, so the address before it in the list counts.
    for _ in 0..4 {
        let (status, socket) = open("203.0.113.1").await;
        assert_eq!(status, "200");
        held.push(socket);
    }
    assert_eq!(open("203.0.113.1").await.0, "503");
    assert_eq!(open("198.51.100.1, 203.0.113.1").await.0, "503");
    drop(held);
    eventually("the clients left", || app.hub.stats().members == 0).await;
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn out_31_out_32_nginx_passes_sockets_events_and_caching() {
    let app = app();
    let upstream = serve(&app).await;
    let nginx = Proxy::nginx(&upstream, "", "").await;
    assert_serves(&nginx, &app).await;
    assert_caching(&nginx).await;
    assert_counts_clients(&nginx, &app).await;
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn out_31_nginx_that_compresses_responses_keeps_the_etag() {
    let app = app();
    let upstream = serve(&app).await;
    let nginx = Proxy::nginx(&upstream, NGINX_GZIP, "proxy_set_header Accept-Encoding '';").await;
    assert_caching(&nginx).await;
}

#[tokio::test]
#[ignore = "needs Caddy"]
async fn out_31_out_32_caddy_passes_sockets_events_and_caching() {
    let app = app();
    let upstream = serve(&app).await;
    let caddy = Proxy::caddy(&upstream).await;
    assert_serves(&caddy, &app).await;
    assert_caching(&caddy).await;
}

#[tokio::test]
#[ignore = "needs HAProxy"]
async fn fc_25_the_haproxy_health_check_succeeds_and_sockets_events_and_caching_pass() {
    let app = app();
    let upstream = serve(&app).await;
    let haproxy = Proxy::haproxy(&upstream).await;
    eventually("haproxy's check succeeds", || haproxy.log().contains("Layer7 check passed, code: 204")).await;
    assert_serves(&haproxy, &app).await;
    assert_caching(&haproxy).await;
    assert_counts_clients(&haproxy, &app).await;
    let log = haproxy.log();
    assert!(!log.contains("wrong status") && !log.contains("is DOWN"), "{log}");
}

/// Returns the text of a configurator snippet, as a visitor copies it.
fn snippet(page: &str, id: &str) -> String {
    let (_, code) = page.split_once(&format!("<code id=\"code-{id}\">")).expect(id);
    let (code, _) = code.split_once("</code>").expect("the snippet ends");
    let entities = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")];
    entities.iter().fold(code.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

/// Puts the include snippet of the configurator into a page of the site and checks what a visitor gets.
async fn assert_include_works(proxy: &Proxy, base_path: &str) {
    let options = "ui=en&widget=board&m=BTC-KRW&m=ETH-KRW&theme=dark&colors=cb&size=l&lang=ja&title=off\
                &link=%2Fcoins%2F%7Bbase%7D%3Fa%3D1%26b%3D2&columns=last&columns=change&columns=amount";
    let (status, _, page) = proxy.curl(&format!("{base_path}/widgets?{options}"), &[]).await;
    assert_eq!(status, 200, "{page}");
    let code = snippet(&page, "include");
    assert!(code.contains(&format!("virtual=\"{base_path}/fragment/board?")), "{code}");
    let article = format!("<!doctype html><title>Article</title><p>before</p>\n{code}\n<p>after</p>\n");
    std::fs::write(proxy.folder.join("site/article.shtml"), article).unwrap();
    // Browsers accept compression, but the included page must stay uncompressed.
    let (status, _, page) = proxy.curl("/article.shtml", &["accept-encoding: gzip, br, zstd"]).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("<p>before</p>") && page.contains("<p>after</p>") && !page.contains("#include"), "{page}");
    for part in [
        "class=\"sisepan\"",
        "lang=\"ja\"",
        "data-theme=\"dark\"",
        "data-colors=\"cb\"",
        "data-size=\"l\"",
        "data-title=\"off\"",
        "data-markets=\"BTC-KRW,ETH-KRW\"",
        "data-col=\"amount\"",
        "/coins/BTC?a=1",
    ] {
        assert!(page.contains(part), "{page} lacks {part}");
    }
}

#[tokio::test]
#[ignore = "needs nginx"]
async fn fc_52_the_copied_include_snippet_works_in_nginx() {
    for base_path in ["/prices", "/a/b"] {
        let upstream = serve(&app_under(base_path)).await;
        let root = "location / { root site; ssi on; ssi_types text/html; types { text/html shtml; } }";
        let recipe = |text: &str| text.replace("/prices", base_path);
        let nginx = Proxy::nginx_with(&recipe(NGINX), &upstream, "", "", root).await;
        std::fs::create_dir_all(nginx.folder.join("site")).unwrap();
        assert_include_works(&nginx, base_path).await;
    }
}

#[tokio::test]
#[ignore = "needs Apache"]
async fn fc_52_the_copied_include_snippet_works_in_apache() {
    for base_path in ["/prices", "/a/b"] {
        let upstream = serve(&app_under(base_path)).await;
        let apache = Proxy::apache(&APACHE.replace("/prices", base_path), &upstream).await;
        assert_include_works(&apache, base_path).await;
    }
}
