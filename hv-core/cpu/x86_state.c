/*
 * The engine-neutral vCPU state: its table, the values after RESET, INIT and SIPI (Intel SDM vol. 3
 * table 10-1, AMD APM vol. 2 table 14-1), and what no CPU can hold and no loader may accept.
 */
#include "cpu/x86_state.h"
#include "cpu/x86_defs.h"

#define XSAVE_FCW 0
#define XSAVE_FTW 4
#define XSAVE_MXCSR 24
#define XSAVE_HEADER 512
#define MXCSR_DEFAULT 0x1f80u
#define PAT_DEFAULT 0x0007040600070406ull
#define APIC_BASE_DEFAULT 0xfee00800ull
#define APIC_BASE_BSP 0x100ull

static const struct state_desc seg_state = {
	.name = "seg",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct x86_seg_state),
	.fields =
		(const struct state_field[]){
			STATE(struct x86_seg_state, base),
			STATE(struct x86_seg_state, limit),
			STATE(struct x86_seg_state, sel),
			STATE(struct x86_seg_state, attr),
			STATE_END,
		},
};

/* ---- after RESET, INIT, SIPI ---- */

static void set_seg(struct x86_state *s, enum x86_seg seg, uint16_t type)
{
	s->seg[seg] = (struct x86_seg_state){ .limit = 0xffff, .attr = type };
}

static void put32(struct x86_state *s, unsigned off, uint32_t v)
{
	memcpy(s->xsave + off, &v, sizeof(v));
}

/* What RESET and INIT have in common. */
static void common_reset(struct x86_state *s, bool is_bsp)
{
	memset(s->gpr, 0, sizeof(s->gpr));
	s->gpr[X86_RDX] = 0x600; /* family 6 */
	s->rip = 0xfff0;
	s->rflags = X86_FL_FIXED;
	for (int i = 0; i < X86_LDTR; i++)
		set_seg(s, (enum x86_seg)i, X86_SEG_P | X86_SEG_S | X86_SEG_RW | X86_SEG_ACCESSED);
	s->seg[X86_CS].sel = 0xf000;
	s->seg[X86_CS].base = 0xffff0000;
	s->seg[X86_CS].attr |= X86_SEG_CODE;
	set_seg(s, X86_LDTR, X86_SEG_P | 2);
	set_seg(s, X86_TR, X86_SEG_P | 11);
	s->gdt_base = s->idt_base = 0;
	s->gdt_limit = s->idt_limit = 0xffff;
	s->cpl = 0;
	s->mp_state = is_bsp ? X86_MP_RUNNING : X86_MP_WAIT_SIPI;
	s->nmi_pending = s->nmi_masked = s->sti_shadow = s->movss_shadow = 0;
	s->exc_pending = s->exc_vector = s->exc_has_error = s->exc_kind = 0;
	s->exc_error = 0;
	s->exc_cr2_or_dr6 = 0;
	s->cr2 = s->cr3 = s->cr4 = s->cr8 = 0;
	memset(s->dr, 0, sizeof(s->dr));
	s->dr6 = 0xffff0ff0;
	s->dr7 = 0x400;
	s->efer = 0;
	s->debugctl = 0;
	s->mcg_status = 0;
}

void x86_state_reset(struct x86_state *s, bool is_bsp)
{
	memset(s, 0, sizeof(*s));
	common_reset(s, is_bsp);
	s->cr0 = X86_CR0_CD | X86_CR0_NW | X86_CR0_ET;
	s->xcr0 = 1;
	s->apic_base = APIC_BASE_DEFAULT | (is_bsp ? APIC_BASE_BSP : 0);
	s->pat = PAT_DEFAULT;
	s->misc_enable = 1; /* fast string operations */
	put32(s, XSAVE_FCW, 0x40);
	s->xsave[XSAVE_FTW] = 0xff; /* eight zeros, none empty */
	put32(s, XSAVE_MXCSR, MXCSR_DEFAULT);
	s->xsave[XSAVE_HEADER] = 3; /* x87 and SSE as stored here, AVX initial */
}

