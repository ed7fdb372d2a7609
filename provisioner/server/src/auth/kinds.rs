//! Kinds of objects and what can be done with each: [`ObjectKind::verbs`] is the one table.

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ObjectKind {
    Vs,
    Node,
    Partition,
    /// Holds virtual mainframes.
    Datacenter,
    /// A virtual mainframe: holds frames.
    Mainframe,
    /// Holds nodes.
    Frame,
    /// A virtual switch: holds ports and gateway ports.
    Switch,
    /// Holds a VNIC.
    Port,
    /// A NIC of a node as a way out of a switch.
    Gateway,
    /// A network device of a server.
    Vnic,
    /// A storage adapter of a server.
    Vhba,
    Image,
    /// What servers are made of.
    Template,
    /// Identifiers that servers are given.
    Pool,
    /// What extends pools.
    Licence,
    /// Files of guests.
    Blob,
    /// Several changes as one unit.
    Job,
    /// Transactions.
    History,
    Event,
    /// Settings, doctor, metrics.
    Appliance,
    /// Credentials with which nodes let somebody in.
    Operator,
    Account,
    Session,
    Token,
    AuthPolicy,
}

/// What can be done with what holds other things, and with what is connected to others.
const CONTAINER: &[&str] = &["view", "create", "edit", "delete"];

impl ObjectKind {
    /// All of them.
    pub(crate) const ALL: [Self; 25] = [
        Self::Vs,
        Self::Node,
        Self::Partition,
        Self::Datacenter,
        Self::Mainframe,
        Self::Frame,
        Self::Switch,
        Self::Port,
        Self::Gateway,
        Self::Vnic,
        Self::Vhba,
        Self::Image,
        Self::Template,
        Self::Pool,
        Self::Licence,
        Self::Blob,
        Self::Job,
        Self::History,
        Self::Event,
        Self::Appliance,
        Self::Operator,
        Self::Account,
        Self::Session,
        Self::Token,
        Self::AuthPolicy,
    ];

    /// The table: word of the interface, entity type of policies, what people read, and verbs.
    const fn declared(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Vs => (
                "vs",
                "Vs",
                "virtual server",
                &[
                    "view", "create", "copy", "edit", "start", "stop", "reset", "move", "delete", "label",
                    "console",
                ],
            ),
            Self::Node => (
                "node",
                "Node",
                "node",
                &["view", "approve", "forget", "move", "label", "push", "reboot", "power", "set-bmc"],
            ),
            Self::Partition => ("partition", "Partition", "partition", &["view", "create", "delete"]),
            Self::Datacenter => ("datacenter", "Datacenter", "data center", CONTAINER),
            Self::Mainframe => ("mainframe", "Mainframe", "virtual mainframe", CONTAINER),
            Self::Frame => ("frame", "Frame", "frame", CONTAINER),
            Self::Switch => ("switch", "Switch", "virtual switch", CONTAINER),
            Self::Port => ("port", "Port", "port", CONTAINER),
            Self::Gateway => ("gateway", "Gateway", "gateway port", CONTAINER),
            Self::Vnic => ("vnic", "Vnic", "VNIC", CONTAINER),
            Self::Vhba => ("vhba", "Vhba", "VHBA", CONTAINER),
            Self::Image => ("image", "Image", "image", &["view", "publish", "activate", "revoke"]),
            Self::Template => {
                ("template", "Template", "template", &["view", "create", "edit", "delete", "label"])
            }
            Self::Pool => ("pool", "Pool", "pool", &["view", "create", "extend", "delete"]),
            Self::Licence => ("licence", "Licence", "licence", &["view", "add", "remove"]),
            Self::Blob => ("blob", "Blob", "file", &["upload"]),
            Self::Job => ("job", "Job", "job", &["view", "create", "cancel", "decide"]),
            Self::History => ("history", "History", "history", &["view", "undo"]),
            Self::Event => ("event", "Event", "event", &["view"]),
            Self::Appliance => ("appliance", "Appliance", "appliance", &["view", "backup", "remove"]),
            Self::Operator => ("operator", "Operator", "credential for nodes", &["issue"]),
            Self::Account => {
                ("account", "Account", "account", &["view", "create", "delete", "set-role", "set-password"])
            }
            Self::Session => ("session", "Session", "session", &["view", "end"]),
            Self::Token => ("token", "Token", "token", &["view", "create", "revoke"]),
            Self::AuthPolicy => {
                ("auth-policy", "AuthPolicy", "policy about rights", &["view", "create", "delete"])
            }
        }
    }

    /// As the interface calls it.
    pub(crate) const fn word(self) -> &'static str {
        self.declared().0
    }

    /// As policies call it.
    pub(crate) const fn entity(self) -> &'static str {
        self.declared().1
    }

    /// As people read it.
    pub(crate) const fn words(self) -> &'static str {
        self.declared().2
    }

    /// What can be done with it.
    pub(crate) const fn verbs(self) -> &'static [&'static str] {
        self.declared().3
    }

    /// By the interface's word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The verb as this table has it; `None` where there is none of this kind.
    pub(crate) fn verb(self, word: &str) -> Option<&'static str> {
        self.verbs().iter().copied().find(|verb| *verb == word)
    }
}
