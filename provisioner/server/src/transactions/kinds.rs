//! Each kind of transaction, and whether it can be taken back: [`Kind::declared`] is the one table of both.

use weft_store::Batch;

use crate::util::now;

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    VsCreate,
    VsStart,
    VsStop,
    VsReset,
    VsDelete,
    VsLabel,
    /// Name, size, files, command line, settings.
    VsSet,
    VsCopy,
    NodeApprove,
    /// An approval is withdrawn; the node stays known and waits.
    NodeHold,
    NodeForget,
    NodeLabel,
    NodeConflict,
    NodeSuccession,
    PartitionCreate,
    PartitionDelete,
    PoolCreate,
    PoolExtend,
    PoolDelete,
    LicenceAdd,
    LicenceRemove,
    TemplateCreate,
    TemplateLabel,
    TemplateDelete,
    DatacenterCreate,
    DatacenterEdit,
    DatacenterDelete,
    MainframeCreate,
    MainframeEdit,
    MainframeDelete,
    FrameCreate,
    FrameEdit,
    FrameDelete,
    SwitchCreate,
    SwitchEdit,
    SwitchDelete,
    PortCreate,
    PortEdit,
    PortDelete,
    GatewayCreate,
    GatewayEdit,
    GatewayDelete,
    VnicCreate,
    VnicEdit,
    VnicDelete,
    VhbaCreate,
    VhbaEdit,
    VhbaDelete,
    /// Nodes go into a frame, or into the free pool.
    NodeMove,
    /// Which image a node boots.
    NodeImage,
    /// A node's management controller is set.
    NodeBmcSet,
    NodeBmcClear,
    /// A node's management controller is asked to change its power.
    NodePower,
    /// A stopped server goes to another node.
    VsMove,
    /// A document is made so: objects of several kinds.
    Apply,
    ImagePublish,
    ImageBios,
    ImageActivate,
    ImageRevoke,
    BlobUpload,
    AccountReset,
    AccountLocal,
    AccountLogin,
    AccountPassword,
    AccountCreate,
    AccountDelete,
    AccountRole,
    AccountSetPassword,
    TokenCreate,
    TokenRevoke,
    AuthPolicyAdd,
    AuthPolicyDelete,
    /// Everything was sent to somebody, keys included.
    Backup,
    Restore,
}

/// Whether a transaction can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undo {
    /// As if it had not been. `by` is what the undo does.
    Reversible { by: Kind },
    /// All but what `lost` says.
    Compensable { by: Kind, lost: &'static str },
    /// Not at all: why, and what can be done instead.
    Irreversible { why: &'static str, next: &'static str },
}

impl Undo {
    /// As the interface says it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Reversible { .. } => "reversible",
            Self::Compensable { .. } => "compensable",
            Self::Irreversible { .. } => "irreversible",
        }
    }

    /// What an undo cannot give back, or why there is none.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Reversible { .. } => "",
            Self::Compensable { lost, .. } => lost,
            Self::Irreversible { why, .. } => why,
        }
    }
}

/// What a program that knows no such kind says.
pub(crate) const UNKNOWN: Undo = Undo::Irreversible {
    why: "this version of the appliance does not know this kind of change",
    next: "see what it changed: weft tx show",
};

