//! Bits of control registers, EFER, RFLAGS, page-table entries and page-fault error codes.

macro_rules! bits {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => { $($(#[$doc])* pub const $name: u64 = 1 << $bit;)* };
}

bits! {
    /// Protected mode.
    CR0_PE = 0;
    /// Monitor coprocessor.
    CR0_MP = 1;
    /// Emulate x87.
    CR0_EM = 2;
    /// Task switched.
    CR0_TS = 3;
    /// Extension type.
    CR0_ET = 4;
    /// Numeric error.
    CR0_NE = 5;
    /// Write protect.
    CR0_WP = 16;
    /// Not write-through.
    CR0_NW = 29;
    /// Cache disable.
    CR0_CD = 30;
    /// Paging.
    CR0_PG = 31;
    /// The counter is the supervisor's alone.
    CR4_TSD = 2;
    /// Page size extensions.
    CR4_PSE = 4;
    /// Physical address extensions.
    CR4_PAE = 5;
    /// Machine check.
    CR4_MCE = 6;
    /// Global pages.
    CR4_PGE = 7;
    /// FXSAVE.
    CR4_OSFXSR = 9;
    /// SIMD exceptions.
    CR4_OSXMMEXCPT = 10;
    /// Five-level paging.
    CR4_LA57 = 12;
    /// FSGSBASE.
    CR4_FSGSBASE = 16;
    /// Process-context identifiers.
    CR4_PCIDE = 17;
    /// XSAVE.
    CR4_OSXSAVE = 18;
    /// Supervisor mode execution prevention.
    CR4_SMEP = 20;
    /// Supervisor mode access prevention.
    CR4_SMAP = 21;
    /// System calls.
    EFER_SCE = 0;
    /// Long mode enable.
    EFER_LME = 8;
    /// Long mode active.
    EFER_LMA = 10;
    /// No-execute.
    EFER_NXE = 11;
    /// SVM enable.
    EFER_SVME = 12;
    /// Carry.
    RFLAGS_CF = 0;
    /// Always one.
    RFLAGS_FIXED = 1;
    /// Trap.
    RFLAGS_TF = 8;
    /// Interrupts.
    RFLAGS_IF = 9;
    /// Direction.
    RFLAGS_DF = 10;
    /// Alignment check; with SMAP, lets the supervisor touch user pages.
    RFLAGS_AC = 18;
    /// Present.
    PTE_P = 0;
    /// Writable.
    PTE_W = 1;
    /// User.
    PTE_U = 2;
    /// Write-through.
    PTE_PWT = 3;
    /// Cache disable.
    PTE_PCD = 4;
    /// Accessed.
    PTE_A = 5;
    /// Dirty.
    PTE_D = 6;
    /// Large page.
    PTE_PS = 7;
    /// Global.
    PTE_G = 8;
    /// No-execute.
    PTE_NX = 63;
    /// Page fault: protection violation, not a missing page.
    PF_PRESENT = 0;
    /// Page fault: a write.
    PF_WRITE = 1;
    /// Page fault: in user mode.
    PF_USER = 2;
    /// Page fault: a reserved bit.
    PF_RESERVED = 3;
    /// Page fault: a fetch.
    PF_FETCH = 4;
}

/// Physical address within a page-table entry.
pub const PTE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
