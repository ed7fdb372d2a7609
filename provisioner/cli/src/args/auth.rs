//! Arguments of `account`, `session`, `token` and `auth`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::DryRun;
use crate::complete;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Look at servers, nodes and what they stand in, partitions, images, templates, pools, jobs, history and events
    Viewer,
    /// That, and operate servers, partitions, templates, frames and jobs; label, move, restart nodes and change their power
    Operator,
    /// Look at everything, accounts and policies too; change nothing
    Auditor,
    /// Everything
    Administrator,
    /// What own policies permit, and nothing else
    None,
}

impl Role {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
            Self::None => "none",
        }
    }
}

/// An account's name.
#[derive(Debug, Args)]
pub(crate) struct AccountName {
    /// Name
    #[arg(value_name = "ACCOUNT", add = ArgValueCompleter::new(complete::accounts))]
    pub(crate) account: String,
}

/// `account`.
#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// List accounts
    #[command(visible_alias = "ls")]
    List,
    /// Show one account
    #[command(after_help = "Example:\n  weft account show ann")]
    Show(AccountName),
    /// Make an account; its password must be changed at its first log-in
    #[command(after_help = "Examples:
  weft account create ann --role operator
  weft account create ann --role operator --password-file first-password
  weft account create robot --role viewer --no-password
  weft token create robot-1 --account robot --days 90")]
    Create {
        /// 1 to 63 letters, digits, - . _ @
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
        /// File with the first password; asked for on a terminal when absent, `-` reads standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        /// Nobody logs in to it: it has tokens only
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete an account with its sessions and tokens; the last administrator stays
    #[command(after_help = "Example:\n  weft account delete ann --yes")]
    Delete {
        #[command(flatten)]
        name: AccountName,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Give an account another role; it holds at once, also in sessions that are open
    #[command(after_help = "Example:\n  weft account set-role ann viewer")]
    SetRole {
        #[command(flatten)]
        name: AccountName,
        /// What it may do
        #[arg(value_enum)]
        role: Role,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Give another's account a password, to be changed at the next log-in; its sessions end
    #[command(after_help = "Example:\n  weft account set-password ann --password-file new-password")]
    SetPassword {
        #[command(flatten)]
        name: AccountName,
        /// File with the password; asked for on a terminal when absent, `-` reads standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// `session`.
#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List sessions: one's own, and those of others for who may see them
    #[command(visible_alias = "ls")]
    List,
    /// End a session
    #[command(after_help = "Example:\n  weft session end 3f2a91c077de0b14")]
    End {
        /// Name, as in `weft session list`
        #[arg(value_name = "SESSION")]
        session: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

/// `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token for a program; it is shown once
    #[command(after_help = "Examples:
  weft token create ci --days 30 --out ci.token
  weft token create web-itself --only vs/web --verbs start,stop,label --out web.token
  WEFT_TOKEN_FILE=web.token weft vs stop web

With --only it may see that one server or node, and do to it what --verbs says; never more than its account.")]
    Create {
        /// 1 to 63 letters, digits, - . _ @
        name: String,
        /// Days for which it holds
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=365))]
        days: u32,
        /// The one server or node that it is for
        #[arg(long, value_name = "vs/NAME|node/NAME", value_parser = only)]
        only: Option<(String, String)>,
        /// What may be done with it; for a server start, stop and label where nothing is said
        #[arg(long, value_name = "VERB,VERB", value_delimiter = ',', requires = "only")]
        verbs: Vec<String>,
        /// Account that it acts for; left out: one's own
        #[arg(long, default_value = "", hide_default_value = true, add = ArgValueCompleter::new(complete::accounts))]
        account: String,
        /// File to write it to, readable by its owner alone; left out: standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// List tokens: one's own, and those of others for who may see them
    #[command(visible_alias = "ls")]
    List,
    /// Revoke a token
    #[command(after_help = "Example:\n  weft token revoke ci")]
    Revoke {
        /// Name
        #[arg(value_name = "TOKEN", add = ArgValueCompleter::new(complete::tokens))]
        token: String,
        #[command(flatten)]
        dry_run: DryRun,
    },
}

fn only(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind @ ("vs" | "node"), name)) if !name.is_empty() => Ok((kind.to_owned(), name.to_owned())),
        _ => Err("give vs/NAME or node/NAME".to_owned()),
    }
}

/// `auth`.
#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    /// Say whether one may do something; ends with 5 where one may not
    #[command(after_help = "Examples:
  weft auth can-i start vs web
  weft auth can-i delete vs web --explain
  weft auth can-i approve node -o json")]
    CanI {
        /// view, create, start, stop, …
        verb: String,
        /// vs, node, partition, datacenter, mainframe, frame, switch, gateway, port, vnic, vhba, template, pool, licence, image, blob, job, history, event,
        /// appliance, operator, account, session, token, auth-policy
        kind: String,
        /// Object by name or identity; left out: any of the kind
        #[arg(default_value = "", hide_default_value = true)]
        name: String,
        /// Name the policies that decided, and the roles that may
        #[arg(long)]
        explain: bool,
    },
    /// Policies about rights: those of the roles, and own ones
    #[command(subcommand)]
    Policy(AuthPolicy),
    /// Print the schema that own policies must fit
    Schema,
}

/// `auth policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthPolicy {
    /// List policies
    #[command(visible_alias = "ls")]
    List,
    /// Print a policy
    #[command(after_help = "Example:\n  weft auth policy show operator-servers")]
    Show {
        /// Name
        #[arg(value_name = "POLICY", add = ArgValueCompleter::new(complete::auth_policies))]
        policy: String,
    },
    /// Add a policy in Cedar, after it was checked against the schema
    #[command(after_help = "Example:
  cat > testers.cedar <<'END'
  permit (principal == Account::\"ann\", action in [Action::\"view\", Action::\"start\", Action::\"stop\"], resource is Vs)
  when { resource.hasTag(\"env\") && resource.getTag(\"env\") == \"test\" };
  END
  weft auth policy add testers testers.cedar --dry-run
  weft auth policy add testers testers.cedar")]
    Add {
        /// 1 to 63 letters, digits, - . _ @
        name: String,
        /// File with the text, at most 16 KiB; `-` reads standard input
        file: PathBuf,
        #[command(flatten)]
        dry_run: DryRun,
    },
    /// Delete an own policy
    #[command(after_help = "Example:\n  weft auth policy delete testers --yes")]
    Delete {
        /// Name
        #[arg(value_name = "POLICY", add = ArgValueCompleter::new(complete::auth_policies))]
        policy: String,
        #[command(flatten)]
        dry_run: DryRun,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}