impl Kind {
    /// All kinds, in the order of their declaration.
    const ALL: [Self; Self::Restore as usize + 1] = [
        Self::VsCreate,
        Self::VsStart,
        Self::VsStop,
        Self::VsReset,
        Self::VsDelete,
        Self::VsLabel,
        Self::VsSet,
        Self::VsCopy,
        Self::NodeApprove,
        Self::NodeHold,
        Self::NodeForget,
        Self::NodeLabel,
        Self::NodeConflict,
        Self::NodeSuccession,
        Self::PartitionCreate,
        Self::PartitionDelete,
        Self::PoolCreate,
        Self::PoolExtend,
        Self::PoolDelete,
        Self::LicenceAdd,
        Self::LicenceRemove,
        Self::TemplateCreate,
        Self::TemplateLabel,
        Self::TemplateDelete,
        Self::DatacenterCreate,
        Self::DatacenterEdit,
        Self::DatacenterDelete,
        Self::MainframeCreate,
        Self::MainframeEdit,
        Self::MainframeDelete,
        Self::FrameCreate,
        Self::FrameEdit,
        Self::FrameDelete,
        Self::SwitchCreate,
        Self::SwitchEdit,
        Self::SwitchDelete,
        Self::PortCreate,
        Self::PortEdit,
        Self::PortDelete,
        Self::GatewayCreate,
        Self::GatewayEdit,
        Self::GatewayDelete,
        Self::VnicCreate,
        Self::VnicEdit,
        Self::VnicDelete,
        Self::VhbaCreate,
        Self::VhbaEdit,
        Self::VhbaDelete,
        Self::NodeMove,
        Self::NodeImage,
        Self::NodeBmcSet,
        Self::NodeBmcClear,
        Self::NodePower,
        Self::VsMove,
        Self::Apply,
        Self::ImagePublish,
        Self::ImageBios,
        Self::ImageActivate,
        Self::ImageRevoke,
        Self::BlobUpload,
        Self::AccountReset,
        Self::AccountLocal,
        Self::AccountLogin,
        Self::AccountPassword,
        Self::AccountCreate,
        Self::AccountDelete,
        Self::AccountRole,
        Self::AccountSetPassword,
        Self::TokenCreate,
        Self::TokenRevoke,
        Self::AuthPolicyAdd,
        Self::AuthPolicyDelete,
        Self::Backup,
        Self::Restore,
    ];

