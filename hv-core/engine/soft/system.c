/*
 * System instructions that need no file of their own (CPUID, HLT, interrupt and system flags, port
 * I/O, FS and GS bases, hypercalls), and the list of all system selectors.
 */
#include "engine/soft/system.h"

#define KVM_ENOSYS 1000

/* ---- CPUID, HLT, hypercalls ---- */

static void cpuid(struct soft_vcpu *v, const struct insn *i)
{
	uint32_t r[4];

	(void)i;
	soft_fpu_park(v);
	cpu_model_cpuid(sys_model(v), v->hv->index, v->s.cr4, v->s.xcr0, v->s.misc_enable,
			v->s.apic_base >> 11 & 1, (uint32_t)v->s.gpr[X86_RAX],
			(uint32_t)v->s.gpr[X86_RCX], r);
	v->s.gpr[X86_RAX] = r[0];
	v->s.gpr[X86_RBX] = r[1];
	v->s.gpr[X86_RCX] = r[2];
	v->s.gpr[X86_RDX] = r[3];
}

static void hlt(struct soft_vcpu *v, const struct insn *i)
{
	sys_need_cpl0(v);
	sys_done(v, i);
	v->s.sti_shadow = 0;
	v->s.movss_shadow = 0;
	v->s.mp_state = X86_MP_HALTED;
	soft_mode_changed(v);
	soft_exit(v, HV_EXIT_HLT);
}

/* Guests that found the KVM leaves may call: every function is unknown. */
static void hypercall(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	sys_reg_set(v, SOFT_REG(X86_RAX), v->code64 ? 8 : 4, (uint64_t)-KVM_ENOSYS);
}

SYS_SELECTOR(cpuid)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
		i->fn = cpuid;
		return true;
	case ZYDIS_MNEMONIC_HLT:
		i->fn = hlt;
		i->flags |= INSN_END;
		return true;
	case ZYDIS_MNEMONIC_VMMCALL:
		i->fn = hypercall;
		return sys_model(d->v)->amd;
	default:
		i->fn = hypercall;
		return !sys_model(d->v)->amd;
	}
}

/* ---- flags ---- */

static void need_iopl(struct soft_vcpu *v)
{
	if (v->protected && v->s.cpl > sys_iopl(v))
		soft_raise_err(v, X86_EXC_GP, 0);
}

static void cli(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	need_iopl(v);
	v->s.rflags &= ~(uint64_t)X86_FL_IF;
}

static void sti(struct soft_vcpu *v, const struct insn *i)
{
	(void)i;
	need_iopl(v);
	if (v->s.rflags & X86_FL_IF)
		return;
	v->s.rflags |= X86_FL_IF;
	v->s.sti_shadow = 1;
	soft_mode_changed(v);
	soft_stop_block(v);
}

static void pushf(struct soft_vcpu *v, const struct insn *i)
{
	if (v->v86 && sys_iopl(v) != 3)
		soft_raise_err(v, X86_EXC_GP, 0);
	soft_push(v, i->op_size, soft_rflags(v) & ~(uint64_t)(X86_FL_RF | X86_FL_VM));
}

static void popf(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t mask = X86_FL_STATUS | X86_FL_TF | X86_FL_DF | X86_FL_NT, old, x;

	if (v->v86 && sys_iopl(v) != 3)
		soft_raise_err(v, X86_EXC_GP, 0);
	if (i->op_size > 2)
		mask |= X86_FL_AC | X86_FL_ID;
	if (!v->protected || v->s.cpl == 0)
		mask |= X86_FL_IF | X86_FL_IOPL;
	else if (v->s.cpl <= sys_iopl(v))
		mask |= X86_FL_IF;
	x = soft_pop(v, i->op_size);
	old = soft_rflags(v);
	soft_set_rflags(v, (old & ~(mask | X86_FL_RF)) | (x & mask));
	sys_done(v, i);
	if ((old ^ v->s.rflags) & (X86_FL_TF | X86_FL_AC | X86_FL_RF))
		soft_mode_changed(v);
}

static void clac_stac(struct soft_vcpu *v, const struct insn *i)
{
	if (v->s.cpl != 0 || v->v86)
		soft_raise(v, X86_EXC_UD);
	v->s.rflags &= ~(uint64_t)X86_FL_AC;
	if (i->cc)
		v->s.rflags |= X86_FL_AC;
	sys_done(v, i);
	soft_mode_changed(v);
}

static unsigned suffix_size(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_POPFQ:
		return 8;
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_POPFD:
		return 4;
	default:
		return 2;
	}
}

SYS_SELECTOR(flags)
{
	switch (d->z.mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
		i->fn = cli;
		return true;
	case ZYDIS_MNEMONIC_STI:
		i->fn = sti;
		return true;
	case ZYDIS_MNEMONIC_CLAC:
	case ZYDIS_MNEMONIC_STAC:
		i->fn = clac_stac;
		i->cc = d->z.mnemonic == ZYDIS_MNEMONIC_STAC;
		i->flags |= INSN_END;
		return sys_has(d->v, CPU_F_SMAP);
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
		i->fn = pushf;
		i->op_size = suffix_size(d->z.mnemonic);
		return true;
	default:
		i->fn = popf;
		i->op_size = suffix_size(d->z.mnemonic);
		i->flags |= INSN_END;
		return true;
	}
}

/* ---- ports ---- */

static uint16_t port_of(struct soft_vcpu *v, const struct insn *i)
{
	return i->cc ? SOFT_R16(v, SOFT_REG(X86_RDX)) : (uint16_t)i->imm;
}

