//! A real server for tests: a process of its own, on a port that stays the same over restarts.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use lockstitch::Client;

pub struct Server {
    directory: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        let port = free_port();
        let directory = env::temp_dir().join(format!("lockstitch-rust-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let mut server = Self { directory, port, process: None };
        server.again().await;
        server
    }

    /// Start once more, after [`kill`](Self::kill), on the same store.
    pub async fn again(&mut self) {
        self.begin();
        Client::builder(self.target()).timeout(Duration::from_secs(60)).build().unwrap().wait_ready().await.unwrap();
    }

    pub fn begin(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.directory.join("log")).expect("a log");
        let command = Command::new(python())
            .args(["-m", "lockstitch_server", "serve", "--listen", &self.target(), "--store", "sqlite:///store.db"])
            .current_dir(&self.directory)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.process = Some(command.expect("the server's environment: make .venv/.run"));
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().and_then(|()| process.wait()).expect("it was running");
        }
    }

    /// Stop it in the middle of everything ("STOP"), or let it go on ("CONT").
    pub fn signal(&self, name: &str) {
        let pid = self.process.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill").success());
    }

    pub fn target(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    #[allow(dead_code)] // each test program uses what it needs
    pub fn client(&self) -> Client {
        Client::connect(self.target()).expect("a target")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.signal("CONT");
        }
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that nobody listens on, below those that systems give to outgoing connections: none takes it while the server is
/// down.
fn free_port() -> u16 {
    loop {
        let port = 20_000 + (RandomState::new().hash_one(()) % 12_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The interpreter of the repository's environment, or LOCKSTITCH_PYTHON.
fn python() -> PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/python");
    env::var_os("LOCKSTITCH_PYTHON").map_or(ours, PathBuf::from)
}