void x86_state_init(struct x86_state *s, bool is_bsp)
{
	uint64_t cache = s->cr0 & (X86_CR0_CD | X86_CR0_NW);

	common_reset(s, is_bsp);
	s->cr0 = cache | X86_CR0_ET;
}

void x86_state_sipi(struct x86_state *s, uint8_t vector)
{
	s->seg[X86_CS].sel = (uint16_t)(vector << 8);
	s->seg[X86_CS].base = (uint64_t)vector << 12;
	s->rip = 0;
	s->mp_state = X86_MP_RUNNING;
}

/* ---- what a loaded state may be ---- */

#define RFLAGS_VALID                                                                               \
	(X86_FL_STATUS | X86_FL_TF | X86_FL_IF | X86_FL_DF | X86_FL_IOPL | X86_FL_NT | X86_FL_RF | \
	 X86_FL_VM | X86_FL_AC | X86_FL_VIF | X86_FL_VIP | X86_FL_ID | X86_FL_FIXED)
#define CR0_VALID                                                                                  \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE |             \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define CR4_VALID                                                                                  \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |        \
	 X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |           \
	 X86_CR4_UMIP | X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE | X86_CR4_SMEP |        \
	 X86_CR4_SMAP)
#define EFER_VALID (X86_EFER_SCE | X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE)

static int bad(struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "x86: %s is not what a CPU can hold", what);
}