static void in(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t port = port_of(v, i);
	uint32_t x;

	soft_io_check(v, port, i->op_size);
	v->stats.pio++;
	soft_outside_begin(v);
	x = hv_pio_read(v->hv->vm->pio, port, i->op_size);
	soft_outside_end(v);
	if (i->op_size == 1)
		SOFT_R8(v, SOFT_REG(X86_RAX)) = (uint8_t)x;
	else
		sys_reg_set(v, SOFT_REG(X86_RAX), i->op_size, x);
	sys_done(v, i);
}

static void out(struct soft_vcpu *v, const struct insn *i)
{
	uint16_t port = port_of(v, i);
	uint32_t x = SOFT_R32(v, SOFT_REG(X86_RAX));

	soft_io_check(v, port, i->op_size);
	v->stats.pio++;
	if (i->op_size < 4)
		x &= (1u << i->op_size * 8) - 1;
	soft_outside_begin(v);
	hv_pio_write(v->hv->vm->pio, port, i->op_size, x);
	soft_outside_end(v);
	sys_done(v, i);
}

/* Both end the block: what the device asks for must be seen before the next instruction. */
SYS_SELECTOR(io)
{
	bool is_in = d->z.mnemonic == ZYDIS_MNEMONIC_IN;
	const ZydisDecodedOperand *port = &d->op[is_in ? 1 : 0], *acc = &d->op[is_in ? 0 : 1];

	i->fn = is_in ? in : out;
	i->flags |= INSN_END;
	i->op_size = (uint8_t)(acc->size / 8);
	i->cc = port->type == ZYDIS_OPERAND_TYPE_REGISTER;
	i->imm = i->cc ? 0 : port->imm.value.u & 0xff;
	return true;
}

/* ---- FS and GS bases: no block depends on them ---- */

static void need_fsgsbase(struct soft_vcpu *v)
{
	if (!v->code64 || !(v->s.cr4 & X86_CR4_FSGSBASE))
		soft_raise(v, X86_EXC_UD);
}

static void rdbase(struct soft_vcpu *v, const struct insn *i)
{
	need_fsgsbase(v);
	sys_reg_set(v, i->dst, i->op_size, v->s.seg[i->cc].base);
}

static void wrbase(struct soft_vcpu *v, const struct insn *i)
{
	uint64_t x = sys_reg_get(v, i->dst, i->op_size);

	need_fsgsbase(v);
	if (!soft_canonical(x))
		soft_raise_err(v, X86_EXC_GP, 0);
	v->s.seg[i->cc].base = x;
}

SYS_SELECTOR(fsgsbase)
{
	ZydisMnemonic m = d->z.mnemonic;

	i->fn = m == ZYDIS_MNEMONIC_RDFSBASE || m == ZYDIS_MNEMONIC_RDGSBASE ? rdbase : wrbase;
	i->cc = m == ZYDIS_MNEMONIC_RDFSBASE || m == ZYDIS_MNEMONIC_WRFSBASE ? X86_FS : X86_GS;
	i->dst = decode_reg(d->op[0].reg.value);
	i->op_size = d->z.operand_width / 8;
	return sys_has(d->v, CPU_F_FSGSBASE);
}

/* ---- all of them ---- */

#define ROW(mnemonic, name)                                                                        \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, sys_sel_##name                                          \
	}

const struct soft_op soft_ops_system[] = {
	ROW(MOV, mov),
	ROW(PUSH, push_seg),
	ROW(POP, pop_seg),
	ROW(LDS, load_far_ptr),
	ROW(LES, load_far_ptr),
	ROW(LFS, load_far_ptr),
	ROW(LGS, load_far_ptr),
	ROW(LSS, load_far_ptr),
	ROW(VERR, verify),
	ROW(VERW, verify),
	ROW(LAR, verify),
	ROW(LSL, verify),
	ROW(ARPL, verify),
	ROW(SGDT, table),
	ROW(SIDT, table),
	ROW(LGDT, table),
	ROW(LIDT, table),
	ROW(SLDT, table),
	ROW(LLDT, table),
	ROW(STR, table),
	ROW(LTR, table),
	ROW(SMSW, msw),
	ROW(LMSW, msw),
	ROW(JMP, far),
	ROW(CALL, far),
	ROW(RET, far),
	ROW(IRET, iret),
	ROW(IRETD, iret),
	ROW(IRETQ, iret),
	ROW(INT, int),
	ROW(INT1, int),
	ROW(INT3, int),
	ROW(INTO, int),
	ROW(SYSCALL, syscall),
	ROW(SYSRET, syscall),
	ROW(SYSENTER, syscall),
	ROW(SYSEXIT, syscall),
	ROW(SWAPGS, syscall),
	ROW(CLTS, control),
	ROW(INVLPG, control),
	ROW(INVPCID, control),
	ROW(INVD, control),
	ROW(WBINVD, control),
	ROW(XGETBV, control),
	ROW(XSETBV, control),
	ROW(RDMSR, msr),
	ROW(WRMSR, msr),
	ROW(RDTSC, msr),
	ROW(RDTSCP, msr),
	ROW(RDPID, msr),
	ROW(RDPMC, msr),
	ROW(CPUID, cpuid),
	ROW(HLT, cpuid),
	ROW(VMCALL, cpuid),
	ROW(VMMCALL, cpuid),
	ROW(CLI, flags),
	ROW(STI, flags),
	ROW(CLAC, flags),
	ROW(STAC, flags),
	ROW(PUSHF, flags),
	ROW(PUSHFD, flags),
	ROW(PUSHFQ, flags),
	ROW(POPF, flags),
	ROW(POPFD, flags),
	ROW(POPFQ, flags),
	ROW(IN, io),
	ROW(OUT, io),
	ROW(RDFSBASE, fsgsbase),
	ROW(RDGSBASE, fsgsbase),
	ROW(WRFSBASE, fsgsbase),
	ROW(WRGSBASE, fsgsbase),
	{ -1, NULL },
};
