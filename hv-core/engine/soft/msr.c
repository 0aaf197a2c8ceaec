/*
 * Model-specific registers, as one table by number; RDTSC, RDTSCP, RDPID, RDPMC. A register in no
 * row is #GP and, once a number, a line in the log. Intel SDM vol. 4; AMD64 manual vol. 2 appendix
 * A.
 *
 * Not modelled: performance counters, last-branch records, machine-check banks (they read as
 * empty), DEBUGCTL (only 0 can be written).
 */
#include "base/log.h"
#include "cpu/pvclock.h"
#include "engine/soft/fpu.h"
#include "engine/soft/mmu.h"
#include "engine/soft/system.h"
#include "engine/soft/turn.h"

#define MCG_BANKS 10u
#define MTRRCAP (0x500u | X86_MTRR_VAR) /* write-combining, fixed ranges */

/* Each returns false for #GP. n: the register's number minus the row's first. */
typedef bool (*read_fn)(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret);
typedef bool (*write_fn)(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x);

enum msr_check {
	ANY,
	CANONICAL, /* else #GP */
	LOW32,	   /* bits 32-63 must be 0 */
};

struct msr_row {
	uint32_t first, last;
	uint16_t off;  /* in struct x86_state: where read and write are NULL */
	uint8_t check; /* enum msr_check */
	read_fn read;
	write_fn write;
};

static bool never_read(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr, (void)n, (void)ret;
	return false;
}

static bool never_write(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr, (void)n, (void)x;
	return false;
}

static bool read_zero(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr, (void)n;
	*ret = 0;
	return true;
}

static bool write_ignored(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr, (void)n, (void)x;
	return true;
}

/* ---- time ---- */

uint64_t sys_tsc(struct soft_vcpu *v)
{
	if (v->turns || !v->fpu->clock_keeps)
		soft_fpu_park(v);
	if (v->turns)
		soft_turn_sync(v);
	return hv_clock_tsc(v->hv->vm->clock) + v->s.tsc_offset;
}

static bool read_tsc(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = sys_tsc(v);
	return true;
}

static void set_tsc_offset(struct soft_vcpu *v, uint64_t offset)
{
	v->s.tsc_offset = offset;
	soft_outside_begin(v);
	hv_vcpu_tsc_moved(v->hv, offset);
	if (v->s.kvmclock_system_time & 1)
		hv_pvclock_set_system_time(v->hv, v->s.kvmclock_system_time, offset);
	soft_outside_end(v);
}

static bool write_tsc(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	uint64_t delta = x - sys_tsc(v);

	(void)msr, (void)n;
	v->s.tsc_adjust += delta;
	set_tsc_offset(v, v->s.tsc_offset + delta);
	return true;
}

static bool write_tsc_adjust(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	set_tsc_offset(v, v->s.tsc_offset + x - v->s.tsc_adjust);
	v->s.tsc_adjust = x;
	return true;
}

static bool read_tsc_aux(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = v->s.tsc_aux;
	return sys_has(v, CPU_F_RDTSCP) || sys_has(v, CPU_F_RDPID);
}

static bool write_tsc_aux(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	if (x >> 32 || !(sys_has(v, CPU_F_RDTSCP) || sys_has(v, CPU_F_RDPID)))
		return false;
	v->s.tsc_aux = x;
	return true;
}

static bool write_kvmclock(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	v->s.kvmclock_system_time = x;
	soft_outside_begin(v);
	hv_pvclock_set_system_time(v->hv, x, v->s.tsc_offset);
	soft_outside_end(v);
	return true;
}

static bool write_kvm_wall(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	v->s.kvmclock_wall = x;
	soft_outside_begin(v);
	hv_pvclock_set_wall(v->hv, x);
	soft_outside_end(v);
	return true;
}

/* ---- LAPIC ---- */