static bool canonical(uint64_t a)
{
	return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static int check_flags(const struct x86_state *s, struct err *e)
{
	if (s->cpl > 3 || s->mp_state > X86_MP_SHUTDOWN || s->exc_kind > 3)
		return bad(e, "cpl, mp_state or exc_kind");
	if ((s->nmi_pending | s->nmi_masked | s->sti_shadow | s->movss_shadow | s->a20_masked |
	     s->exc_pending | s->exc_has_error) > 1)
		return bad(e, "a flag");
	if ((s->rflags & ~(uint64_t)RFLAGS_VALID) || !(s->rflags & X86_FL_FIXED))
		return bad(e, "rflags");
	return 0;
}

static int check_control(const struct x86_state *s, struct err *e)
{
	bool paging = s->cr0 & X86_CR0_PG, pe = s->cr0 & X86_CR0_PE;
	bool lma = s->efer & X86_EFER_LMA, lme = s->efer & X86_EFER_LME;

	if ((s->cr0 & ~(uint64_t)CR0_VALID) || (paging && !pe) ||
	    ((s->cr0 & X86_CR0_NW) && !(s->cr0 & X86_CR0_CD)))
		return bad(e, "cr0");
	if (s->cr4 & ~(uint64_t)CR4_VALID)
		return bad(e, "cr4");
	if ((s->efer & ~(uint64_t)EFER_VALID) || lma != (lme && paging) ||
	    (lma && !(s->cr4 & X86_CR4_PAE)) || ((s->cr4 & X86_CR4_PCIDE) && !lma))
		return bad(e, "efer");
	if (s->cr3 >> 52 || s->cr8 > 15)
		return bad(e, "cr3 or cr8");
	if (s->dr6 >> 32 || s->dr7 >> 32)
		return bad(e, "dr6 or dr7");
	if (!(s->xcr0 & 1) || s->xcr0 & ~7ull || (s->xcr0 & 6) == 4)
		return bad(e, "xcr0");
	if ((s->rflags & X86_FL_VM) && (!pe || s->cpl != 3))
		return bad(e, "virtual-8086 mode");
	if (!pe && s->cpl != 0)
		return bad(e, "real mode's privilege");
	if (pe && s->mp_state == X86_MP_WAIT_SIPI) /* INIT leaves real mode */
		return bad(e, "mp_state");
	return 0;
}

static int check_segments(const struct x86_state *s, struct err *e)
{
	const uint16_t valid = X86_SEG_TYPE | X86_SEG_S | 3 << X86_SEG_DPL_SHIFT | X86_SEG_P |
			       X86_SEG_AVL | X86_SEG_L | X86_SEG_DB | X86_SEG_G;

	for (int i = 0; i < X86_NSEGS; i++)
		if ((s->seg[i].attr & ~valid) || !canonical(s->seg[i].base))
			return bad(e, "a segment");
	if (!canonical(s->gdt_base) || !canonical(s->idt_base))
		return bad(e, "gdtr or idtr");
	return 0;
}

/* Memory types 0, 1, 4, 5, 6, and (PAT only) 7. */
static bool memory_type(uint8_t t, bool pat)
{
	return t == 0 || t == 1 || (t >= 4 && t <= (pat ? 7 : 6));
}

static int check_msrs(const struct x86_state *s, struct err *e)
{
	for (int i = 0; i < 8; i++)
		if (!memory_type(s->pat >> (i * 8) & 0xff, true))
			return bad(e, "pat");
	if (s->mtrr_def_type & ~0xcffull || !memory_type(s->mtrr_def_type & 0xff, false))
		return bad(e, "mtrr_def_type");
	if (!canonical(s->lstar) || !canonical(s->cstar) || !canonical(s->kernel_gs_base) ||
	    !canonical(s->sysenter_esp) || !canonical(s->sysenter_eip))
		return bad(e, "an address in an MSR");
	if (s->apic_base >> 52 || s->apic_base & 0x2ff || (s->apic_base & 0xc00) == 0x400)
		return bad(e, "apic_base");
	if (s->tsc_aux >> 32 || s->sfmask >> 32)
		return bad(e, "tsc_aux or sfmask");
	return 0;
}

/* What XRSTOR would refuse. */
static int check_xsave(const struct x86_state *s, struct err *e)
{
	uint64_t head[8];
	uint32_t mxcsr;

	memcpy(&mxcsr, s->xsave + XSAVE_MXCSR, sizeof(mxcsr));
	memcpy(head, s->xsave + XSAVE_HEADER, sizeof(head));
	if (mxcsr >> 16 || head[0] & ~7ull)
		return bad(e, "xsave");
	for (int i = 1; i < 8; i++)
		if (head[i] != 0)
			return bad(e, "xsave");
	return 0;
}

static int x86_post_load(void *obj, struct err *e)
{
	static int (*const checks[])(const struct x86_state *s, struct err *e) = {
		check_flags, check_control, check_segments, check_msrs, check_xsave,
	};

	for (size_t i = 0; i < HV_ARRAY_LEN(checks); i++) {
		int r = checks[i](obj, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void x86_init(void *obj)
{
	x86_state_reset(obj, true);
}

#define S(m) STATE(struct x86_state, m)
#define A(m) STATE_ARRAY(struct x86_state, m)
const struct state_desc x86_state_desc = {
	.name = "x86",
	.version = 1,
	.min_version = 1,
	.size = sizeof(struct x86_state),
	.init = x86_init,
	.post_load = x86_post_load,
	/* clang-format off */
	.fields = (const struct state_field[]){
		A(gpr), S(rip), S(rflags), STATE_STRUCTS(struct x86_state, seg, &seg_state),
		S(gdt_base), S(idt_base), S(gdt_limit), S(idt_limit), S(cpl), S(mp_state),
		S(nmi_pending), S(nmi_masked), S(sti_shadow), S(movss_shadow), S(a20_masked),
		S(exc_pending), S(exc_vector), S(exc_has_error), S(exc_kind),
		STATE_PAD(struct x86_state, pad0_), S(exc_error), STATE_PAD(struct x86_state, pad1_),
		S(exc_cr2_or_dr6), S(cr0), S(cr2), S(cr3), S(cr4), S(cr8), A(dr), S(dr6), S(dr7),
		S(xcr0), S(efer), S(star), S(lstar), S(cstar), S(sfmask), S(kernel_gs_base),
		S(sysenter_cs), S(sysenter_esp), S(sysenter_eip), S(tsc_offset), S(tsc_adjust),
		S(tsc_aux), S(tsc_deadline), S(apic_base), S(pat), S(misc_enable), S(debugctl),
		S(spec_ctrl), S(mtrr_def_type), A(mtrr_fixed), A(mtrr_var_base), A(mtrr_var_mask),
		S(mcg_status), S(mcg_ctl), S(kvmclock_system_time), S(kvmclock_wall), A(xsave),
		STATE_END,
	},
	/* clang-format on */
};
