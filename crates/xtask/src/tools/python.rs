//! Python environments under `target/xtask/`: one of Python 3 for the client checks, one of Python
//! 2.7 for the Autobahn suite, which runs on no later version. Never touches the system's or the
//! user's own packages.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{INSTALL_LIMIT, runs};
use crate::checkout::Checkout;
use crate::process;

/// A folder with `bin/python` and the packages of a requirements file.
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// A program of this environment.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// The Python 3 environment with the pinned packages of `requirements/NAME.txt`.
pub fn three(checkout: &Checkout, name: &str) -> Result<Environment> {
    let folder = checkout.scratch("python3")?.join(name);
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    prepare(checkout, folder, create, &requirements(checkout, name))
}

/// The Python 2.7 environment with the Autobahn suite; `None` without Python 2.7.
pub fn autobahn(checkout: &Checkout) -> Result<Option<Environment>> {
    let Some(interpreter) = two() else {
        return Ok(None);
    };
    println!("Python 2.7: {}", interpreter.display());
    // The last virtualenv series that can create an environment of Python 2.7.
    let maker = three(checkout, "virtualenv")?;
    let folder = checkout.scratch("python2")?.join("autobahn");
    let mut create = Command::new(maker.program("virtualenv"));
    create
        .args(["--quiet", "--clear", "--no-periodic-update", "-p"])
        .arg(&interpreter)
        .arg(&folder);
    let environment = prepare(checkout, folder, create, &requirements(checkout, "autobahn"))?;
    Ok(Some(environment))
}

/// Why conformance cannot run without Python 2.7, and what to do.
pub const NO_PYTHON_2: &str = "no Python 2.7, which the Autobahn suite needs: \
     looked for python2.7 in PATH and under pyenv; `pyenv install 2.7.18` brings it";

fn two() -> Option<PathBuf> {
    let mut candidates = vec![PathBuf::from("python2.7")];
    let root_of_pyenv = Command::new("pyenv")
        .arg("root")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|root| PathBuf::from(root.trim()));
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    for root in root_of_pyenv.into_iter().chain(home) {
        let mut versions: Vec<PathBuf> = fs::read_dir(root.join("versions"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("2.7"))
            })
            .map(|path| path.join("bin/python2.7"))
            .collect();
        versions.sort();
        candidates.extend(versions.into_iter().rev());
    }
    // A pyenv shim named python2.7 may exist and yet refuse to run, so each is tried.
    candidates
        .into_iter()
        .find(|python| runs(&python.to_string_lossy(), &["-c", "import ssl, zlib"]))
}

fn requirements(checkout: &Checkout, name: &str) -> PathBuf {
    checkout.path(&format!("crates/xtask/requirements/{name}.txt"))
}

/// Creates the environment unless it already holds exactly these requirements.
fn prepare(
    checkout: &Checkout,
    folder: PathBuf,
    create: Command,
    requirements: &Path,
) -> Result<Environment> {
    let wanted = fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let mark = folder.join("requirements.installed");
    let environment = Environment { folder };
    let python = environment.program("python");
    let usable = runs(&python.to_string_lossy(), &["--version"]);
    if usable && fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        println!("present: {}", environment.folder.display());
        return Ok(environment);
    }
    println!("installing: {}", environment.folder.display());
    process::check(create, INSTALL_LIMIT)?;
    let mut install = Command::new(&python);
    install
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-input", "--no-warn-script-location", "--timeout", "60", "-r"])
        .arg(requirements)
        .env("PYTHONWARNINGS", "ignore")
        .current_dir(checkout.root());
    process::check(install, INSTALL_LIMIT).with_context(|| {
        format!(
            "cannot install {}; check the network and the package index that pip uses",
            requirements.display()
        )
    })?;
    fs::write(&mark, wanted).with_context(|| format!("cannot write {}", mark.display()))?;
    Ok(environment)
}