static bool read_lapic(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)n;
	if (v->hv->lapic == NULL)
		return false;
	v->stats.lapic++;
	soft_outside_begin(v);
	int r = v->hv->lapic->msr_read(v->hv->lapic_ctx, msr, ret);

	soft_outside_end(v);
	return r == 0;
}

static bool write_lapic(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)n;
	if (v->hv->lapic == NULL)
		return false;
	v->stats.lapic++;
	soft_outside_begin(v);
	int r = v->hv->lapic->msr_write(v->hv->lapic_ctx, msr, x);

	soft_outside_end(v);
	if (r != 0)
		return false;
	if (msr == X86_MSR_APIC_BASE) {
		v->s.apic_base = x;
		soft_phys_flush(v); /* a page of RAM may lie under it now, or be free again */
	} else if (msr == X86_MSR_TSC_DEADLINE) {
		v->s.tsc_deadline = x;
	}
	return true;
}

/* ---- EFER ---- */

static bool has_autoibrs(const struct soft_vcpu *v)
{
	const struct cpu_model *m = sys_model(v);

	for (uint32_t n = 0; n < m->n_leaves; n++)
		if (m->leaves[n].leaf == 0x80000021)
			return m->leaves[n].eax >> 8 & 1;
	return false;
}

static bool write_efer(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	uint64_t old = v->s.efer, allowed = X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA;

	(void)msr, (void)n;
	if (sys_has(v, CPU_F_NX))
		allowed |= X86_EFER_NXE;
	if (has_autoibrs(v))
		allowed |= 1u << 21;
	if (x & ~allowed)
		return false;
	if (((old ^ x) & X86_EFER_LME) && (v->s.cr0 & X86_CR0_PG))
		return false;
	v->s.efer = (x & ~(uint64_t)X86_EFER_LMA) | (old & X86_EFER_LMA);
	if ((old ^ x) & X86_EFER_NXE)
		soft_tlb_flush_all(v);
	return true;
}

/* ---- memory types ---- */

static bool type_ok(uint64_t t)
{
	return t == 0 || t == 1 || (t >= 4 && t <= 6);
}

static uint64_t beyond_phys(const struct soft_vcpu *v)
{
	return ~((1ull << sys_model(v)->phys_bits) - 1);
}

static bool read_mtrr_cap(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr, (void)n;
	*ret = MTRRCAP;
	return true;
}

static bool read_mtrr_var(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr;
	*ret = n & 1 ? v->s.mtrr_var_mask[n / 2] : v->s.mtrr_var_base[n / 2];
	return true;
}

static bool write_mtrr_var(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr;
	if (x & beyond_phys(v))
		return false;
	if (n & 1) {
		if (x & 0x7ff)
			return false;
		v->s.mtrr_var_mask[n / 2] = x;
		return true;
	}
	if ((x & 0xf00) || !type_ok(x & 0xff))
		return false;
	v->s.mtrr_var_base[n / 2] = x;
	return true;
}

/* Index in mtrr_fixed: 64K, two of 16K, eight of 4K. */
static unsigned fixed_index(uint32_t msr, unsigned n)
{
	if (msr == X86_MSR_MTRR_FIX64K_00000)
		return 0;
	return msr < X86_MSR_MTRR_FIX4K_C0000 ? 1 + n : 3 + n;
}

static bool read_mtrr_fixed(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	*ret = v->s.mtrr_fixed[fixed_index(msr, n)];
	return true;
}

static bool write_mtrr_fixed(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	for (unsigned b = 0; b < 64; b += 8)
		if (!type_ok(x >> b & 0xff))
			return false;
	v->s.mtrr_fixed[fixed_index(msr, n)] = x;
	return true;
}

static bool write_mtrr_def(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	if ((x & ~0xcffull) || !type_ok(x & 0xff))
		return false;
	v->s.mtrr_def_type = x;
	return true;
}

static bool write_pat(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	for (unsigned b = 0; b < 64; b += 8)
		if (!type_ok(x >> b & 0xff) && (x >> b & 0xff) != 7)
			return false;
	v->s.pat = x;
	return true;
}

