//! Model-specific registers. APM volume 2, appendix A; KVM's are those of Linux's
//! `Documentation/virt/kvm/x86/msr.rst`.

macro_rules! msrs {
    ($($(#[$doc:meta])* $name:ident = $value:expr;)*) => { $($(#[$doc])* pub const $name: u32 = $value;)* };
}

msrs! {
    /// Time-stamp counter.
    TSC = 0x10;
    /// APIC base.
    APIC_BASE = 0x1b;
    /// Microcode patch level.
    PATCH_LEVEL = 0x8b;
    /// MTRR capabilities.
    MTRR_CAP = 0xfe;
    /// SYSENTER code segment.
    SYSENTER_CS = 0x174;
    /// SYSENTER stack pointer.
    SYSENTER_ESP = 0x175;
    /// SYSENTER instruction pointer.
    SYSENTER_EIP = 0x176;
    /// Machine-check capabilities.
    MCG_CAP = 0x179;
    /// Page attribute table.
    PAT = 0x277;
    /// MTRR default type.
    MTRR_DEF_TYPE = 0x2ff;
    /// TSC deadline.
    TSC_DEADLINE = 0x6e0;
    /// First x2APIC register.
    X2APIC_FIRST = 0x800;
    /// Last x2APIC register.
    X2APIC_LAST = 0x8ff;
    /// Extended features.
    EFER = 0xc000_0080;
    /// SYSCALL targets.
    STAR = 0xc000_0081;
    /// SYSCALL target in long mode.
    LSTAR = 0xc000_0082;
    /// SYSCALL target in compatibility mode.
    CSTAR = 0xc000_0083;
    /// SYSCALL flag mask.
    SFMASK = 0xc000_0084;
    /// FS base.
    FS_BASE = 0xc000_0100;
    /// GS base.
    GS_BASE = 0xc000_0101;
    /// Swapped GS base.
    KERNEL_GS_BASE = 0xc000_0102;
    /// Auxiliary TSC value.
    TSC_AUX = 0xc000_0103;
    /// Hardware configuration.
    HWCR = 0xc001_0015;
    /// SVM control; bit 4 (SVMDIS) locks SVM out.
    VM_CR = 0xc001_0114;
    /// Physical address of the host save area.
    VM_HSAVE_PA = 0xc001_0117;
    /// KVM wall clock page.
    KVM_WALL_CLOCK_NEW = 0x4b56_4d00;
    /// KVM system time page.
    KVM_SYSTEM_TIME_NEW = 0x4b56_4d01;
}
