//! The table of keys: name, form, default, meaning; how each is read and shown.

use super::{Config, Journal, values};
use crate::probe::Sizes;
use crate::store;

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written in the file.
    pub name: &'static str,
    /// What a value looks like.
    pub form: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Whether a running agent takes a new value over on SIGHUP.
    pub live: bool,
    /// Reads a value; the error says what would be right.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value as it would be written.
    pub get: fn(&Config) -> String,
}

impl Key {
    /// As a flag, without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// As a variable of the environment.
    pub fn variable(&self) -> String {
        format!("PORTWATCH_{}", self.name.to_uppercase())
    }

    /// The value where nothing is set.
    pub fn default_value(&self) -> String {
        (self.get)(&Config::default())
    }
}

pub(super) fn defaults() -> Config {
    let retention = store::Retention::default();
    Config {
        backend: None,
        table_size: Sizes::default().ports,
        listen: Some(([127, 0, 0, 1], 9737).into()),
        web_config: None,
        store: Some(store::DEFAULT_PATH.into()),
        store_age: retention.age,
        store_size: retention.bytes,
        journal: Journal::Auto,
        socket: Some("/run/portwatch/portwatch.sock".into()),
        socket_group: "portwatch".to_owned(),
        record: None,
    }
}

/// Everything that can be set, in the order of the documentation.
pub const KEYS: &[Key] = &[
    Key {
        name: "backend",
        form: "auto|fexit|kprobe|tracepoint",
        help: "Kernel hooks to use; auto takes the best that this kernel admits",
        live: false,
        set: |config, text| values::backend(text).map(|value| config.backend = value),
        get: |config| config.backend.map_or("auto", crate::probe::Backend::name).to_owned(),
    },
    Key {
        name: "table_size",
        form: "N",
        help: "Sockets with a port to remember at one time",
        live: false,
        set: |config, text| crate::cli::values::table_size(text).map(|value| config.table_size = value),
        get: |config| config.table_size.to_string(),
    },
    Key {
        name: "listen",
        form: "ADDRESS:PORT|off",
        help: "Where /metrics, /healthz and /readyz are served",
        live: false,
        set: |config, text| values::address(text).map(|value| config.listen = value),
        get: |config| config.listen.map_or_else(off, |address| address.to_string()),
    },
    Key {
        name: "web_config",
        form: "FILE|off",
        help: "TLS and passwords for them, in the form of Prometheus's exporters; read again when it changes",
        live: false,
        set: |config, text| values::path(text).map(|value| config.web_config = value),
        get: |config| values::shown(config.web_config.as_deref()),
    },
    Key {
        name: "store",
        form: "FILE|off",
        help: "The history, which why and history read",
        live: false,
        set: |config, text| values::path(text).map(|value| config.store = value),
        get: |config| values::shown(config.store.as_deref()),
    },
    Key {
        name: "store_age",
        form: "T",
        help: "How long a conflict stays in the history, such as 30d",
        live: true,
        set: |config, text| values::age(text).map(|value| config.store_age = value),
        get: |config| values::shown_age(config.store_age),
    },
    Key {
        name: "store_size",
        form: "SIZE",
        help: "How large the history may grow, such as 256MiB; the oldest conflicts go first",
        live: true,
        set: |config, text| values::size(text).map(|value| config.store_size = value),
        get: |config| values::shown_size(config.store_size),
    },
    Key {
        name: "journal",
        form: "auto|on|off",
        help: "Whether conflicts are written to the journal, under the units of victim and culprit",
        live: true,
        set: |config, text| values::journal(text).map(|value| config.journal = value),
        get: |config| values::shown_journal(config.journal).to_owned(),
    },
    Key {
        name: "socket",
        form: "FILE|off",
        help: "Where trace and who ask this agent",
        live: false,
        set: |config, text| values::path(text).map(|value| config.socket = value),
        get: |config| values::shown(config.socket.as_deref()),
    },
    Key {
        name: "socket_group",
        form: "GROUP",
        help: "Members of this group may ask: they see the command lines of everybody's processes",
        live: false,
        set: |config, text| values::group(text).map(|value| config.socket_group = value),
        get: |config| config.socket_group.clone(),
    },
    Key {
        name: "record",
        form: "FILE|off",
        help: "A new file to record raw events into, for portwatch replay",
        live: false,
        set: |config, text| values::path(text).map(|value| config.record = value),
        get: |config| values::shown(config.record.as_deref()),
    },
];

fn off() -> String {
    "off".to_owned()
}