/* ---- identification and features ---- */

static bool read_microcode(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = sys_model(v)->amd ? 0x01000065 : 0x100000000ull;
	return true;
}

static bool read_platform_info(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = (sys_model(v)->tsc_hz / 100000000 & 0xff) << 8; /* ratio to 100 MHz */
	return true;
}

static bool read_feature_control(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr, (void)n;
	*ret = 1; /* locked, nothing enabled */
	return true;
}

static bool read_arch_caps(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = sys_model(v)->arch_capabilities;
	return true;
}

static bool write_spec_ctrl(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)msr, (void)n;
	if (x & ~(uint64_t)sys_model(v)->spec_ctrl_mask)
		return false;
	v->s.spec_ctrl = x;
	return true;
}

static bool write_pred_cmd(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr, (void)n;
	return (x & ~0x81ull) == 0; /* IBPB, SBPB */
}

static bool write_flush_cmd(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr, (void)n;
	return (x & ~1ull) == 0;
}

static bool write_misc_enable(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	uint64_t fixed = 1u << 11 | 1u << 12; /* no BTS, no PEBS */

	(void)msr, (void)n;
	v->s.misc_enable = (x & ~fixed) | fixed;
	return true;
}

static bool write_zero_only(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr, (void)n;
	return x == 0;
}

/* ---- machine check ---- */

static bool read_mcg_cap(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr, (void)n;
	*ret = MCG_BANKS | 1u << 8; /* MCG_CTL is there */
	return true;
}

static bool read_bank(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)v, (void)msr;
	*ret = n % 4 == 0 ? ~0ull : 0; /* CTL; STATUS, ADDR, MISC */
	return true;
}

static bool write_bank(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t x)
{
	(void)v, (void)msr;
	return n % 4 == 0 || x == 0;
}

/* ---- AMD ---- */

static bool read_hwcr(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = 1u << 24; /* the TSC counts at the P0 frequency */
	return sys_model(v)->amd;
}

static bool read_de_cfg(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = 2; /* LFENCE is serializing */
	return sys_model(v)->amd;
}

static bool read_bbl_cr_ctl3(struct soft_vcpu *v, uint32_t msr, unsigned n, uint64_t *ret)
{
	(void)msr, (void)n;
	*ret = 0xbe702111; /* an enabled second-level cache, as old Windows wants to see */
	return !sys_model(v)->amd;
}

#define AT(member) .off = offsetof(struct x86_state, member)
#define ONE(n) .first = (n), .last = (n)
#define RANGE(a, b) .first = (a), .last = (b)
#define IGNORED .read = read_zero, .write = write_ignored

