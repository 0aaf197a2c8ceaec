/* Bits, vectors and MSR numbers of the architecture that more than one file speaks of. */
#ifndef CPU_X86_DEFS_H
#define CPU_X86_DEFS_H

/* RFLAGS */
#define X86_FL_CF 0x1u
#define X86_FL_FIXED 0x2u
#define X86_FL_PF 0x4u
#define X86_FL_AF 0x10u
#define X86_FL_ZF 0x40u
#define X86_FL_SF 0x80u
#define X86_FL_TF 0x100u
#define X86_FL_IF 0x200u
#define X86_FL_DF 0x400u
#define X86_FL_OF 0x800u
#define X86_FL_IOPL 0x3000u
#define X86_FL_NT 0x4000u
#define X86_FL_RF 0x10000u
#define X86_FL_VM 0x20000u
#define X86_FL_AC 0x40000u
#define X86_FL_VIF 0x80000u
#define X86_FL_VIP 0x100000u
#define X86_FL_ID 0x200000u
#define X86_FL_STATUS (X86_FL_CF | X86_FL_PF | X86_FL_AF | X86_FL_ZF | X86_FL_SF | X86_FL_OF)

/* CR0 */
#define X86_CR0_PE 0x1u
#define X86_CR0_MP 0x2u
#define X86_CR0_EM 0x4u
#define X86_CR0_TS 0x8u
#define X86_CR0_ET 0x10u
#define X86_CR0_NE 0x20u
#define X86_CR0_WP 0x10000u
#define X86_CR0_AM 0x40000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

/* CR4 */
#define X86_CR4_VME 0x1u
#define X86_CR4_PVI 0x2u
#define X86_CR4_TSD 0x4u
#define X86_CR4_DE 0x8u
#define X86_CR4_PSE 0x10u
#define X86_CR4_PAE 0x20u
#define X86_CR4_MCE 0x40u
#define X86_CR4_PGE 0x80u
#define X86_CR4_PCE 0x100u
#define X86_CR4_OSFXSR 0x200u
#define X86_CR4_OSXMMEXCPT 0x400u
#define X86_CR4_UMIP 0x800u
#define X86_CR4_FSGSBASE 0x10000u
#define X86_CR4_PCIDE 0x20000u
#define X86_CR4_OSXSAVE 0x40000u
#define X86_CR4_SMEP 0x100000u
#define X86_CR4_SMAP 0x200000u

/* EFER */
#define X86_EFER_SCE 0x1u
#define X86_EFER_LME 0x100u
#define X86_EFER_LMA 0x400u
#define X86_EFER_NXE 0x800u

/* Segment attributes, as in struct x86_seg_state */
#define X86_SEG_TYPE 0xfu
#define X86_SEG_ACCESSED 0x1u
#define X86_SEG_RW 0x2u /* data: writable; code: readable */
#define X86_SEG_DC 0x4u /* data: expand down; code: conforming */
#define X86_SEG_CODE 0x8u
#define X86_SEG_S 0x10u
#define X86_SEG_DPL_SHIFT 5
#define X86_SEG_P 0x80u
#define X86_SEG_AVL 0x1000u
#define X86_SEG_L 0x2000u
#define X86_SEG_DB 0x4000u
#define X86_SEG_G 0x8000u

/* Exception vectors */
/* clang-format off */
enum x86_vector {
	X86_EXC_DE = 0, X86_EXC_DB = 1, X86_EXC_NMI = 2, X86_EXC_BP = 3, X86_EXC_OF = 4,
	X86_EXC_BR = 5, X86_EXC_UD = 6, X86_EXC_NM = 7, X86_EXC_DF = 8, X86_EXC_TS = 10,
	X86_EXC_NP = 11, X86_EXC_SS = 12, X86_EXC_GP = 13, X86_EXC_PF = 14, X86_EXC_MF = 16,
	X86_EXC_AC = 17, X86_EXC_MC = 18, X86_EXC_XM = 19,
};
/* clang-format on */

/* #PF error code */
#define X86_PF_P 0x1u
#define X86_PF_W 0x2u
#define X86_PF_U 0x4u
#define X86_PF_RSVD 0x8u
#define X86_PF_I 0x10u

/* MSRs */
#define X86_MSR_TSC 0x10u
#define X86_MSR_PLATFORM_ID 0x17u
#define X86_MSR_APIC_BASE 0x1bu
#define X86_MSR_FEATURE_CONTROL 0x3au
#define X86_MSR_TSC_ADJUST 0x3bu
#define X86_MSR_SPEC_CTRL 0x48u
#define X86_MSR_PRED_CMD 0x49u
#define X86_MSR_BIOS_SIGN_ID 0x8bu
#define X86_MSR_PLATFORM_INFO 0xceu
#define X86_MSR_MTRRCAP 0xfeu
#define X86_MSR_ARCH_CAPABILITIES 0x10au
#define X86_MSR_FLUSH_CMD 0x10bu
#define X86_MSR_SYSENTER_CS 0x174u
#define X86_MSR_SYSENTER_ESP 0x175u
#define X86_MSR_SYSENTER_EIP 0x176u
#define X86_MSR_MCG_CAP 0x179u
#define X86_MSR_MCG_STATUS 0x17au
#define X86_MSR_MCG_CTL 0x17bu
#define X86_MSR_MISC_ENABLE 0x1a0u
#define X86_MSR_DEBUGCTL 0x1d9u
#define X86_MSR_MTRR_PHYSBASE0 0x200u
#define X86_MSR_MTRR_FIX64K_00000 0x250u
#define X86_MSR_MTRR_FIX16K_80000 0x258u
#define X86_MSR_MTRR_FIX4K_C0000 0x268u
#define X86_MSR_PAT 0x277u
#define X86_MSR_MTRR_DEF_TYPE 0x2ffu
#define X86_MSR_MC0_CTL 0x400u
#define X86_MSR_TSC_DEADLINE 0x6e0u
#define X86_MSR_X2APIC_FIRST 0x800u
#define X86_MSR_X2APIC_LAST 0x8ffu
#define X86_MSR_EFER 0xc0000080u
#define X86_MSR_STAR 0xc0000081u
#define X86_MSR_LSTAR 0xc0000082u
#define X86_MSR_CSTAR 0xc0000083u
#define X86_MSR_SFMASK 0xc0000084u
#define X86_MSR_FS_BASE 0xc0000100u
#define X86_MSR_GS_BASE 0xc0000101u
#define X86_MSR_KERNEL_GS_BASE 0xc0000102u
#define X86_MSR_TSC_AUX 0xc0000103u
#define X86_MSR_KVM_WALL_CLOCK 0x4b564d00u
#define X86_MSR_KVM_SYSTEM_TIME 0x4b564d01u
#define X86_MSR_KVM_WALL_CLOCK_OLD 0x11u
#define X86_MSR_KVM_SYSTEM_TIME_OLD 0x12u
#endif
