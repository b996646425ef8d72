//! `portwatch agent`: the flags, made from the table of keys, and the way to the agent.

use crate::agent;
use crate::config::{Config, DEFAULT_FILE, KEYS};
use crate::exit_code::{ExitCode, Refused};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use std::collections::HashMap;
use std::path::PathBuf;

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct AgentArgs {
    config: Option<PathBuf>,
    check_config: bool,
    flags: HashMap<&'static str, String>,
}

impl AgentArgs {
    /// File, environment and flags together; again whenever the file may have changed.
    ///
    /// # Errors
    /// [`Refused`]: which value will not do, where it stands, and what would be right.
    pub fn load(&self) -> Result<Config, Refused> {
        let environment = |name: &'static str| {
            let key = KEYS.iter().find(|key| key.name == name)?;
            std::env::var(key.variable()).ok()
        };
        Config::load(self.config.as_deref(), &environment, &|name| self.flags.get(name).cloned())
    }
}

const EXAMPLES: &str = "\
Every flag is also a key of the file and a variable of the environment: --store-age, store_age, PORTWATCH_STORE_AGE.
A flag goes before the environment, that before the file. SIGHUP reads the file again.

Examples:
  systemctl enable --now portwatch          as a service, with /etc/portwatch/portwatch.toml
  portwatch agent --listen off --store off  in the foreground, for `portwatch trace` of others alone
  portwatch agent --check-config            only look whether everything set will do

Exit codes: 0 stopped; 1 failed; 2 wrong usage; 4 not permitted or not supported.";

impl clap::Args for AgentArgs {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("The configuration file [default: {DEFAULT_FILE}, if it is there]"));
        let check = Arg::new("check_config")
            .long("check-config")
            .action(clap::ArgAction::SetTrue)
            .help("Say what is set, and end");
        let flags = KEYS.iter().map(|key| {
            Arg::new(key.name).long(key.flag()).value_name(key.form).help(format!(
                "{} [env: {}] [default: {}]",
                key.help,
                key.variable(),
                key.default_value()
            ))
        });
        command.arg(config).args(flags).arg(check).after_long_help(EXAMPLES)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AgentArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &'static str| Some((name, matches.get_one::<String>(name)?.clone()));
        Ok(Self {
            config: matches.get_one("config").cloned(),
            check_config: matches.get_flag("check_config"),
            flags: KEYS.iter().filter_map(|key| given(key.name)).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the command until the service manager or Ctrl-C ends it.
///
/// # Errors
/// A value that will not do, no backend on this host, or a place that is taken: the port, the socket.
pub fn run(args: &AgentArgs) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    if args.check_config {
        for key in KEYS {
            println!("{} = {}", key.name, (key.get)(&config));
        }
        return Ok(ExitCode::Done);
    }
    agent::run(config, &|| args.load())
}