static const struct msr_row rows[] = {
	{ ONE(X86_MSR_TSC), .read = read_tsc, .write = write_tsc },
	{ ONE(X86_MSR_PLATFORM_ID), .read = read_zero, .write = never_write },
	{ ONE(X86_MSR_APIC_BASE), .read = read_lapic, .write = write_lapic },
	{ ONE(X86_MSR_FEATURE_CONTROL), .read = read_feature_control, .write = never_write },
	{ ONE(X86_MSR_TSC_ADJUST), AT(tsc_adjust), .write = write_tsc_adjust },
	{ ONE(X86_MSR_SPEC_CTRL), AT(spec_ctrl), .write = write_spec_ctrl },
	{ ONE(X86_MSR_PRED_CMD), .read = never_read, .write = write_pred_cmd },
	{ ONE(X86_MSR_BIOS_SIGN_ID), .read = read_microcode, .write = write_ignored },
	{ ONE(X86_MSR_PLATFORM_INFO), .read = read_platform_info, .write = never_write },
	{ ONE(X86_MSR_MTRRCAP), .read = read_mtrr_cap, .write = never_write },
	{ ONE(X86_MSR_ARCH_CAPABILITIES), .read = read_arch_caps, .write = never_write },
	{ ONE(X86_MSR_FLUSH_CMD), .read = never_read, .write = write_flush_cmd },
	{ ONE(X86_MSR_SYSENTER_CS), AT(sysenter_cs) },
	{ ONE(X86_MSR_SYSENTER_ESP), AT(sysenter_esp), .check = CANONICAL },
	{ ONE(X86_MSR_SYSENTER_EIP), AT(sysenter_eip), .check = CANONICAL },
	{ ONE(X86_MSR_MCG_CAP), .read = read_mcg_cap, .write = never_write },
	{ ONE(X86_MSR_MCG_STATUS), AT(mcg_status), .write = write_zero_only },
	{ ONE(X86_MSR_MCG_CTL), AT(mcg_ctl) },
	{ ONE(X86_MSR_MISC_ENABLE), AT(misc_enable), .write = write_misc_enable },
	{ ONE(X86_MSR_DEBUGCTL), .read = read_zero, .write = write_zero_only },
	{ RANGE(X86_MSR_MTRR_PHYSBASE0, X86_MSR_MTRR_PHYSBASE0 + 2 * X86_MTRR_VAR - 1),
	  .read = read_mtrr_var, .write = write_mtrr_var },
	{ ONE(X86_MSR_MTRR_FIX64K_00000), .read = read_mtrr_fixed, .write = write_mtrr_fixed },
	{ RANGE(X86_MSR_MTRR_FIX16K_80000, X86_MSR_MTRR_FIX16K_80000 + 1), .read = read_mtrr_fixed,
	  .write = write_mtrr_fixed },
	{ RANGE(X86_MSR_MTRR_FIX4K_C0000, X86_MSR_MTRR_FIX4K_C0000 + 7), .read = read_mtrr_fixed,
	  .write = write_mtrr_fixed },
	{ ONE(X86_MSR_PAT), AT(pat), .write = write_pat },
	{ ONE(X86_MSR_MTRR_DEF_TYPE), AT(mtrr_def_type), .write = write_mtrr_def },
	{ RANGE(X86_MSR_MC0_CTL, X86_MSR_MC0_CTL + 4 * MCG_BANKS - 1), .read = read_bank,
	  .write = write_bank },
	{ ONE(X86_MSR_TSC_DEADLINE), .read = read_lapic, .write = write_lapic },
	{ RANGE(X86_MSR_X2APIC_FIRST, X86_MSR_X2APIC_LAST), .read = read_lapic,
	  .write = write_lapic },
	{ ONE(X86_MSR_EFER), AT(efer), .write = write_efer },
	{ ONE(X86_MSR_STAR), AT(star) },
	{ ONE(X86_MSR_LSTAR), AT(lstar), .check = CANONICAL },
	{ ONE(X86_MSR_CSTAR), AT(cstar), .check = CANONICAL },
	{ ONE(X86_MSR_SFMASK), AT(sfmask), .check = LOW32 },
	{ ONE(X86_MSR_FS_BASE), AT(seg[X86_FS].base), .check = CANONICAL },
	{ ONE(X86_MSR_GS_BASE), AT(seg[X86_GS].base), .check = CANONICAL },
	{ ONE(X86_MSR_KERNEL_GS_BASE), AT(kernel_gs_base), .check = CANONICAL },
	{ ONE(X86_MSR_KVM_SYSTEM_TIME), AT(kvmclock_system_time), .write = write_kvmclock },
	{ ONE(X86_MSR_KVM_SYSTEM_TIME_OLD), AT(kvmclock_system_time), .write = write_kvmclock },
	{ ONE(X86_MSR_KVM_WALL_CLOCK), AT(kvmclock_wall), .write = write_kvm_wall },
	{ ONE(X86_MSR_KVM_WALL_CLOCK_OLD), AT(kvmclock_wall), .write = write_kvm_wall },
	{ ONE(X86_MSR_TSC_AUX), .read = read_tsc_aux, .write = write_tsc_aux },
	/* Intel's that guests touch without asking */
	{ ONE(0x2a), IGNORED },					   /* EBL_CR_POWERON */
	{ ONE(0x79), .read = never_read, .write = write_ignored }, /* microcode update */
	{ ONE(0xcd), IGNORED },					   /* FSB_FREQ */
	{ ONE(0xe2), IGNORED },					   /* PKG_CST_CONFIG_CONTROL */
	{ ONE(0x11e), .read = read_bbl_cr_ctl3, .write = write_ignored },
	{ RANGE(0x198, 0x19d), IGNORED }, /* PERF_STATUS … THERM2_CTL */
	{ ONE(0x1a2), IGNORED },	  /* TEMPERATURE_TARGET */
	{ ONE(0x1ad), IGNORED },	  /* TURBO_RATIO_LIMIT */
	{ ONE(0x1b0), IGNORED },	  /* ENERGY_PERF_BIAS */
	{ RANGE(0x1db, 0x1de), IGNORED }, /* last branch, last exception */
	{ ONE(0x1fc), IGNORED },	  /* POWER_CTL */
	{ ONE(0x606), IGNORED },	  /* RAPL_POWER_UNIT */
	/* AMD's */
	{ RANGE(0xc0010000, 0xc0010007), IGNORED }, /* K7 performance counters */
	{ ONE(0xc0010010), IGNORED },		    /* SYSCFG */
	{ ONE(0xc0010015), .read = read_hwcr, .write = write_ignored },
	{ RANGE(0xc0010016, 0xc001001d), IGNORED }, /* IORR, TOP_MEM, TOP_MEM2 */
	{ ONE(0xc001001f), IGNORED },		    /* NB_CFG */
	{ ONE(0xc0010020), .read = never_read, .write = write_ignored }, /* PATCH_LOADER */
	{ ONE(0xc0010055), IGNORED },					 /* INT_PENDING_MSG */
	{ ONE(0xc0010058), IGNORED },					 /* MMIO_CONF_BASE */
	{ RANGE(0xc0010061, 0xc001006b), IGNORED },			 /* P-states */
	{ ONE(0xc0010112), IGNORED },					 /* TSEG base */
	{ RANGE(0xc0010114, 0xc0010117), IGNORED },			 /* VM_CR … VM_HSAVE_PA */
	{ RANGE(0xc0010140, 0xc0010141), IGNORED },			 /* OSVW: no known errata */
	{ RANGE(0xc0011004, 0xc0011005), IGNORED }, /* CPUID feature override */
	{ RANGE(0xc0011020, 0xc0011028), IGNORED }, /* LS_CFG, IC_CFG, DC_CFG, … */
	{ ONE(0xc0011029), .read = read_de_cfg, .write = write_ignored },
	{ RANGE(0xc001102a, 0xc001102d), IGNORED }, /* BU_CFG2, LS_CFG2 */
};

