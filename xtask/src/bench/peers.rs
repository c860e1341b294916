//! Programs to measure: built or fetched once, kept in a folder outside the workspace.
//!
//! `$WEBSOCAT_BENCH_CACHE`, or `websocat-bench` in the user's cache folder. Upstream's releases come from crates.io
//! with their own lock files, echo servers from bench/peers with theirs (Node's by npm), socat and nginx from the system or unpacked
//! from its Debian packages (nothing is installed). To renew one, remove its folder.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

pub(super) struct Cache {
    pub folder: PathBuf,
    root: PathBuf,
    /// Our binary, if it was built already.
    binary: Option<PathBuf>,
}

const NGINX: &str = "usr/sbin/nginx";
const NGINX_STREAM: &str = "usr/lib/nginx/modules/ngx_stream_module.so";

impl Cache {
    pub(super) fn open(root: &Path, binary: Option<PathBuf>) -> Result<Self, String> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let folder = variable("WEBSOCAT_BENCH_CACHE")
            .or_else(|| user().map(|user| user.join("websocat-bench")))
            .ok_or("no place for peers: set WEBSOCAT_BENCH_CACHE to a folder")?;
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let folder = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { folder, root: root.into(), binary })
    }

    /// Our own binary, a release build.
    pub(super) fn websocat(&self) -> Result<PathBuf, String> {
        match &self.binary {
            Some(binary) => Ok(binary.clone()),
            None => self.build(&self.root, "websocat", &["--package", "websocat"]),
        }
    }

    pub(super) fn load_generator(&self) -> Result<PathBuf, String> {
        self.build(&self.root.join("bench"), "load", &[])
    }

    /// An echo server from bench/peers.
    pub(super) fn peer(&self, folder: &str, binary: &str) -> Result<PathBuf, String> {
        self.build(&self.root.join("bench/peers").join(folder), binary, &[])
    }

    /// A script from bench/peers for Node, with the packages that its lock file names.
    pub(super) fn node(&self, folder: &str, script: &str) -> Result<PathBuf, String> {
        let (source, place) = (self.root.join("bench/peers").join(folder), self.folder.join(folder));
        let failed = |e: std::io::Error| format!("{}: {e}", place.display());
        fs::create_dir_all(&place).map_err(failed)?;
        for file in ["package.json", "package-lock.json", script] {
            fs::copy(source.join(file), place.join(file)).map_err(failed)?;
        }
        if !place.join("node_modules").exists() {
            let mut npm = Command::new("npm");
            npm.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&place);
            self.run(npm, folder)?;
        }
        Ok(place.join(script))
    }

    fn build(&self, package: &Path, binary: &str, more: &[&str]) -> Result<PathBuf, String> {
        let target = self.folder.join("target").join(binary);
        let mut cargo = cargo();
        cargo.args(["build", "--release", "--locked", "--quiet", "--bin", binary]).args(more);
        cargo.arg("--manifest-path").arg(package.join("Cargo.toml")).arg("--target-dir").arg(&target);
        self.run(cargo, binary)?;
        Ok(target.join("release").join(binary))
    }

    /// A release of a crate's binary from crates.io.
    pub(super) fn registry(&self, name: &str, version: &str) -> Result<PathBuf, String> {
        let place = self.folder.join(format!("{name}-{version}"));
        let binary = place.join("bin").join(name);
        if !binary.exists() {
            let mut cargo = cargo();
            cargo.args(["install", name, "--version", version, "--locked", "--root"]).arg(&place);
            self.run(cargo, &format!("{name}-{version}"))?;
        }
        Ok(binary)
    }

    pub(super) fn socat(&self) -> Result<PathBuf, String> {
        self.debian(&["socat", "libwrap0"], &["usr/bin/socat"]).map(|root| root.join("usr/bin/socat"))
    }

    pub(super) fn nginx(&self) -> Result<PathBuf, String> {
        self.debian(&["nginx", "libnginx-mod-stream"], &[NGINX, NGINX_STREAM]).map(|root| root.join(NGINX))
    }

    /// nginx's stream module, which fits the program that [`Cache::nginx`] found.
    pub(super) fn nginx_module(&self) -> PathBuf {
        let system = Path::new("/");
        let root = if has(system, &[NGINX, NGINX_STREAM]) { system.into() } else { self.unpacked() };
        root.join(NGINX_STREAM)
    }

    /// For `env`: where libraries of unpacked packages lie.
    pub(super) fn library_path(&self) -> String {
        format!(
            "LD_LIBRARY_PATH={}",
            self.unpacked().join(format!("usr/lib/{}-linux-gnu", env::consts::ARCH)).display()
        )
    }

    fn unpacked(&self) -> PathBuf {
        self.folder.join("debian/root")
    }

    /// The root folder under which `files` lie: the system's, or one into which `packages` are unpacked.
    fn debian(&self, packages: &[&str], files: &[&str]) -> Result<PathBuf, String> {
        let (system, root) = (PathBuf::from("/"), self.unpacked());
        if has(&system, files) {
            return Ok(system);
        }
        if !has(&root, files) {
            fs::create_dir_all(&root).map_err(|e| format!("{}: {e}", root.display()))?;
            let script = "cd \"$1\"; shift; apt-get download \"$@\" && \
                          for package; do dpkg-deb -x \"$package\"_*.deb root || exit; done";
            let mut command = Command::new("sh");
            command.args(["-ec", script, "sh"]).arg(self.folder.join("debian")).args(packages);
            let install = format!("install {} to have it measured", packages.join(" and "));
            self.run(command, packages.first().unwrap_or(&"apt")).map_err(|e| format!("{e}\n{install}"))?;
        }
        if has(&root, files) { Ok(root) } else { Err(format!("{} lacks {files:?}", root.display())) }
    }

    /// Runs a build; its output goes to a log, whose name is in the error.
    fn run(&self, mut command: Command, name: &str) -> Result<(), String> {
        let log = self.folder.join(format!("build-{name}.log"));
        let failed = |e: std::io::Error| format!("{command:?}: {e}", command = "build of ".to_owned() + name);
        let file = File::create(&log).map_err(failed)?;
        command.stdout(file.try_clone().map_err(failed)?).stderr(file);
        eprintln!("preparing {name}");
        if command.status().map_err(failed)?.success() {
            Ok(())
        } else {
            Err(format!("{name} could not be prepared, see {}", log.display()))
        }
    }
}

/// cargo, at the lowest priority: whoever works on this machine goes first.
fn cargo() -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "19"]).arg(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
}

fn has(root: &Path, files: &[&str]) -> bool {
    files.iter().all(|file| root.join(file).exists())
}