    /// The table: name in history, and whether it can be taken back.
    #[expect(clippy::too_many_lines, reason = "it is the one table")]
    const fn declared(self) -> (&'static str, Undo) {
        use Undo::{Compensable, Irreversible, Reversible};
        const NO_PASSWORDS: Undo =
            Irreversible { why: "history keeps no password", next: "set another one: weft passwd" };
        match self {
            Self::VsCreate => ("vs create", Reversible { by: Self::VsDelete }),
            Self::VsStart => (
                "vs start",
                Compensable { by: Self::VsStop, lost: "what the guest holds in memory: it is powered off" },
            ),
            Self::VsStop => (
                "vs stop",
                Compensable { by: Self::VsStart, lost: "what the guest held in memory: it boots afresh" },
            ),
            Self::VsReset => (
                "vs reset",
                Irreversible {
                    why: "a guest that was reset has lost what it held in memory",
                    next: "nothing is to be done: it runs again",
                },
            ),
            Self::VsDelete => (
                "vs delete",
                Compensable {
                    by: Self::VsCreate,
                    lost: "what the guest held in memory, and the history of its console",
                },
            ),
            Self::VsLabel => ("vs label", Reversible { by: Self::VsLabel }),
            Self::VsSet => ("vs set", Reversible { by: Self::VsSet }),
            Self::VsCopy => ("vs copy", Reversible { by: Self::VsDelete }),
            Self::NodeApprove => ("node approve", Reversible { by: Self::NodeHold }),
            Self::NodeHold => ("node hold", Reversible { by: Self::NodeApprove }),
            Self::NodeForget => {
                let lost = "the lines of its log, and its management controller";
                ("node forget", Compensable { by: Self::NodeApprove, lost })
            }
            Self::NodeLabel => ("node label", Reversible { by: Self::NodeLabel }),
            Self::NodeConflict => (
                "node conflict",
                Irreversible {
                    why: "two machines showed one identity; a person must say which is the right one",
                    next: "compare fingerprints, then: weft node approve NODE --fingerprint FINGERPRINT",
                },
            ),
            Self::NodeSuccession => (
                "node succession",
                Irreversible { why: "the machine no longer has its earlier key", next: "weft node list" },
            ),
            Self::PartitionCreate => ("partition create", Reversible { by: Self::PartitionDelete }),
            Self::PartitionDelete => (
                "partition delete",
                Irreversible {
                    why: "its members have given up what they agreed on, and its key is gone",
                    next: "make another: weft partition create NAME --nodes NODE,NODE",
                },
            ),
            Self::PoolCreate => ("pool create", Reversible { by: Self::PoolDelete }),
            Self::PoolExtend => ("pool extend", Reversible { by: Self::PoolExtend }),
            Self::PoolDelete => ("pool delete", Reversible { by: Self::PoolCreate }),
            Self::LicenceAdd => ("licence add", Reversible { by: Self::LicenceRemove }),
            Self::LicenceRemove => ("licence remove", Reversible { by: Self::LicenceAdd }),
            Self::TemplateCreate => ("template create", Reversible { by: Self::TemplateDelete }),
            Self::TemplateLabel => ("template label", Reversible { by: Self::TemplateLabel }),
            Self::TemplateDelete => ("template delete", Reversible { by: Self::TemplateCreate }),
            Self::DatacenterCreate => ("datacenter create", Reversible { by: Self::DatacenterDelete }),
            Self::DatacenterEdit => ("datacenter edit", Reversible { by: Self::DatacenterEdit }),
            Self::DatacenterDelete => ("datacenter delete", Reversible { by: Self::DatacenterCreate }),
            Self::MainframeCreate => ("mainframe create", Reversible { by: Self::MainframeDelete }),
            Self::MainframeEdit => ("mainframe edit", Reversible { by: Self::MainframeEdit }),
            Self::MainframeDelete => ("mainframe delete", Reversible { by: Self::MainframeCreate }),
            Self::FrameCreate => ("frame create", Reversible { by: Self::FrameDelete }),
            Self::FrameEdit => ("frame edit", Reversible { by: Self::FrameEdit }),
            Self::FrameDelete => ("frame delete", Reversible { by: Self::FrameCreate }),
            Self::SwitchCreate => ("switch create", Reversible { by: Self::SwitchDelete }),
            Self::SwitchEdit => ("switch edit", Reversible { by: Self::SwitchEdit }),
            Self::SwitchDelete => ("switch delete", Reversible { by: Self::SwitchCreate }),
            Self::PortCreate => ("port create", Reversible { by: Self::PortDelete }),
            Self::PortEdit => ("port edit", Reversible { by: Self::PortEdit }),
            Self::PortDelete => ("port delete", Reversible { by: Self::PortCreate }),
            Self::GatewayCreate => ("gateway create", Reversible { by: Self::GatewayDelete }),
            Self::GatewayEdit => ("gateway edit", Reversible { by: Self::GatewayEdit }),
            Self::GatewayDelete => ("gateway delete", Reversible { by: Self::GatewayCreate }),
            Self::VnicCreate => ("vnic create", Reversible { by: Self::VnicDelete }),
            Self::VnicEdit => ("vnic edit", Reversible { by: Self::VnicEdit }),
            Self::VnicDelete => ("vnic delete", Reversible { by: Self::VnicCreate }),
            Self::VhbaCreate => ("vhba create", Reversible { by: Self::VhbaDelete }),
            Self::VhbaEdit => ("vhba edit", Reversible { by: Self::VhbaEdit }),
            Self::VhbaDelete => ("vhba delete", Reversible { by: Self::VhbaCreate }),
            Self::NodeMove => ("node move", Reversible { by: Self::NodeMove }),
            Self::NodeImage => (
                "node image",
                Compensable {
                    by: Self::NodeImage,
                    lost: "what the node runs: it runs it until it restarts, and keeps the floor that it set",
                },
            ),
            Self::NodeBmcSet => (
                "node bmc set",
                Irreversible {
                    why: "history keeps no password",
                    next: "set it again: weft node bmc set NODE, or clear it: weft node bmc clear NODE",
                },
            ),
            Self::NodeBmcClear => (
                "node bmc clear",
                Irreversible {
                    why: "history keeps no password",
                    next: "set it again: weft node bmc set NODE",
                },
            ),
            Self::NodePower => (
                "node power",
                Irreversible {
                    why: "the machine has followed already, and what it held in memory may be gone",
                    next: "see how it stands: weft node power status NODE",
                },
            ),
            Self::VsMove => ("vs move", Reversible { by: Self::VsMove }),
            Self::Apply => (
                "apply",
                Compensable {
                    by: Self::Apply,
                    lost: "what guests held in memory that it started, stopped or deleted, and consoles of deleted ones",
                },
            ),
            Self::ImagePublish => (
                "image publish",
                Irreversible {
                    why: "nodes may run the image already, and what they run must stay known",
                    next: "activate another, or: weft image revoke DIGEST",
                },
            ),
            Self::ImageBios => ("image bios", Reversible { by: Self::ImageBios }),
            Self::ImageActivate => (
                "image activate",
                Compensable {
                    by: Self::ImageActivate,
                    lost: "nodes that booted it meanwhile: they run it until they restart, and keep the floor it set",
                },
            ),
            Self::ImageRevoke => (
                "image revoke",
                Irreversible {
                    why: "nodes that were told refuse the image for good",
                    next: "publish another: weft image publish FILE",
                },
            ),
            Self::BlobUpload => (
                "blob upload",
                Irreversible {
                    why: "servers may use the file already",
                    next: "nothing is to be done: a file that nothing uses only takes room",
                },
            ),
            Self::AccountReset => ("reset-admin", NO_PASSWORDS),
            Self::AccountLocal => ("local-token", NO_PASSWORDS),
            Self::AccountLogin => ("login", NO_PASSWORDS),
            Self::AccountPassword => ("password", NO_PASSWORDS),
            Self::AccountCreate => (
                "account create",
                Irreversible {
                    why: "what the account did meanwhile stays done, and history must name it",
                    next: "delete it: weft account delete NAME",
                },
            ),
            Self::AccountDelete => ("account delete", NO_PASSWORDS),
            Self::AccountRole => (
                "account set-role",
                Irreversible {
                    why: "rights are given and taken by a person who looks at them",
                    next: "set the earlier role: weft account set-role NAME ROLE",
                },
            ),
            Self::AccountSetPassword => ("account set-password", NO_PASSWORDS),
            Self::TokenCreate => (
                "token create",
                Irreversible {
                    why: "somebody may hold the token",
                    next: "revoke it: weft token revoke NAME",
                },
            ),
            Self::TokenRevoke => (
                "token revoke",
                Irreversible { why: "history keeps no token", next: "make another: weft token create NAME" },
            ),
            Self::AuthPolicyAdd => (
                "auth policy add",
                Irreversible {
                    why: "rights are given and taken by a person who looks at them",
                    next: "delete it: weft auth policy delete NAME",
                },
            ),
            Self::AuthPolicyDelete => (
                "auth policy delete",
                Irreversible {
                    why: "rights are given and taken by a person who looks at them",
                    next: "add it again, with the text that weft tx show has of it",
                },
            ),
            Self::Backup => (
                "appliance backup",
                Irreversible {
                    why: "somebody has the file, and the keys in it",
                    next: "delete the file where it lies",
                },
            ),
            Self::Restore => (
                "appliance restore",
                Irreversible {
                    why: "what came after the backup is not here",
                    next: "restore another into an empty folder: weft appliance restore FILE --data DIR",
                },
            ),
        }
    }