static const struct msr_row *find_row(uint32_t msr)
{
	for (unsigned n = 0; n < HV_ARRAY_LEN(rows); n++)
		if (msr >= rows[n].first && msr <= rows[n].last)
			return &rows[n];
	return NULL;
}

static uint64_t *row_reg(struct soft_vcpu *v, const struct msr_row *r)
{
	return (uint64_t *)(void *)((uint8_t *)&v->s + r->off);
}

static bool read_msr(struct soft_vcpu *v, const struct msr_row *r, uint32_t msr, uint64_t *ret)
{
	if (r->read != NULL)
		return r->read(v, msr, msr - r->first, ret);
	*ret = *row_reg(v, r);
	return true;
}

static bool write_msr(struct soft_vcpu *v, const struct msr_row *r, uint32_t msr, uint64_t x)
{
	if (r->write != NULL)
		return r->write(v, msr, msr - r->first, x);
	if ((r->check == CANONICAL && !soft_canonical(x)) || (r->check == LOW32 && x >> 32))
		return false;
	*row_reg(v, r) = x;
	return true;
}

/* One line a number, and not more than a few lines a vCPU: a guest may probe them all. */
static void log_unknown(struct soft_vcpu *v, uint32_t msr, bool write)
{
	struct soft_sys *s = &v->sys;

	for (unsigned n = 0; n < s->n_msrs_logged; n++)
		if (s->msrs_logged[n] == msr)
			return;
	if (s->n_msrs_logged == HV_ARRAY_LEN(s->msrs_logged))
		return;
	s->msrs_logged[s->n_msrs_logged++] = msr;
	soft_fpu_park(v);
	log_msg(LOG_LVL_WARN, "soft", "vcpu%u: %s of unknown MSR 0x%x at 0x%llx", v->hv->index,
		write ? "write" : "read", msr, (unsigned long long)v->cur->ip);
}

