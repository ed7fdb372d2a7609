//! Loading a verified DVMM: ELF segments, first page tables, hand-off; shared by the UEFI and BIOS entries