    /// As history and the interface call it.
    pub(crate) const fn name(self) -> &'static str {
        self.declared().0
    }

    /// Whether it can be taken back.
    pub(crate) const fn undo(self) -> Undo {
        self.declared().1
    }

    /// Whether nodes hear of it: labels and frames are the appliance's own affair.
    pub(crate) const fn told_to_nodes(self) -> bool {
        !matches!(self, Self::VsLabel | Self::NodeLabel | Self::NodeMove | Self::NodeImage)
    }

    /// By its name in history.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A batch for a transaction of this kind, from now.
    pub(crate) fn batch(self, actor: &str) -> Batch {
        Batch::new(now(), actor, self.name())
    }
}

/// Whether a transaction of this name can be taken back.
pub(crate) fn undo_of(name: &str) -> Undo {
    Kind::of(name).map_or(UNKNOWN, Kind::undo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_listed_once_and_found_by_its_name() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert_eq!(Kind::of(kind.name()), Some(kind), "{}", kind.name());
        }
        assert_eq!(Kind::of("vs teleport"), None);
        assert_eq!(undo_of("vs teleport").word(), "irreversible");
    }

    #[test]
    fn what_is_lost_or_why_nothing_is_given_back_is_said() {
        for kind in Kind::ALL {
            match kind.undo() {
                Undo::Reversible { .. } => {}
                Undo::Compensable { lost, .. } => assert!(!lost.is_empty(), "{}", kind.name()),
                Undo::Irreversible { why, next } => {
                    assert!(!why.is_empty() && !next.is_empty(), "{}", kind.name());
                }
            }
        }
    }
}