static void rdmsr(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t msr = (uint32_t)v->s.gpr[X86_RCX];
	const struct msr_row *r = find_row(msr);
	uint64_t x = 0;
	bool ok;

	(void)i;
	sys_need_cpl0(v);
	v->stats.msr++;
	ok = r != NULL && read_msr(v, r, msr, &x);
	if (r == NULL)
		log_unknown(v, msr, false);
	if (!ok)
		soft_raise_err(v, X86_EXC_GP, 0);
	v->s.gpr[X86_RAX] = (uint32_t)x;
	v->s.gpr[X86_RDX] = x >> 32;
}

static void wrmsr(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t msr = (uint32_t)v->s.gpr[X86_RCX];
	uint64_t x = (uint32_t)v->s.gpr[X86_RAX] | v->s.gpr[X86_RDX] << 32;
	const struct msr_row *r = find_row(msr);
	bool ok;

	sys_need_cpl0(v);
	v->stats.msr++;
	ok = r != NULL && write_msr(v, r, msr, x);
	if (r == NULL)
		log_unknown(v, msr, true);
	if (!ok)
		soft_raise_err(v, X86_EXC_GP, 0);
	sys_done(v, i);
	if (msr == X86_MSR_EFER)
		soft_mode_changed(v);
}

/* ---- RDTSC and its kin ---- */

static void need_tsc(struct soft_vcpu *v)
{
	if ((v->s.cr4 & X86_CR4_TSD) && v->s.cpl != 0)
		soft_raise_err(v, X86_EXC_GP, 0);
}

static void rdtsc(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t tsc;

	need_tsc(v);
	tsc = sys_tsc(v);
	v->s.gpr[X86_RAX] = (uint32_t)tsc;
	v->s.gpr[X86_RDX] = tsc >> 32;
	if (i->cc) /* RDTSCP */
		v->s.gpr[X86_RCX] = (uint32_t)v->s.tsc_aux;
}

static void rdpid(struct soft_vcpu *v, const struct insn *i)
{
	SOFT_R64(v, i->dst) = (uint32_t)v->s.tsc_aux;
}

/* There are no counters. */
static void rdpmc(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	soft_raise_err(v, X86_EXC_GP, 0);
}

SYS_SELECTOR(msr)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_RDMSR:
		i->fn = rdmsr;
		return true;
	case ZYDIS_MNEMONIC_WRMSR:
		i->fn = wrmsr;
		i->flags |= INSN_END;
		return true;
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
		i->fn = rdtsc;
		i->cc = d->z.mnemonic == ZYDIS_MNEMONIC_RDTSCP;
		return !i->cc || sys_has(d->v, CPU_F_RDTSCP);
	case ZYDIS_MNEMONIC_RDPID:
		i->fn = rdpid;
		i->dst = decode_reg(d->op[0].reg.value);
		return sys_has(d->v, CPU_F_RDPID);
	default:
		i->fn = rdpmc;
		return true;
	}
}
